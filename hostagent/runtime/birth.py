"""Fork a container's first process, or a further one, from a warm single-threaded process.

All decisions are made before the fork, so that bad input raises here; what the child does is in init.py and enter.py.
Both callers are the shim, which stays the parent, and the OCI command. Everything a child runs is imported when this
module is: nothing is imported after a fork.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from hostagent.kernel import constants as c
from hostagent.kernel import fds, libc, process
from hostagent.kernel.cgroup import Cgroup, Fork
from hostagent.runtime import enter, init, program, rights, timens, usergate
from hostagent.runtime.plan import FilesystemPlan, plan
from hostagent.runtime.spec import Home, Process, Spec

NOT_INVOCABLE = program.NOT_INVOCABLE

Stdio = tuple[int, int, int]


@dataclass(frozen=True)
class Child:
    """A forked process that is on its way to its program.

    `channel` carries hostagent.runtime.messages; its end without `Failed` means that the program runs. The caller
    owns `pidfd`, `channel` and `original_pid_namespace` (see `leave_pid_namespace`), and reaps `pid`.
    """

    pid: int
    pidfd: int
    channel: socket.socket
    warnings: tuple[str, ...] = ()
    original_pid_namespace: int | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Decided:
    """What a start needs beside the spec, thought out before anything is made."""

    plan: FilesystemPlan
    rights: rights.Rights
    warnings: tuple[str, ...]


def decide(spec: Spec, bundle: str) -> Decided:
    """Raises Invalid for a spec that cannot be run, OSError when the seccomp filter cannot be read."""
    file_plan = plan(spec, bundle)
    granted, warnings = rights.decide(spec.process, spec.seccomp_path)
    return Decided(file_plan, granted, tuple(warnings))


def fork_init(
    spec: Spec,
    bundle: str,
    stdio: Stdio | None,
    exec_fifo: str | None = None,
    sibling: bool = False,
    decided: Decided | None = None,
) -> Child:
    """Start the container of `bundle`. `stdio` None: init opens a terminal and sends its master.

    The cgroup is made and limited before the fork. Afterwards forks of the caller land in the container's PID
    namespace (a second container from the same caller wants `leave_pid_namespace` first). With `exec_fifo` init
    waits there before execve, after `Ready`. A `sibling` is a child of the caller's parent. Raises Invalid for a
    spec that cannot be run, OSError.
    """
    if decided is None:
        decided = decide(spec, bundle)
    warnings = list(decided.warnings)
    cgroup = Cgroup(spec.cgroups_path) if spec.cgroups_path else None
    joined: list[tuple[int, int]] = []
    ours, theirs = fds.channel_pair()
    fifo = original = None
    try:
        for namespace in spec.namespaces:
            if namespace.path and namespace.kind in init.NAMESPACE_FLAGS:
                joined.append((_open(namespace.path), init.NAMESPACE_FLAGS[namespace.kind]))
        if exec_fifo is not None:
            directory = os.open(os.path.dirname(exec_fifo), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            fifo = init.ExecFifo(directory, os.path.basename(exec_fifo))
        if cgroup is not None:
            warnings += cgroup.create(spec.resources)
        task = init.InitTask(spec, decided.plan, decided.rights, cgroup, tuple(joined), stdio, fifo, theirs)
        if spec.namespace("user") is not None:
            return _through_the_gate(task, ours, warnings, sibling)
        timens.enter(spec)
        original = _enter_pid_namespace(spec)
        if cgroup is not None:
            forked = cgroup.fork(sibling)
        else:
            forked = Fork(*(process.fork_sibling() if sibling else process.fork()))
        if forked.pid == 0:
            init.run(task, forked.rest)
        return Child(forked.pid, forked.pidfd, ours, tuple(warnings), original)
    except BaseException:
        ours.close()
        if original is not None:
            _return_to(original)
        raise
    finally:
        theirs.close()
        for fd, _ in joined:
            os.close(fd)
        if fifo is not None:
            os.close(fifo.directory)


def _through_the_gate(task: init.InitTask, ours: socket.socket, warnings: list[str], sibling: bool) -> Child:
    if not sibling:
        libc.prctl(c.PR_SET_CHILD_SUBREAPER, 1)  # init is to be ours
    try:
        forked = usergate.fork(task)
    except usergate.GateClosed as error:
        task.channel.close()
        data, _ = fds.recv_message(ours)
        raise usergate.reason(data) or error from None
    finally:
        if not sibling:
            # Of nobody else's orphans: who waits for its own children only would keep each as a zombie.
            libc.prctl(c.PR_SET_CHILD_SUBREAPER, 0)
    return Child(forked.pid, forked.pidfd, ours, tuple(warnings))


def fork_exec(command: Process, home: Home, init_pid: int, stdio: Stdio | None) -> Child:
    """Start `command` in the running container whose init is `init_pid` (as the caller's /proc names it).

    The caller must hold `init_pid` (be its parent), or accept that a pid can be reused. May be called any number of
    times; the caller's own namespaces are as before when it returns. Raises OSError.
    """
    granted, warnings = rights.decide(command, home.seccomp_path)
    cgroup = Cgroup(home.cgroups_path) if home.cgroups_path else None
    ours, theirs = fds.channel_pair()
    original = None
    try:
        with fds.owned(libc.pidfd_open(init_pid)) as init_pidfd:
            extra = enter.further_namespaces(init_pid)
            owner = enter.owner_of(init_pid) if extra & c.CLONE_NEWUSER else (0, 0)
            task = enter.EnterTask(
                command, granted, cgroup, init_pid, init_pidfd, stdio, theirs, extra, owner
            )
            original = _follow_pid_namespace(init_pid)
            forked = cgroup.fork() if cgroup is not None else Fork(*process.fork())
            if forked.pid == 0:
                enter.run(task, forked.rest)
        return Child(forked.pid, forked.pidfd, ours, tuple(warnings))
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        if original is not None:
            _return_to(original)


def leave_pid_namespace(child: Child) -> None:
    """Undo what `fork_init` did to the caller: its later forks are in its own PID namespace again."""
    if child.original_pid_namespace is not None:
        _return_to(child.original_pid_namespace)


def _enter_pid_namespace(spec: Spec) -> int | None:
    """Point the caller's later forks at the container's PID namespace; an fd of the one before."""
    namespace = spec.namespace("pid")
    if namespace is None:
        return None
    original = _open("/proc/self/ns/pid_for_children")
    try:
        if namespace.path is None:
            libc.unshare(c.CLONE_NEWPID)
        else:
            with fds.owned(_open(namespace.path)) as fd:
                libc.setns(fd, c.CLONE_NEWPID)
    except BaseException:
        os.close(original)
        raise
    return original


def _follow_pid_namespace(init_pid: int) -> int | None:
    """Point the caller's later forks there; None when they land there anyway."""
    with fds.owned(_open(f"/proc/{init_pid}/ns/pid")) as theirs:
        original = _open("/proc/self/ns/pid_for_children")
        if os.path.samestat(os.fstat(theirs), os.fstat(original)):
            os.close(original)
            return None
        libc.setns(theirs, c.CLONE_NEWPID)
    return original


def _return_to(namespace: int) -> None:
    with fds.owned(namespace):
        libc.setns(namespace, c.CLONE_NEWPID)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
