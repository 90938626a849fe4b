"""Throughput through a bridge and a published port, and answers of the resolver: what containers feel of an engine.

One client and one server, both in containers' network namespaces; iperf3 and a DNS client of ours run there as
processes of this machine, so that both engines have the same ones. One stream of TCP; 16 questions under way.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence

from hostagent.kernel import libc
from hostagent.kernel.constants import CLONE_NEWNET
from hostagent.network import dns
from tests.servers.engine import Engine
from tests.tools import need

SECONDS, ROUNDS, UNDER_WAY = 2, 5, 16
HOST = "198.51.100.2"  # of the engine's namespace, from tests.servers.hostagent.give_uplink
PORT, PUBLISHED = 5201, 5301

Measure = Callable[[Engine], float]


def rows(engines: Sequence[Engine]) -> list[str]:
    """Of the table; medians of alternating rounds."""
    for engine in engines:
        engine.ok("network", "create", "bench")
        for name, port in (("server", ["-p", f"{PUBLISHED}:{PORT}"]), ("client", [])):
            engine.ok(
                "run",
                "-d",
                "--name",
                name,
                "--network",
                "bench",
                *port,
                "busybox",
                "sleep",
                _word(engine, name),
            )
    work: tuple[tuple[str, Measure, float, str], ...] = (
        ("iperf3 through a bridge", _bridge, 1e9, "Gbit/s"),
        ("iperf3 through a published port, from a container", _published, 1e9, "Gbit/s"),
        ("DNS answers about containers", _answers, 1, "/s"),
    )
    made = [_row(title, measure, unit, name, engines) for title, measure, unit, name in work]
    for engine in engines:
        engine.ok("rm", "-f", "server", "client")
        engine.ok("network", "rm", "bench")
    return made


def _row(title: str, measure: Measure, unit: float, name: str, engines: Sequence[Engine]) -> str:
    found: dict[str, list[float]] = {engine.name: [] for engine in engines}
    for number in range(ROUNDS):
        for engine in engines if number % 2 == 0 else reversed(engines):
            found[engine.name].append(measure(engine) / unit)
    theirs, ours = (statistics.median(found[engine.name]) for engine in engines)
    return f"| {title} | {theirs:.1f} {name} | {ours:.1f} {name} | {ours / theirs:.2f}x | >= 1.0x | |"


def _bridge(engine: Engine) -> float:
    return _iperf3(engine, engine.inspect("server", "{{.NetworkSettings.Networks.bench.IPAddress}}"), PORT)


def _published(engine: Engine) -> float:
    return _iperf3(engine, HOST, PUBLISHED)


def _iperf3(engine: Engine, address: str, port: int) -> float:
    """Bits per second that arrive."""
    program = need("iperf3", "iperf3")
    server = subprocess.Popen(
        [*_inside(engine, "server"), program, "--forceflush", "-s", "-1", "-p", str(PORT)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout
    while "listening" not in server.stdout.readline():
        pass
    command = [program, "-c", address, "-p", str(port), "-t", str(SECONDS), "-J"]
    done = subprocess.run([*_inside(engine, "client"), *command], check=True, capture_output=True, text=True)
    server.communicate(timeout=10)
    return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"])


def _answers(engine: Engine) -> float:
    """Per second, of the server's address."""
    question = dns.encode(dns.Query(7, dns.name_of("server"), dns.A))
    with _socket_inside(engine, "client") as asking:
        asking.settimeout(5)
        asking.connect(("127.0.0.11", 53))
        for _ in range(UNDER_WAY):
            asking.send(question)
        count, end = 0, time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            asking.recv(512)
            asking.send(question)
            count += 1
    return count / SECONDS


def _word(engine: Engine, name: str) -> str:
    """An argument of sleep by which its process is known: the engine's own number for it is another namespace's."""
    return f"{100000 + len(engine.name) * 100 + len(name)}.{os.getpid()}"


def _pid(engine: Engine, name: str) -> int:
    wanted = f"sleep\0{_word(engine, name)}\0".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read() == wanted:
                    return int(pid)
        except OSError:
            continue  # it ended meanwhile
    raise RuntimeError(f"{engine.name}: the process of the container {name} is not found")


def _inside(engine: Engine, name: str) -> list[str]:
    return [need("nsenter", "util-linux"), f"--net=/proc/{_pid(engine, name)}/ns/net"]


def _socket_inside(engine: Engine, name: str) -> socket.socket:
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/proc/{_pid(engine, name)}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc.setns(there, CLONE_NEWNET)
        try:
            return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        finally:
            libc.setns(here, CLONE_NEWNET)
    finally:
        os.close(here)
        os.close(there)
