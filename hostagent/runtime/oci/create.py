"""create, start and run: the container's first process."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

from hostagent.errors import Conflict, EngineError, Invalid
from hostagent.kernel import fds
from hostagent.kernel.cgroup import Cgroup
from hostagent.runtime import birth, messages
from hostagent.runtime import spec as specs
from hostagent.runtime.oci import terminal
from hostagent.runtime.oci.state import State, Store, open_process, start_time

Console = Callable[[int], None]
"""Takes the terminal's master, and owns it."""


def create(
    store: Store, container: str, bundle: str, pid_file: str | None, console_socket: str | None
) -> None:
    """Build the container up to its program, which waits for `start`."""
    spec = _load(bundle)
    if spec.process.terminal != bool(console_socket):
        raise Invalid(
            "--console-socket goes together with process.terminal, one without the other cannot work"
        )
    store.reserve(container)
    try:
        os.mkfifo(store.fifo(container), 0o600)
        console = _sender(console_socket) if console_socket else None
        child = _fork(spec, bundle, console, store.fifo(container))
        _remember(store, container, child, spec, bundle, pid_file)
    except BaseException:
        _undo(store, container, spec)
        raise


def start(store: Store, container: str) -> None:
    """Let the created container's program run."""
    state = store.load(container)
    if store.status(state) != "created":
        raise Conflict(f"container {container!r} is {store.status(state)}: only a created one can be started")
    pidfd = open_process(state)
    if pidfd is None:
        raise Conflict(f"container {container!r} has stopped")
    with fds.owned(pidfd), fds.owned(os.open(store.fifo(container), os.O_RDONLY | os.O_NONBLOCK)) as fifo:
        poll = select.poll()
        poll.register(fifo, select.POLLHUP)  # init has opened its end and closed it again
        poll.register(pidfd, select.POLLIN)
        poll.poll()
    os.unlink(store.fifo(container))


def run(store: Store, container: str, bundle: str, pid_file: str | None, detach: bool) -> int:
    """Create and start in one. Attached, the exit code is the program's; detached, 0 once it runs."""
    spec = _load(bundle)
    if detach and spec.process.terminal:
        raise Invalid(
            "a detached container has nobody to hold its terminal: use create with --console-socket"
        )
    store.reserve(container)
    relay = terminal.Relay() if spec.process.terminal else None
    try:
        child = _fork(spec, bundle, relay.take if relay else None, None)
        _remember(store, container, child, spec, bundle, pid_file)
    except BaseException:
        _undo(store, container, spec)
        raise
    if detach:
        return 0
    try:
        return terminal.attend(child, relay)
    finally:
        _undo(store, container, spec)


def await_program(child: birth.Child, console: Console | None) -> None:
    """Talk to a forked child until its program runs, or it waits at the fifo. Raises EngineError when it failed."""
    with child.channel as channel:
        while True:
            data, received = fds.recv_message(channel)
            if not data:
                return
            match messages.decode(data):
                case messages.Namespaces():
                    # The caller may set up interfaces from outside later; there are none to wait for.
                    _answer_network(channel)
                case messages.Console():
                    if console is None:
                        raise EngineError("init opened a terminal that nobody asked for")
                    console(received[0])
                case messages.Ready():
                    return
                case messages.Failed(message=text):
                    os.waitpid(child.pid, 0)
                    raise EngineError(f"unable to start container process: {text}")


def warn(child: birth.Child) -> None:
    for warning in child.warnings:
        os.write(2, f"warning: {warning}\n".encode())


def _answer_network(channel: socket.socket) -> None:
    fds.send_message(channel, messages.Network().encode())


def _load(bundle: str) -> specs.Spec:
    path = os.path.join(bundle, "config.json")
    try:
        return specs.load(path)
    except FileNotFoundError:
        raise Invalid(f"no config.json in bundle {bundle}") from None


def _fork(spec: specs.Spec, bundle: str, console: Console | None, fifo: str | None) -> birth.Child:
    child = birth.fork_init(spec, bundle, None if spec.process.terminal else (0, 1, 2), fifo)
    warn(child)
    await_program(child, console)
    return child


def _remember(
    store: Store, container: str, child: birth.Child, spec: specs.Spec, bundle: str, pid_file: str | None
) -> None:
    started = start_time(child.pid) or 0
    store.save(State(container, child.pid, started, bundle, spec.cgroups_path, dict(spec.annotations)))
    if pid_file:
        temporary = f"{pid_file}.tmp"
        with open(temporary, "w", encoding="ascii") as file:
            file.write(str(child.pid))
        os.rename(temporary, pid_file)


def _undo(store: Store, container: str, spec: specs.Spec) -> None:
    if spec.cgroups_path:
        cgroup = Cgroup(spec.cgroups_path)
        cgroup.kill()
        cgroup.delete()
    store.forget(container)


def _sender(path: str) -> Console:
    """Hands the master over as runc does: one message on a stream socket, the fd attached."""

    def send(master: int) -> None:
        with fds.owned(master), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(path)
            fds.send_message(connection, b"/dev/ptmx", (master,))

    return send
