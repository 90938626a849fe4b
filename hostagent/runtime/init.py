"""The container's first process, from the fork to execve. Nothing here decides: `InitTask` holds it all."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from hostagent.kernel import constants as c
from hostagent.kernel import fds, libc, netlink, pty
from hostagent.kernel.cgroup import Cgroup
from hostagent.kernel.cgroup_mounts import Hierarchy
from hostagent.kernel.rootpath import open_in_root, proc_name, touch_in_root
from hostagent.runtime import program, resolver, rights
from hostagent.runtime.finish import exec_program, report_and_exit
from hostagent.runtime.messages import Console, Namespaces, Network, Ready, Resolver, decode
from hostagent.runtime.plan import FilesystemPlan
from hostagent.runtime.program import StartError
from hostagent.runtime.rights import Rights
from hostagent.runtime.spec import Spec
from hostagent.runtime.steps import BindMount, Stage, Step
from hostagent.runtime.volume_step import MountVolume

NAMESPACE_FLAGS = {
    "mount": c.CLONE_NEWNS,
    "uts": c.CLONE_NEWUTS,
    "ipc": c.CLONE_NEWIPC,
    "network": c.CLONE_NEWNET,
    "cgroup": c.CLONE_NEWCGROUP,
}
"""Without pid, which is entered by the parent, before the fork."""


@dataclass(frozen=True)
class ExecFifo:
    """Where init waits for `start`: looked up by the directory's fd, since the path is gone after pivot_root."""

    directory: int
    name: str


@dataclass(frozen=True)
class InitTask:
    """All that init needs, decided by the parent."""

    spec: Spec
    plan: FilesystemPlan
    rights: Rights
    cgroup: Cgroup | None
    joined: tuple[tuple[int, int], ...]
    """(fd, CLONE_NEW*) of existing namespaces."""
    stdio: tuple[int, int, int] | None
    fifo: ExecFifo | None
    channel: socket.socket


def run(task: InitTask, rest: tuple[Hierarchy, ...]) -> NoReturn:
    """Build the container around this process and become its program; join `rest` of the cgroup. Never returns."""
    with report_and_exit(task.channel):
        leave_parent(task, rest)
        stage = Stage()
        prepare([step for step in task.plan.build if isinstance(step, MountVolume)], stage)
        enter_namespaces(task)
        _become(task, stage)


def run_inside(task: InitTask, stage: Stage) -> NoReturn:
    """The same for a process whose parent has left the host and entered the namespaces (usergate.py)."""
    with report_and_exit(task.channel):
        os.setsid()
        _become(task, stage)


def leave_parent(task: InitTask, rest: tuple[Hierarchy, ...], keep: tuple[int, ...] = ()) -> None:
    """Let go of what came with the fork, but for the fds in `keep`; join the cgroup."""
    program.forget_signals()
    libc.prctl(c.PR_SET_DUMPABLE, 0)
    os.umask(0)
    os.setsid()
    _take_fds(task, keep)
    rights.leave_host(task.rights)
    if task.cgroup is not None:
        task.cgroup.add(0, rest)


def _become(task: InitTask, stage: Stage) -> NoReturn:
    fds.send_message(task.channel, Namespaces().encode())
    execute(task.plan.build, stage)
    if task.spec.process.terminal:
        _open_console(task, stage)
    _finish_network(task)
    _name_host(task.spec)
    execute(task.plan.seal, stage)
    os.close(stage.root)
    exec_program(task.spec.process, task.rights, task.channel, task.spec.supervised, _waiter(task))


def _take_fds(task: InitTask, kept: tuple[int, ...]) -> None:
    if task.stdio is not None:
        fds.install_stdio(*task.stdio)
    keep = [0, 1, 2, task.channel.fileno(), *(fd for fd, _ in task.joined), *kept]
    if task.fifo is not None:
        keep.append(task.fifo.directory)
    fds.close_all_except(keep)


def enter_namespaces(task: InitTask, without: int = 0) -> None:
    """Join what exists, make the rest, but for the flags in `without`."""
    for fd, flag in task.joined:
        libc.setns(fd, flag)
        os.close(fd)
    flags = 0
    for kind, flag in NAMESPACE_FLAGS.items():
        if task.spec.makes(kind):
            flags |= flag
    libc.unshare(flags & ~without)


def execute(plan: Iterable[Step], stage: Stage) -> None:
    """One step after the other. Raises StartError."""
    for step in plan:
        with _told(step):
            step.execute(stage)


def prepare(plan: Iterable[BindMount | MountVolume], stage: Stage) -> None:
    """Open the sources of binds, and mount what volumes name, beforehand. Raises StartError."""
    for step in plan:
        with _told(step):
            step.prepare(stage)


@contextmanager
def _told(step: Step) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StartError("mount", error.errno or 0, f"cannot {step.describe()}: {reason}") from None


def _open_console(task: InitTask, stage: Stage) -> None:
    """The terminal comes from the container's own devpts, and is its /dev/console too."""
    master = open_in_root(stage.root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    slave = pty.open_slave(master)
    size = task.spec.process.console_size
    if size is not None:
        pty.set_size(master, *size)
    with fds.owned(touch_in_root(stage.root, "/dev/console")) as target:
        libc.mount(proc_name(slave), proc_name(target), None, c.MS_BIND)
    fds.send_message(task.channel, Console().encode(), (master,))
    os.close(master)
    fds.install_stdio(slave, slave, slave)
    os.close(slave)
    pty.make_controlling(0)


def _finish_network(task: InitTask) -> None:
    """Only after the parent has put the interfaces here; the file system was built meanwhile."""
    if not task.spec.new_network_namespace:
        return
    data, _ = fds.recv_message(task.channel)
    if not data:
        os._exit(1)  # the parent is gone: nobody wants this container any more
    message = decode(data)
    if not isinstance(message, Network):
        raise StartError("network", 0, f"expected the network, got {message.kind!r}")
    try:
        netlink.configure(message.interfaces)
        if message.resolver:
            sockets = resolver.open_sockets()
            fds.send_message(task.channel, Resolver().encode(), sockets)
            for fd in sockets:
                os.close(fd)
    except OSError as error:
        raise StartError("network", error.errno or 0, f"cannot set up the network: {error}") from None


def _name_host(spec: Spec) -> None:
    if spec.namespace("uts") is None:
        return
    for name, call in ((spec.hostname, libc.sethostname), (spec.domainname, libc.setdomainname)):
        try:
            if name:
                call(name)
        except OSError as error:
            text = f"error during container init: {call.__name__}: {os.strerror(error.errno or 0).lower()}"
            raise StartError("uts", error.errno or 0, text) from None


def _waiter(task: InitTask) -> Callable[[], None] | None:
    """Blocks until somebody opens the fifo to read (OCI `start`)."""
    fifo = task.fifo
    if fifo is None:
        return None

    def wait() -> None:
        fds.send_message(task.channel, Ready().encode())
        os.close(os.open(fifo.name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=fifo.directory))
        os.close(fifo.directory)

    return wait
