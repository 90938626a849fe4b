"""The keeper through a real sshd, with Python's own HTTP server in the engine's place."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from machine.client.docker import DockerClient
from machine.client.http import Http
from machine.client.keeper.paths import keeper_paths, make_directory
from machine.client.keeper.protocol import Status
from machine.client.keeper_start import ensure_keeper, keeper_status, stop_keeper
from machine.errors import Denied, HostKeyMismatch, NotFound, Unavailable
from machine.model.namespace import network_namespace
from machine.ssh import keys
from tests.unit.machine_client.conftest import Host
from tests.unit.machine_ssh.sshd import write_pair


def status(host: Host) -> Status:
    found = keeper_status(host.machine.name)
    assert found is not None
    return found


def wait_until(true: object, seconds: float = 10.0) -> None:
    assert callable(true)
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def ping(path: Path) -> str:
    with DockerClient(path) as client:
        return client.ping()


def test_a_hundred_calls_cost_one_handshake(host: Host) -> None:
    for _ in range(100):
        assert ping(ensure_keeper(host.machine)) == "1.47"
    assert host.sshd.handshakes() == 1
    assert host.engine.connections == 100


def test_half_close_in_both_directions(host: Host) -> None:
    with DockerClient(ensure_keeper(host.machine)) as client:
        for _ in range(20):
            with client.containers.attach("web", stdin=True) as stream:
                stream.write(b"hi")
                stream.close_write()
                assert b"".join(data for _, data in stream.frames()) == b"hello HI bye"
        big = b"b" * 5_000_000
        with client.containers.attach("web", stdin=True) as stream:

            def feed() -> None:
                stream.write(big)
                stream.close_write()

            feeder = threading.Thread(target=feed)
            feeder.start()
            got = b"".join(data for _, data in stream.frames())
            feeder.join()
        assert got == b"hello " + big.upper() + b" bye"
    wait_until(lambda: status(host).pipes == 0)


def test_large_bodies_both_ways_at_once(host: Host) -> None:
    path = ensure_keeper(host.machine)
    size = 40_000_000

    def down() -> int:
        http = Http(path)
        try:
            return sum(map(len, http.request("GET", f"/source?size={size}").pieces()))
        finally:
            http.close()

    def up() -> int:
        http = Http(path)
        try:
            http.request("POST", "/sink", body=(b"u" * 200_000 for _ in range(200))).read()
        finally:
            http.close()
        return max(map(len, host.engine.bodies))

    with ThreadPoolExecutor(4) as pool:
        works = [pool.submit(work) for work in (down, up, down, up)]
        assert [work.result(60) for work in works] == [size] * 4
    assert host.sshd.handshakes() == 1


def test_keys_are_renewed_in_the_middle_of_a_stream(host: Host) -> None:
    """paramiko asks for new keys after 512 MiB; whoever sends from its own thread then waits for itself."""
    http = Http(ensure_keeper(host.machine))
    size = 600_000_000
    assert sum(map(len, http.request("GET", f"/source?size={size}").pieces())) == size
    http.close()
    assert status(host).handshakes == 1


def test_an_answer_in_two_pieces_does_not_wait_for_an_ack(host: Host) -> None:
    """Nagle on either side would make it 40 ms and more."""
    path = ensure_keeper(host.machine)
    http = Http(path)
    http.request("GET", "/_ping").read()
    time.sleep(0.5)  # for the command that ends Nagle on the far side
    times = []
    for _ in range(20):
        started = time.monotonic()
        assert http.request("GET", "/two-writes").read() == b"abcd"
        times.append(time.monotonic() - started)
    http.close()
    assert sorted(times)[10] < 0.02


def test_a_slow_reader_stops_nobody_else(host: Host) -> None:
    path = ensure_keeper(host.machine)
    http = Http(path)
    with http.request("GET", "/source?size=500000000") as slow:
        pieces = slow.pieces()
        next(pieces)
        for _ in range(50):
            assert ping(path) == "1.47"
        resident = int(Path(f"/proc/{status(host).pid}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
        assert resident < 150_000_000
        rest = sum(len(piece) for _, piece in zip(range(200), pieces, strict=False))
        assert rest > 1_000_000
    wait_until(lambda: status(host).pipes == 0)


def test_a_client_that_goes_away_closes_its_channel(host: Host) -> None:
    path = ensure_keeper(host.machine)
    with DockerClient(path) as client:
        half_closed = client.containers.attach("web", stdin=True)
        assert half_closed.read() == b"hello "
        http = Http(path)
        silent = http.request("GET", "/_ping")
        assert status(host).pipes == 2
        silent.close()
        half_closed.close()
    wait_until(lambda: status(host).pipes == 0)


def test_a_broken_connection_is_made_again_for_the_next_request(host: Host) -> None:
    path = ensure_keeper(host.machine)
    assert ping(path) == "1.47"
    for handshakes in (2, 3):
        host.sshd.drop_connections()
        assert ping(path) == "1.47"
        assert host.sshd.handshakes() == handshakes


def test_streams_of_a_broken_connection_end(host: Host) -> None:
    with DockerClient(ensure_keeper(host.machine)) as client, client.containers.attach("web") as stream:
        assert stream.read() == b"hello "
        host.sshd.drop_connections()
        assert stream.read() == b""


def test_requests_wait_while_the_host_is_away(host: Host) -> None:
    path = ensure_keeper(host.machine)
    assert ping(path) == "1.47"
    host.sshd.stop()
    back = threading.Timer(1.5, host.sshd.start)
    back.start()
    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(ping, [path] * 10)) == ["1.47"] * 10
    back.join()
    assert host.sshd.handshakes() == 2


def test_a_silent_host_is_noticed(host: Host) -> None:
    """As after a laptop's sleep: the connection looks alive, but nobody answers."""
    path = ensure_keeper(host.machine)
    assert ping(path) == "1.47"
    wait_until(lambda: status(host).connected)
    time.sleep(1.1)
    host.sshd.freeze()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ping, path)
        wait_until(lambda: not status(host).connected, 15)
        host.sshd.thaw()
        assert waiting.result(30) == "1.47"
    assert host.sshd.handshakes() == 2


