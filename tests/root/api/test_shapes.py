"""Every answer has the fields of the tables in tests/data/api, in each API version: on dockerd it proves the tables."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hostagent.runtime import waiters
from tests.servers.engine import Engine, UnixConnection
from tests.shapes.tables import NEWEST, violations

pytestmark = pytest.mark.root

VERSIONS = [f"1.{minor}" for minor in range(24, NEWEST[1] + 1)]
READS = (
    "/version",
    "/info",
    "/containers/json?all=1",
    "/containers/json?all=1&size=1",
    "/containers/busy/json",
    "/containers/done/json?size=1",
    "/containers/fresh/json",
    "/containers/ghost/json",
    "/exec/{exec}/json",
    "/images/json",
    "/images/json?all=1",
    "/images/busybox/json",
    "/images/busybox/history",
    "/events?since=1&until={now}",
    "/nowhere",
)
RICH = {
    "Image": "busybox",
    "Cmd": ["sleep", "1000"],
    "Tty": True,
    "Env": ["A=b"],
    "Labels": {"a": "b"},
    "ExposedPorts": {"80/tcp": {}, "81/udp": {}},
    "HostConfig": {
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}], "82/tcp": None},
        "Binds": ["/proc:/host-proc:ro"],
        "Tmpfs": {"/scratch": "size=1m"},
        "ExtraHosts": ["away:192.0.2.1"],
        "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
        "Sysctls": {"net.ipv4.ip_forward": "1"},
        "CapAdd": ["NET_ADMIN"],
        "Memory": 64 << 20,
        "Init": False,
    },
}


def read(engine: Engine, method: str, target: str, body: object = None) -> tuple[int, bytes]:
    """One call, with the answer's bytes as they came."""
    connection = UnixConnection(engine.socket)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, target, data, {"Content-Type": "application/json"} if data else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def checked(engine: Engine, method: str, target: str, body: object = None) -> tuple[list[str], object]:
    """The violations of one call, and its answer."""
    status, raw = read(engine, method, target, body)
    found = violations(method, target, status, raw)
    return found, json.loads(raw) if raw.startswith((b"{", b"[")) and b"}\n{" not in raw else None


def newest(engine: Engine) -> int:
    """Minor number of the newest API version that the engine has."""
    answer = engine.api("GET", "/version").body
    assert isinstance(answer, dict)
    return int(str(answer["ApiVersion"]).partition(".")[2])


def test_all_versions(engine: Engine) -> None:
    wrong: list[str] = []
    for name, body in (
        ("busy", RICH),
        ("done", {"Image": "busybox", "Cmd": ["true"]}),
        ("fresh", {"Image": "busybox"}),
    ):
        wrong += checked(engine, "POST", f"/containers/create?name={name}", body)[0]
    for name in ("busy", "done"):
        assert engine.api("POST", f"/containers/{name}/start").status == 204
    wrong += checked(engine, "POST", "/containers/done/wait", {})[0]
    found, exec_id = checked(
        engine, "POST", "/containers/busy/exec", {"Cmd": ["true"], "Tty": True, "User": "root"}
    )
    assert isinstance(exec_id, dict)
    identity = exec_id["Id"]
    read(engine, "POST", f"/exec/{identity}/start", {"Detach": True})
    last = newest(engine)
    now = str(int(time.time()) + 1)
    for version in VERSIONS:
        if int(version[2:]) > last:
            break
        for path in READS:
            target = f"/v{version}{path}".replace("{exec}", identity).replace("{now}", now)
            wrong += checked(engine, "GET", target)[0]
    wrong += found
    assert not wrong, "\n".join(_once(wrong))


COMMANDS = (
    *(
        "run -d --name busy -p 127.0.0.1:0:80 -v data:/data busybox sleep 600",
        "exec busy touch /made",
        "top busy",
    ),
    *(
        "stats --no-stream busy",
        "diff busy",
        "port busy",
        "update --memory 64m --memory-swap -1 busy",
        "pause busy",
    ),
    *(
        "unpause busy",
        "commit busy made:1",
        "history made:1",
        "image inspect made:1",
        "images -a",
        "system df -v",
    ),
    *(
        "volume create --label a=b named",
        "volume ls",
        "volume inspect data named",
        "rename busy idle",
        "kill idle",
    ),
    *(
        "wait idle",
        "rm idle",
        "rmi made:1",
        "container prune -f",
        "volume prune -af",
        "image prune -f",
        "info",
    ),
    *("version", "ps -as", "tag busybox other:1", "rmi other:1", "rmi ghost", "inspect ghost"),
)


@pytest.mark.peer
def test_the_tables_hold_for_dockerd(peer_engine: Engine, tmp_path: Path) -> None:
    """What the docker CLI asks of it, through a proxy that looks at the answers; ours are looked at in every test."""
    own, file = peer_engine.socket.with_name("proxy.sock"), tmp_path / "violations"
    command = [sys.executable, "-m", "tests.shapes.proxy", str(peer_engine.socket), str(own), str(file)]
    proxy = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 20
        while not own.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        watched = replace(peer_engine, socket=own)
        for line in COMMANDS:
            done = watched.docker(*line.split())
            assert done.code == ("ghost" in line), f"{line}: {done}"
    finally:
        proxy.terminate()
        proxy.wait()
        own.unlink(missing_ok=True)
        peer_engine.clean()
        peer_engine.docker("volume", "prune", "-af")
    assert not file.exists() or not file.read_text()


def test_what_a_shim_answers_by_itself() -> None:
    """The result of a wait does not pass through the daemon."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        waiters.answer(theirs.detach(), 7)
        chunk = ours.recv(1000)
    assert violations("POST", "/containers/x/wait", 200, chunk.split(b"\r\n")[1]) == []


def _once(wrong: list[str]) -> list[str]:
    """Each violation with the first call that has it."""
    seen: dict[str, str] = {}
    for line in wrong:
        call, _, what = line.partition(": ")
        seen.setdefault(what, call)
    return [f"{what}   e.g. {call}" for what, call in seen.items()]
