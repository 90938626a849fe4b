"""Published ports: from the host itself, from outside, and what is refused."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.servers.engine import Engine

SERVE = ["busybox", "sh", "-c", "echo page >/tmp/index.html; exec httpd -f -h /tmp"]


def fetch(engine: Engine, address: str) -> str:
    return engine.namespace.run(["busybox", "wget", "-qO-", f"http://{address}/"], timeout=10).stdout


@pytest.fixture
def served(engine: Engine) -> Engine:
    engine.ok("run", "-d", "--name", "web", "-p", "8080:80", *SERVE)
    return engine


def test_from_the_host(served: Engine) -> None:
    for address in ("127.0.0.1:8080", "198.51.100.2:8080"):
        assert fetch(served, address) == "page\n"


def test_from_another_container(served: Engine) -> None:
    said = served.ok("run", "--rm", "busybox", "wget", "-qO-", "http://198.51.100.2:8080/")
    assert said == "page"


def test_from_itself(served: Engine) -> None:
    """Hairpin: a container that reaches its own published port."""
    assert served.ok("exec", "web", "wget", "-qO-", "http://198.51.100.2:8080/") == "page"


def test_listing(served: Engine) -> None:
    assert "0.0.0.0:8080" in served.ok("port", "web", "80")
    assert served.inspect("web", '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}') == "8080"


def test_a_taken_port_is_refused(served: Engine) -> None:
    result = served.docker("run", "-d", "--name", "second", "-p", "8080:80", *SERVE)
    assert result.code == 125
    assert "8080" in result.err
    assert "already allocated" in result.err or "already in use" in result.err
    served.ok("rm", "-f", "second")
    served.ok("rm", "-f", "web")
    served.ok("run", "-d", "-p", "8080:80", *SERVE)
    assert fetch(served, "127.0.0.1:8080") == "page\n"


def test_one_address_only(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "web", "-p", "127.0.0.1:8081:80", *SERVE)
    assert fetch(engine, "127.0.0.1:8081") == "page\n"
    assert engine.ok("port", "web") == "80/tcp -> 127.0.0.1:8081"
    refused = engine.docker("run", "--rm", "busybox", "wget", "-qO-", "http://198.51.100.2:8081/")
    assert refused.code != 0


def test_a_random_port(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "web", "-p", "80", *SERVE)
    port = engine.ok("port", "web", "80").splitlines()[0].rpartition(":")[2]
    assert int(port) >= 32768
    assert fetch(engine, f"127.0.0.1:{port}") == "page\n"


UDP_ECHO = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 9000))
print("up", flush=True)
while True:
    data, peer = sock.recvfrom(1000)
    sock.sendto(data.upper(), peer)
"""


def test_udp(engine: Engine) -> None:
    # busybox has no UDP server: the engine's own host lends its python.
    binds = [word for folder in ("/usr", "/lib", "/lib64") for word in ("-v", f"{folder}:{folder}:ro")]
    engine.ok(
        "run", "-d", "--name", "echo", "-p", "9000:9000/udp", *binds, "busybox", "python3", "-c", UDP_ECHO
    )
    deadline = time.monotonic() + 10
    while "up" not in engine.ok("logs", "echo"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for address in ("198.51.100.2", "127.0.0.1"):
        ask = f"exec 3<>/dev/udp/{address}/9000; echo ping >&3; timeout 3 head -n1 <&3"
        assert engine.namespace.run(["bash", "-c", ask]).stdout == "PING\n"


def test_the_port_is_free_after_stop(served: Engine) -> None:
    served.ok("stop", "-t", "0", "web")
    served.namespace.run(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/5000"])
    refused = served.namespace.command(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080"])
    assert subprocess.run(refused, check=False, capture_output=True).returncode != 0
    served.ok("start", "web")
    assert fetch(served, "127.0.0.1:8080") == "page\n"