def test_a_wrong_host_key_is_refused_once_and_for_all(host: Host) -> None:
    host.record(dataclasses.replace(host.machine, host_key=keys.generate("other").public))
    path = ensure_keeper(host.machine)
    for _ in range(2):
        with pytest.raises(HostKeyMismatch, match=r"is not test1.*nothing was sent") as caught:
            ping(path)
        assert "\n" not in str(caught.value)
    # One is the fixture's own look whether sshd is up.
    assert host.sshd.log.read_text().count("Connection from") <= 2
    wait_until(lambda: keeper_status(host.machine.name) is None)
    # A fresh record is read by a fresh keeper.
    host.record(host.machine)
    assert ping(ensure_keeper(host.machine)) == "1.47"


def test_a_refused_login_is_said(host: Host, tmp_path: Path) -> None:
    write_pair(keys.generate("stranger"), tmp_path / "stranger")
    host.record(dataclasses.replace(host.machine, identity_file=str(tmp_path / "stranger")))
    with pytest.raises(Denied, match="refused the login"):
        ping(ensure_keeper(host.machine))


def test_a_machine_that_is_off_is_said_soon(host: Host) -> None:
    host.sshd.stop()
    path = ensure_keeper(host.machine)
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"test1 .* cannot be reached: Connection refused"):
        ping(path)
    assert time.monotonic() - started < 8
    again = time.monotonic()
    with pytest.raises(Unavailable):
        ping(path)
    assert time.monotonic() - again < 3, "patience is not spent twice"
    host.sshd.start()
    assert ping(path) == "1.47"


def test_an_engine_that_is_down_is_waited_for_and_then_said(host: Host, tmp_path: Path) -> None:
    away = tmp_path / "away.sock"
    host.engine.path.rename(away)
    path = ensure_keeper(host.machine)
    back = threading.Timer(1.0, lambda: away.rename(host.engine.path))
    back.start()
    assert ping(path) == "1.47"
    back.join()
    host.engine.path.rename(away)
    with pytest.raises(Unavailable, match="test1 is up, but no engine listens on"):
        ping(path)
    away.rename(host.engine.path)
    assert host.sshd.handshakes() == 1


def test_ten_programs_at_once_start_one_keeper(host: Host) -> None:
    script = (
        "import sys; from pathlib import Path; from machine.model.machine import Machine;"
        "from machine.client.keeper_start import ensure_keeper, keeper_status;"
        "from machine.client.docker import DockerClient;"
        "m = Machine.from_json(Path(sys.argv[1]).read_bytes());"
        "print(DockerClient(ensure_keeper(m)).ping(), keeper_status(m.name).pid)"
    )
    record = str(Path(os.environ["PYMACHINE_HOME"]) / "machines" / "test1" / "machine.json")
    programs = [
        subprocess.Popen([sys.executable, "-c", script, record], stdout=subprocess.PIPE, text=True)
        for _ in range(10)
    ]
    said = {program.communicate(timeout=60)[0].strip() for program in programs}
    # They have ended, the keeper has not.
    assert said == {f"1.47 {status(host).pid}"}
    assert host.sshd.handshakes() == 1


