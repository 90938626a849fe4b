"""Private memory and CPU time of an engine: everything in its PID namespace except what runs inside containers."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.servers.engine import Engine


def private_bytes(engine: Engine) -> int:
    """Sum of private pages (proc(5), smaps_rollup) of the daemon, its helpers and its shims.

    Containers have PID namespaces of their own, so a process is the engine's when it is in a PID namespace that
    the daemon is in. The holder of the namespace and the registry beside it are the same small constant for
    both engines; the caller takes differences or reads them as part of "idle".
    """
    return _sum(engine, _private)


def cpu_seconds(engine: Engine) -> float:
    """CPU time that the same processes have used so far (proc(5), stat)."""
    return _sum(engine, _cpu_ticks) / os.sysconf("SC_CLK_TCK")


def _sum(engine: Engine, of: Callable[[str], int]) -> int:
    wanted = engine_namespace(engine)
    total = 0
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if os.readlink(f"/proc/{name}/ns/pid") == wanted and "docker-registry" not in _command(name):
                total += of(name)
        except OSError:
            continue
    return total


def engine_namespace(engine: Engine) -> str:
    """The PID namespace of the process that listens on the engine's socket."""
    for name in os.listdir("/proc"):
        if name.isdigit() and f"unix://{engine.socket}" in _command(name):
            namespace = _namespace(name)
            if namespace not in ("", os.readlink("/proc/self/ns/pid")):
                return namespace
    raise RuntimeError(f"no process serves {engine.socket}")


def _namespace(name: str) -> str:
    try:
        return os.readlink(f"/proc/{name}/ns/pid")
    except OSError:
        return ""


def _command(name: str) -> str:
    try:
        with open(f"/proc/{name}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _private(name: str) -> int:
    with open(f"/proc/{name}/smaps_rollup") as file:
        return 1024 * sum(int(line.split()[1]) for line in file if line.startswith("Private_"))


def _cpu_ticks(name: str) -> int:
    with open(f"/proc/{name}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
