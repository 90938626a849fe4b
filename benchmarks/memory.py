"""Memory and CPU time of an engine: everything in its PID namespace except what runs inside containers."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tests.servers.engine import Engine


def memory_bytes(engine: Engine) -> int:
    """What would be free if the engine ended: the daemon, its helpers and its shims (proc(5), smaps).

    A page that they share among themselves counts once, and a file's pages once per engine, whoever else on the
    machine has the file mapped (another engine that runs, an interpreter).

    Containers have PID namespaces of their own, so a process is the engine's when it is in a PID namespace that
    the daemon is in. The holder of the namespace and the registry beside it are the same small constant for
    both engines; the caller takes differences or reads them as part of "idle".
    """
    anonymous = 0
    files: dict[str, int] = {}
    for name in _processes(engine):
        try:
            mine, mapped = _mapped(name)
        except OSError:
            continue
        anonymous += mine
        for path, resident in mapped.items():
            files[path] = max(files.get(path, 0), resident)
    return anonymous + sum(files.values())


def cpu_seconds(engine: Engine) -> float:
    """CPU time that the same processes have used so far (proc(5), stat)."""
    total = 0
    for name in _processes(engine):
        try:
            total += _cpu_ticks(name)
        except OSError:
            continue
    return total / os.sysconf("SC_CLK_TCK")


def _processes(engine: Engine) -> Iterator[str]:
    wanted = engine_namespace(engine)
    for name in os.listdir("/proc"):
        try:
            if (
                name.isdigit()
                and os.readlink(f"/proc/{name}/ns/pid") == wanted
                and "docker-registry" not in _command(name)
            ):
                yield name
        except OSError:
            continue


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


def _mapped(name: str) -> tuple[int, dict[str, int]]:
    """(bytes of anonymous pages, a shared one by its share; bytes of each mapped file that are in memory)."""
    with open(f"/proc/{name}/smaps_rollup") as file:
        anonymous = sum(1024 * int(line.split()[1]) for line in file if line.startswith("Pss_Anon:"))
    files: dict[str, int] = {}
    path = ""
    with open(f"/proc/{name}/smaps") as file:
        for line in file:
            word, *rest = line.split()
            if not word.endswith(":"):
                path = rest[4] if len(rest) > 4 and rest[4].startswith("/") else ""
            elif path and word == "Rss:":
                files[path] = files.get(path, 0) + 1024 * int(rest[0])
            elif path and word == "Anonymous:":  # pages of a private mapping that were written to
                files[path] -= 1024 * int(rest[0])
    return anonymous, files


def _cpu_ticks(name: str) -> int:
    with open(f"/proc/{name}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
