"""The child's side of a further process in a running container (`docker exec`)."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from typing import NoReturn

from hostagent.kernel import constants as c
from hostagent.kernel import fds, libc, pty
from hostagent.kernel.cgroup import Cgroup
from hostagent.kernel.cgroup_mounts import Hierarchy
from hostagent.runtime import idmap, program, rights
from hostagent.runtime.finish import exec_program, report_and_exit
from hostagent.runtime.messages import Console
from hostagent.runtime.rights import Rights
from hostagent.runtime.spec import Process

_NAMESPACES = c.CLONE_NEWNS | c.CLONE_NEWUTS | c.CLONE_NEWIPC | c.CLONE_NEWNET | c.CLONE_NEWCGROUP


@dataclass(frozen=True)
class EnterTask:
    """All that the child needs, decided by the parent."""

    process: Process
    rights: Rights
    cgroup: Cgroup | None
    init_pid: int
    init_pidfd: int
    stdio: tuple[int, int, int] | None
    channel: socket.socket
    further: int = 0
    """CLONE_NEW* of namespaces beside those that every container has."""
    owner: tuple[int, int] = (0, 0)
    """The host's (uid, gid) of the root of the container's user namespace."""


def further_namespaces(init_pid: int) -> int:
    """The user and time namespace, where the container has its own: one cannot join a user namespace again."""
    found = 0
    for name, flag in (("user", c.CLONE_NEWUSER), ("time", c.CLONE_NEWTIME)):
        try:
            theirs, ours = os.stat(f"/proc/{init_pid}/ns/{name}"), os.stat(f"/proc/self/ns/{name}")
        except FileNotFoundError:
            continue  # a kernel without them
        if not os.path.samestat(theirs, ours):
            found |= flag
    return found


def owner_of(init_pid: int) -> tuple[int, int]:
    """The host's IDs of the container's root: (0, 0) without a user namespace of its own."""
    found = []
    for name in ("uid_map", "gid_map"):
        with fds.owned(os.open(f"/proc/{init_pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)) as fd:
            ranges = idmap.parse(os.read(fd, 1 << 14).decode())
        found.append(next((each.outside for each in ranges if each.inside == 0), 0))
    return found[0], found[1]


def run(task: EnterTask, rest: tuple[Hierarchy, ...]) -> NoReturn:
    """Join the container that `init_pidfd` is in, with `rest` of its cgroup, and become the program. Never returns."""
    with report_and_exit(task.channel):
        program.forget_signals()
        libc.prctl(c.PR_SET_DUMPABLE, 0)
        if task.stdio is not None:
            fds.install_stdio(*task.stdio)
        fds.close_all_except((0, 1, 2, task.channel.fileno(), task.init_pidfd))
        rights.leave_host(task.rights)
        if task.cgroup is not None:
            _join(task.cgroup, task.init_pid, rest)
        if task.further & c.CLONE_NEWUSER:
            rights.raise_limits(task.rights)
            if task.stdio is not None:
                rights.give_stdio(task.owner)
        libc.setns(
            task.init_pidfd, _NAMESPACES | task.further
        )  # all at once (Linux 5.8); also moves root and cwd
        os.close(task.init_pidfd)
        if task.further & c.CLONE_NEWUSER:
            rights.become_root()
        os.setsid()
        if task.stdio is None:
            _open_console(task)
        exec_program(task.process, task.rights, task.channel)


def _join(cgroup: Cgroup, init_pid: int, rest: tuple[Hierarchy, ...]) -> None:
    """Into the container's group; when it has split that into groups of its own (systemd), into init's."""
    try:
        cgroup.add(0, rest)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        cgroup.join_like(init_pid)


def _open_console(task: EnterTask) -> None:
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    slave = pty.open_slave(master)
    if task.process.console_size is not None:
        pty.set_size(master, *task.process.console_size)
    fds.send_message(task.channel, Console().encode(), (master,))
    os.close(master)
    fds.install_stdio(slave, slave, slave)
    os.close(slave)
    pty.make_controlling(0)
