"""The way into a container's user namespace: a short-lived process between the builder and init.

What needs the host's root happens before: the layers are mounted with shifted owners, the sources of binds are opened,
limits are raised. Then this process steps into the user namespace, makes the other namespaces there, so that they
belong to it, forks init as their first process, and ends. Init becomes the child of the nearest subreaper: the shim.
"""

from __future__ import annotations

import os
import socket
from typing import NoReturn

from hostagent.errors import EngineError
from hostagent.kernel import constants as c
from hostagent.kernel import fds, libc, process
from hostagent.kernel.cgroup import Fork
from hostagent.kernel.cgroup_mounts import Hierarchy
from hostagent.runtime import idmap, init, messages, rights, timens
from hostagent.runtime.finish import report_and_exit
from hostagent.runtime.idmap import IdMappings
from hostagent.runtime.init import ExecFifo, InitTask
from hostagent.runtime.steps import BindMount, Stage
from hostagent.runtime.volume_step import MountVolume


class GateClosed(EngineError):
    """The way in failed; the text is what init would have said."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.errno = number


def fork(task: InitTask) -> Fork:
    """Init inside its user namespace; a child of the nearest subreaper as soon as this returns. Raises OSError,
    GateClosed (then the reason is taken from `task.channel`'s other end: see `reason`)."""
    ours, theirs = fds.channel_pair()
    try:
        forked = task.cgroup.fork() if task.cgroup is not None else Fork(*process.fork())
        if forked.pid == 0:
            _pass(task, forked.rest, theirs.fileno())
        theirs.close()
        data, received = fds.recv_message(ours)
    finally:
        ours.close()
    os.waitpid(forked.pid, 0)
    os.close(forked.pidfd)
    if not data:
        raise GateClosed("the process that enters the user namespace ended", 0)
    return Fork(int(data), received[0])


def _pass(task: InitTask, rest: tuple[Hierarchy, ...], answer: int) -> NoReturn:
    with report_and_exit(task.channel):
        init.leave_parent(task, rest, (answer,))
        mappings = task.spec.mappings
        namespace = _open(task.spec.namespace_path("user"), mappings)
        stage = Stage(user_namespace=namespace, owner=mappings.root)
        libc.unshare(c.CLONE_NEWNS)
        init.execute(task.plan.outer, stage)
        root = libc.open_tree(stage.root, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH | c.AT_RECURSIVE)
        os.close(stage.root)
        init.prepare([step for step in task.plan.build if isinstance(step, BindMount | MountVolume)], stage)
        rights.raise_limits(task.rights)
        rights.give_stdio(mappings.root)
        if task.fifo is not None:
            _let_in(task.fifo, mappings.root)
        timens.enter(task.spec)
        libc.setns(namespace, c.CLONE_NEWUSER)
        os.close(namespace)
        libc.unshare(c.CLONE_NEWNS)
        _attach(root, task.plan.target, stage)
        rights.become_root()
        init.enter_namespaces(task, without=c.CLONE_NEWNS)
        if task.spec.makes("pid"):
            libc.unshare(c.CLONE_NEWPID)
        elif path := task.spec.namespace_path("pid"):
            with fds.owned(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as fd:
                libc.setns(fd, c.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            os.close(answer)
            init.run_inside(task, stage)
        with fds.owned(libc.pidfd_open(pid)) as pidfd:
            _tell(answer, pid, pidfd)
        os._exit(0)


def _open(path: str | None, mappings: IdMappings) -> int:
    """An fd of the user namespace: another container's, or a new one with these mappings."""
    if path is not None:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    made, tell_made = os.pipe()
    seen, tell_seen = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(tell_seen)
            libc.unshare(c.CLONE_NEWUSER)
            os.write(tell_made, b"1")
            os.read(seen, 1)
        finally:
            os._exit(0)
    os.close(tell_made)
    os.close(seen)
    try:
        if not os.read(made, 1):
            raise OSError("this kernel makes no user namespace: see /proc/sys/user/max_user_namespaces")
        for name, ranges in (("uid_map", mappings.uids), ("gid_map", mappings.gids)):
            with fds.owned(os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)) as fd:
                os.write(fd, idmap.written(ranges))
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(made)
        os.close(tell_seen)
        os.waitpid(pid, 0)


def _let_in(fifo: ExecFifo, owner: tuple[int, int]) -> None:
    """Where init waits for `start` is the host's root's: it may open that one file, and reach it."""
    os.chown(fifo.name, *owner, dir_fd=fifo.directory)
    os.chown(".", -1, owner[1], dir_fd=fifo.directory)
    os.chmod(".", 0o710, dir_fd=fifo.directory)  # noqa: S103 - its group may search it, no more


def _attach(root: int, target: str, stage: Stage) -> None:
    """The root's mount, made outside, in the namespace's own tree: there it is not locked, as a copied one would be."""
    with fds.owned(root):
        with fds.owned(os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as place:
            flags = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH
            libc.move_mount(root, "", place, "", flags)
    stage.root = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _tell(answer: int, pid: int, pidfd: int) -> None:
    with socket.socket(fileno=answer) as channel:
        fds.send_message(channel, str(pid).encode(), (pidfd,))


def reason(data: bytes) -> GateClosed | None:
    """What the failed gate said on init's channel."""
    message = messages.decode(data) if data else None
    if isinstance(message, messages.Failed):
        return GateClosed(message.message, message.errno)
    return None