def test_it_is_detached_and_private(host: Host) -> None:
    with socket.socket() as ours:
        ours.set_inheritable(True)
        path = ensure_keeper(host.machine)
    ping(path)
    pid = status(host).pid
    assert os.getsid(pid) not in (os.getsid(0), 0)
    links = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    paths = keeper_paths("test1")
    files = {link for link in links if link.startswith("/") and "memfd" not in link}
    assert files == {"/dev/null", str(paths.life), str(paths.log)}
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    for name, mode in (
        (paths.directory, 0o700),
        (paths.engine, 0o600),
        (paths.control, 0o600),
        (paths.log, 0o600),
    ):
        assert stat.S_IMODE(name.stat().st_mode) == mode, name
    assert "connected (1)" in paths.log.read_text()


def test_it_ends_when_idle_and_starts_again(host: Host) -> None:
    path = ensure_keeper(host.machine, idle=0.5)
    with DockerClient(path) as client, client.containers.attach("web") as stream:
        assert stream.read() == b"hello "
        time.sleep(3)
        assert status(host).pipes == 1, "a stream that is silent is not idle"
    pid = status(host).pid
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    assert not path.exists()
    assert ping(ensure_keeper(host.machine)) == "1.47"


def test_keep_for_outlasts_idleness(host: Host) -> None:
    path = ensure_keeper(host.machine, idle=0.1, keep_for=60)
    time.sleep(4.5)
    assert ping(path) == "1.47"


def test_a_killed_keeper_leaves_nothing_in_the_way(host: Host) -> None:
    path = ensure_keeper(host.machine)
    pid = status(host).pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    assert path.exists()
    assert ping(ensure_keeper(host.machine)) == "1.47"
    stop_keeper("test1")
    stop_keeper("test1")
    assert keeper_status("test1") is None


def test_without_a_record_nothing_is_started(host: Host) -> None:
    nobody = dataclasses.replace(host.machine, name="nobody")
    with pytest.raises(NotFound, match="no record of nobody"):
        ensure_keeper(nobody)


def test_a_locked_key_is_asked_for_before_it_detaches(host: Host, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.write_bytes(host.sshd.user_key.read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", locked], check=True, stdout=-3)
    machine = dataclasses.replace(host.machine, identity_file=str(locked))
    host.record(machine)
    with pytest.raises(Denied, match="locked by a passphrase"):
        ensure_keeper(machine)
    asked: list[str] = []

    def ask(key: str) -> str:
        asked.append(key)
        return "secret"

    path = ensure_keeper(machine, ask=ask)
    assert ping(path) == "1.47"
    host.sshd.drop_connections()
    assert ping(path) == "1.47"
    assert asked == [str(locked)]
    assert b"secret" not in Path(f"/proc/{status(host).pid}/cmdline").read_bytes()


def test_long_homes_have_a_short_socket_and_hostile_folders_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYMACHINE_HOME", str(tmp_path / ("x" * 120)))
    paths = keeper_paths("m" * 40)
    assert len(str(paths.control)) <= 100
    assert str(paths.directory).startswith(f"/tmp/pymachine-{os.getuid()}/")
    open_to_all = tmp_path / "open" / "run"
    open_to_all.parent.mkdir()
    open_to_all.parent.chmod(0o777)
    with pytest.raises(Denied, match="nobody else can write"):
        make_directory(open_to_all)
    assert not open_to_all.exists()


@pytest.mark.parametrize("trap", ["link", "open"])
def test_no_keeper_of_somebody_else_is_spoken_to(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trap: str
) -> None:
    """In /tmp another user could be there first, with sockets of that name: nothing is sent to them."""
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o700)
    if trap == "link":
        (tmp_path / "ours").symlink_to(theirs)
    else:
        (tmp_path / "ours").mkdir()
        (tmp_path / "ours").chmod(0o777)
    directory = tmp_path / "ours" / "run"
    with monkeypatch.context() as patch:
        patch.setattr("machine.client.keeper.paths.run_directory", lambda name: directory)
        for ask in (
            lambda: ensure_keeper(host.machine),
            lambda: keeper_status("test1"),
            lambda: stop_keeper("test1"),
        ):
            with pytest.raises(Denied, match="nobody else can write"):
                ask()
    assert list(theirs.iterdir()) == [] and not directory.exists()


def test_a_keeper_that_dials_from_elsewhere_is_replaced_unless_it_is_connected(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    ping(ensure_keeper(host.machine))
    first = status(host).pid
    assert status(host).namespace == network_namespace()
    monkeypatch.setattr("machine.client.keeper_start.network_namespace", lambda: "net:[1]")
    ping(ensure_keeper(host.machine))
    assert status(host).pid == first, "its connection serves everybody"
    host.sshd.stop()
    wait_until(lambda: not status(host).connected)
    ensure_keeper(host.machine)
    assert status(host).pid != first
    host.sshd.start()
