"""Run, once in the launcher, the code that every shim and every start will run.

CPython 3.11 rewrites a function's code on its first calls (PEP 659) and fills its method caches. Done after the fork,
each of these writes would copy a page for every container, and each start would run the slow first version; done here,
they are shared. Nothing is left outside this process.
"""

from __future__ import annotations

import gc
import json
import os
from types import FunctionType

from hostagent.kernel import fds, libc
from hostagent.kernel.title import Title
from hostagent.runtime import messages, processes, protocol, rights, shim
from hostagent.runtime import spec as specs
from hostagent.runtime.logdrivers import open_log
from hostagent.runtime.logplan import LogPlan
from hostagent.runtime.loop import Loop
from hostagent.runtime.plan import plan
from hostagent.runtime.processes import birth_certificate
from hostagent.runtime.rehearsed_life import live
from hostagent.runtime.streams import Session

_ROUNDS = 16
"""Code is rewritten after 8 calls, and settles some calls later."""

_CAPABILITIES = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_SPEC = {
    "process": {
        "args": ["true"],
        "env": ["PATH=/bin"],
        "cwd": "/",
        "user": {"uid": 0, "gid": 0},
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
    },
    "root": {"path": "rootfs"},
    "hostname": "rehearsal",
    "mounts": [
        {
            "destination": "/",
            "type": "overlay",
            "source": "overlay",
            "options": ["lowerdir=/a:/b", "upperdir=/u", "workdir=/w"],
        },
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]},
        {"destination": "/etc/hosts", "type": "bind", "source": "/etc/hosts", "options": ["rbind"]},
    ],
    "linux": {
        "namespaces": [{"type": kind} for kind in ("mount", "pid", "uts", "ipc", "network", "cgroup")],
        "resources": {"memory": {"limit": 1 << 30}, "devices": [{"allow": False, "access": "rwm"}]},
        "cgroupsPath": "/rehearsal",
        "maskedPaths": ["/proc/kcore", "/proc/keys"],
        "readonlyPaths": ["/proc/sys", "/proc/bus"],
    },
}


def run(directory: str) -> None:
    """Leaves nothing behind but warm code. `directory` is made for it, and is gone in the end."""
    for _ in range(_ROUNDS):
        birth_certificate()
    text = json.dumps(_SPEC)
    for _ in range(_ROUNDS):
        _plan(text)
        _talk()
        _stream()
    _lives(directory)
    _look_up()


def _look_up() -> None:
    """What else a birth looks up in modules, once: to find it fills a method cache, in a page, with two names in two
    more (PEP 659 does not help what runs once). The cache is by the type, so any module does."""
    others = (processes.set_name, libc.set_process_name, libc.prctl, Title.set)
    for function in (*vars(shim).values(), *others):
        if isinstance(function, FunctionType):
            for name in function.__code__.co_names:
                getattr(os, name, None)


def _lives(directory: str) -> None:
    """Last, so that the method caches are filled with what shims look up."""
    os.makedirs(directory, 0o700, exist_ok=True)  # a launcher of the same pid may have been killed here
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(_ROUNDS):
        live(directory)
    gc.collect()
    for name in set(os.listdir("/proc/self/fd")) - before:
        _close(int(name))  # what a shim keeps open until its process ends
    for name in os.listdir(directory):
        os.unlink(f"{directory}/{name}")
    os.rmdir(directory)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass  # that of the list itself


def _plan(text: str) -> None:
    spec = specs.parse(text)
    plan(spec, "/rehearsal")
    rights.decide(spec.process, None)


def _talk() -> None:
    """What a shim says and hears."""
    ours, theirs = fds.channel_pair()
    with ours, theirs:
        for message in (
            protocol.Start(LogPlan("json-file", "/log").fields(), False, False, True, True, 15),
            protocol.Keep(),
            protocol.Await(False),
            protocol.Attach(True, True, True, True),
            protocol.Network([]),
            protocol.Started(1, 1, []),
        ):
            fds.send_message(ours, message.encode(), (0,))
            data, (received,) = fds.recv_message(theirs)
            os.close(received)
            protocol.decode(data)
        born = messages.Born(1, False, True, True, "/rehearsal", None, [])
        for word in (born, messages.Namespaces(), messages.Network()):
            messages.decode(word.encode())


def _stream() -> None:
    """A container that says a line and ends, with a client attached."""
    loop = Loop()
    log = open_log(LogPlan("json-file", os.devnull), loop)
    assert log is not None
    session = Session(loop, log, False, lambda: None, lambda: setattr(loop, "running", False))
    stdin, stdin_writer = os.pipe2(os.O_CLOEXEC)
    session.set_stdin(stdin_writer)
    writers = []
    for stream in ("stdout", "stderr"):
        reader, writer = os.pipe2(os.O_CLOEXEC)
        session.add_source(stream, reader)
        writers.append(writer)
    ours, theirs = fds.channel_pair()
    session.attach(theirs.detach(), ("stdout", "stderr"), True, True)
    session.started()
    ours.send(b"input\n")
    for writer in writers:
        os.write(writer, b"output\n")
        os.close(writer)
    loop.run()
    session.drain()
    os.close(stdin)
    ours.close()
    log.close()
    loop.close()
