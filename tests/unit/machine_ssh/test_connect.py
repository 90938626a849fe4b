from __future__ import annotations

import dataclasses
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from machine.errors import Denied, HostKeyMismatch, MachineError, Unavailable
from machine.ssh import keys
from machine.ssh.connect import connect
from machine.ssh.wait import wait_for_ssh
from tests.tools import need
from tests.unit.machine_ssh.sshd import Sshd, write_pair


def test_a_known_host_is_let_in(sshd: Sshd) -> None:
    with connect(sshd.machine) as connection:
        assert connection.alive
        assert connection.run("echo $0 hi").text.endswith("hi")
    assert not connection.alive


def test_a_changed_host_key_is_refused_before_the_login(sshd: Sshd) -> None:
    before = sshd.handshakes()
    other = dataclasses.replace(sshd.machine, host_key=keys.generate("other").public)
    with pytest.raises(HostKeyMismatch) as caught:
        connect(other)
    text = str(caught.value)
    assert "is not test1" in text and text.count("SHA256:") == 2 and "nothing was sent" in text
    assert "\n" not in text
    assert sshd.handshakes() == before


def test_a_host_without_a_key_of_the_known_type_is_refused(sshd: Sshd) -> None:
    ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTY="
    with pytest.raises(HostKeyMismatch, match="no host key of the type on record"):
        connect(dataclasses.replace(sshd.machine, host_key=ecdsa))


def test_without_a_host_key_on_record_nothing_is_sent(sshd: Sshd) -> None:
    with pytest.raises(HostKeyMismatch, match="not on record"):
        connect(dataclasses.replace(sshd.machine, host_key=""))


def test_a_key_in_rotation_is_accepted(sshd: Sshd) -> None:
    rotating = dataclasses.replace(
        sshd.machine, host_key=keys.generate("old").public, next_host_key=sshd.machine.host_key
    )
    connect(rotating).close()


def test_a_refused_login_says_whose_key_and_where(sshd: Sshd, tmp_path: Path) -> None:
    write_pair(keys.generate("stranger"), tmp_path / "stranger")
    stranger = dataclasses.replace(sshd.machine, identity_file=str(tmp_path / "stranger"))
    with pytest.raises(Denied, match=r"127\.0\.0\.1 refused the login with .*stranger"):
        connect(stranger)


def test_a_locked_key_asks_for_its_passphrase(sshd: Sshd, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.write_bytes(sshd.user_key.read_bytes())
    locked.chmod(0o600)
    assert not keys.is_locked(locked)
    subprocess.run(
        [need("ssh-keygen", "openssh-client"), "-q", "-p", "-P", "", "-N", "secret", "-f", str(locked)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert keys.is_locked(locked)
    machine = dataclasses.replace(sshd.machine, identity_file=str(locked))
    with pytest.raises(Denied, match="locked by a passphrase"):
        connect(machine)
    connect(machine, passphrase="secret").close()


def test_a_closed_port_and_a_mute_host_are_unavailable(sshd: Sshd) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        port = mute.getsockname()[1]
        with pytest.raises(Unavailable, match="Connection refused"):
            connect(dataclasses.replace(sshd.machine, port=port))
        mute.listen()
        started = time.monotonic()
        with pytest.raises(Unavailable, match="does not speak SSH"):
            connect(dataclasses.replace(sshd.machine, port=port), timeout=1.0)
        assert time.monotonic() - started < 5


def test_ssh_config_is_read_and_a_jump_host_is_used(own_sshd: Sshd, tmp_path: Path) -> None:
    folder = tmp_path / ".ssh"
    folder.mkdir()
    # 127.0.0.9 is reachable only as the jump host's idea of 127.0.0.1.
    (folder / "config").write_text(
        f"Host 127.0.0.9\n HostName 127.0.0.1\n ProxyJump 127.0.0.2:{own_sshd.port}\n"
        f"Host 127.0.0.2\n HostName 127.0.0.1\n IdentityFile {own_sshd.user_key}\n"
    )
    machine = dataclasses.replace(own_sshd.machine, address="127.0.0.9")
    with pytest.raises(HostKeyMismatch, match="jump host"):
        connect(machine)
    public = " ".join(own_sshd.host_pair.public.split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{own_sshd.port} {public}\n")
    with connect(machine) as connection:
        assert connection.run("echo jumped").text == "jumped"
    assert own_sshd.handshakes() == 2


def test_waiting_for_a_host_that_boots(own_sshd: Sshd) -> None:
    own_sshd.stop()
    said: list[str] = []
    late = threading.Timer(0.5, own_sshd.start)
    late.start()
    try:
        wait_for_ssh(own_sshd.machine, deadline=20, on_wait=said.append).close()
    finally:
        late.join()
    assert "cannot be reached" in said[0] and len(said) == len(set(said))


def test_waiting_ends_at_the_deadline_and_at_once_for_a_wrong_key(own_sshd: Sshd) -> None:
    wrong = dataclasses.replace(own_sshd.machine, host_key=keys.generate("x").public)
    started = time.monotonic()
    with pytest.raises(HostKeyMismatch):
        wait_for_ssh(wrong, deadline=20)
    assert time.monotonic() - started < 3
    own_sshd.stop()
    with pytest.raises(MachineError):
        wait_for_ssh(own_sshd.machine, deadline=0.5)


def test_a_failure_prints_nothing_by_itself(sshd: Sshd) -> None:
    """paramiko logs what it raises; a program that has set up no logging must not show that to its user."""
    script = (
        "import socket, sys; from machine.model.machine import Machine; from machine.ssh.connect import connect\n"
        "from machine.errors import Unavailable\n"
        "with socket.create_server(('127.0.0.1', 0)) as mute:\n"
        "    port = mute.getsockname()[1]\n"
        "    m = Machine(name='m', driver='local', address='127.0.0.1', port=port, host_key=sys.argv[1])\n"
        "    try: connect(m, timeout=0.5)\n"
        "    except Unavailable: print('unavailable')\n"
    )
    command = [sys.executable, "-c", script, sshd.host_pair.public]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == ("unavailable\n", "")
