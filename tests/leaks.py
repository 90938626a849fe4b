"""What a test must not leave behind, as two cheap snapshots and their difference.

Two scopes, because several people (or CI jobs) may share a machine:

- In the sandbox of scripts/sandbox (PYMACHINE_TEST_SANDBOX=1) every namespace is the test run's own, so
  everything that is visible counts: all processes, mounts, interfaces and nft tables.
- Elsewhere, and for cgroups always, only what is provably this run's counts: children of this process,
  processes that inherited TAG in their environment, and mounts, cgroups, interfaces and tables that carry TAG
  or lie in pytest's base folder.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

# Not the PID: in the sandbox that is always the same, and cgroups are seen by everybody on the machine.
TAG = f"pmt{os.urandom(3).hex()[:5]}"
TAG_VARIABLE = "PYMACHINE_TEST_RUN"
ENGINE = "-engine"  # follows TAG in the name of an engine's own cgroup, which lives as long as its fixture
SANDBOXED = os.environ.get("PYMACHINE_TEST_SANDBOX") == "1"
GRACE_SECONDS = 2.0
EXIT_SECONDS = 20.0
ENDING = "(ending)"

_NETLINK_NETFILTER = 12  # linux/netlink.h
_NFT_GETTABLE = (10 << 8) | 1  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE
_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NFTA_TABLE_NAME = 1


_adopted: set[int] = set()


def adopt(pid: int) -> None:
    """A longer-lived fixture answers for this process and its descendants, although a test had it started."""
    _adopted.add(pid)


@dataclass(frozen=True)
class Snapshot:
    """Names of what exists now; each field is compared on its own."""

    processes: frozenset[int]
    fds: frozenset[int]
    mounts: frozenset[str]
    interfaces: frozenset[str]
    tables: frozenset[str]
    cgroups: frozenset[str]


def take(base: str) -> Snapshot:
    """Snapshot of this process and its namespaces; `base` is the folder whose mounts are ours. About 2 ms."""
    return Snapshot(
        processes=frozenset(_processes()),
        fds=frozenset(_fds()),
        mounts=frozenset(m for m in _mounts() if SANDBOXED or TAG in m or m.startswith(base)),
        interfaces=frozenset(n for _, n in socket.if_nameindex() if SANDBOXED or TAG in n),
        tables=frozenset(t for t in _tables() if SANDBOXED or TAG in t),
        cgroups=frozenset(_cgroups()),
    )


def difference(before: Snapshot, base: str) -> list[str]:
    """What is there now and was not in `before`, as sentences; waits up to GRACE_SECONDS, and for processes that have
    begun to end EXIT_SECONDS: the first one of a namespace ends when all others have."""
    began = time.monotonic()
    while True:
        now = take(base)
        left = list(_difference(before, now))
        ending = all(line.startswith("process ") and line.endswith(ENDING) for line in left)
        if not left or time.monotonic() - began > (EXIT_SECONDS if ending else GRACE_SECONDS):
            return left
        time.sleep(0.02)


def _difference(before: Snapshot, now: Snapshot) -> Iterator[str]:
    for pid in sorted(now.processes - before.processes):
        if _is_ours(pid, before.processes):
            yield f"process {pid}: {_command(pid) or _kernel_name(pid)}"
    for fd in sorted(now.fds - before.fds):
        try:
            yield f"fd {fd}: {os.readlink(f'/proc/self/fd/{fd}')}"
        except FileNotFoundError:
            continue
    for kind in ("mounts", "interfaces", "tables", "cgroups"):
        new: frozenset[str] = getattr(now, kind) - getattr(before, kind)
        yield from (f"{kind[:-1]} {name}" for name in sorted(new))


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _fds() -> Iterator[int]:
    # The listing's own descriptor is among the names, and closed by now.
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:
            continue
        yield int(name)


def _is_ours(pid: int, before: frozenset[int]) -> bool:
    """A living process that this run is answerable for.

    Not counted: what runs in a PID namespace that an earlier fixture holds (a session's engine): it ends with that
    fixture, and the fixture has its own check of what the engine leaves (tests/servers/hostagent.py).
    """
    line = _ancestry(pid)
    if not line or line[0].state in "ZX" or "resource_tracker" in _command(pid):
        return False
    own = _pid_namespace(os.getpid())
    if any(ancestor.pid in _adopted for ancestor in line):
        return False
    if any(ancestor.pid in before and _pid_namespace(ancestor.pid) not in ("", own) for ancestor in line):
        return False
    return SANDBOXED or any(ancestor.pid == os.getpid() for ancestor in line) or _is_tagged(pid)


@dataclass(frozen=True)
class _Process:
    pid: int
    state: str
    parent: int


def _ancestry(pid: int) -> list[_Process]:
    """The process and its ancestors up to, not including, PID 1; empty when it is gone (proc(5), stat)."""
    line: list[_Process] = []
    while pid > 1:
        try:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            break
        line.append(_Process(pid, fields[0], int(fields[1])))
        pid = line[-1].parent
    return line


def _is_tagged(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{TAG_VARIABLE}={TAG}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    except OSError:
        return "?"


def _kernel_name(pid: int) -> str:
    """Of one that has let go of its memory: name, state, and what it waits for in the kernel (proc(5))."""
    words: list[str] = []
    for name in ("comm", "wchan", "stat"):
        try:
            with open(f"/proc/{pid}/{name}") as file:
                words.append(file.read().strip()[:80])
        except OSError:
            continue
    return " ".join([*words, ENDING])


def _mounts() -> Iterator[str]:
    with open("/proc/self/mountinfo") as file:
        for line in file:
            yield line.split(" ", 5)[4]


def _cgroups() -> Iterator[str]:
    pending = ["/sys/fs/cgroup"]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                folders = [e.path for e in entries if e.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        for path in folders:
            # Controllers of cgroup v1 are the mounts themselves; what lies below them is what somebody made.
            if f"{TAG}{ENGINE}" in path:
                continue
            if TAG in path:
                yield path
            pending.append(path)


def _tables() -> Iterator[str]:
    """Names of this namespace's nftables tables, from the kernel (linux/netfilter/nf_tables.h)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as sock:
        sock.settimeout(2)
        sock.send(struct.pack("=IHHII", 20, _NFT_GETTABLE, _REQUEST_DUMP, 1, 0) + b"\0\0\0\0")
        while True:
            data = sock.recv(65536)
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    return  # an error means "no nftables" or "not root": no tables of ours
                yield _table_name(data[20:length])
                data = data[(length + 3) & ~3 :]


def _table_name(attributes: bytes) -> str:
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind & 0x3FFF == _NFTA_TABLE_NAME:
            return attributes[4:length].rstrip(b"\0").decode()
        attributes = attributes[(length + 3) & ~3 :]
    return "?"
