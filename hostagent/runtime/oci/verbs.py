"""plan, state, kill, delete and exec: what is asked about a container, or done to one that exists."""

from __future__ import annotations

import json
import os
import select
import signal
from dataclasses import replace

from hostagent.errors import Conflict, Invalid
from hostagent.kernel import fds, libc
from hostagent.kernel.cgroup import Cgroup
from hostagent.runtime import birth
from hostagent.runtime import plan as plans
from hostagent.runtime import spec as specs
from hostagent.runtime.oci import terminal
from hostagent.runtime.oci.create import await_program, warn
from hostagent.runtime.oci.state import State, Store, open_process

_KILL_TIMEOUT_MS = 10_000


def plan(bundle: str) -> str:
    """What `create` would do to build the root, one step a line."""
    decided = plans.plan(specs.load(os.path.join(bundle, "config.json")), bundle)
    return "\n".join(step.describe() for step in (*decided.build, *decided.seal))


def state(store: Store, container: str) -> str:
    """The state document of the runtime spec, as JSON."""
    found = store.load(container)
    status = store.status(found)
    document = {
        "ociVersion": "1.1.0",
        "id": found.id,
        "status": status,
        "pid": 0 if status == "stopped" else found.pid,
        "bundle": found.bundle,
        "annotations": found.annotations,
    }
    return json.dumps(document, indent=2)


def kill(store: Store, container: str, number: signal.Signals, everyone: bool) -> None:
    """Signal the init process, or every process of the container."""
    found = store.load(container)
    if everyone and found.cgroup:
        _kill_all(Cgroup(found.cgroup), number)
        return
    pidfd = open_process(found)
    if pidfd is None:
        raise Conflict(f"container {container!r} is not running")
    with fds.owned(pidfd):
        libc.pidfd_send_signal(pidfd, number)


def delete(store: Store, container: str, force: bool) -> None:
    """Remove what is left of a stopped container; with `force` end it first, and do nothing if there is none."""
    if force and not os.path.isdir(store.directory(container)):
        return
    found = store.load(container)
    if store.status(found) == "running" and not force:
        raise Conflict(f"container {container!r} is running: stop it first, or use --force")
    _end(found)
    if found.cgroup:
        cgroup = Cgroup(found.cgroup)
        cgroup.kill()
        cgroup.delete()
    store.forget(container)


def execute(store: Store, container: str, process: specs.Process, detach: bool, pid_file: str | None) -> int:
    """Run a further process in the container: its exit code, or 0 at once when detached."""
    found = store.load(container)
    if store.status(found) != "running":
        raise Conflict(f"container {container!r} is {store.status(found)}: exec needs a running one")
    if detach and process.terminal:
        raise Invalid("a detached process has nobody to hold its terminal")
    spec = specs.load(os.path.join(found.bundle, "config.json"))
    relay = terminal.Relay() if process.terminal else None
    child = birth.fork_exec(process, spec.home, found.pid, None if relay else (0, 1, 2))
    warn(child)
    await_program(child, relay.take if relay else None)
    if pid_file:
        with open(pid_file, "w", encoding="ascii") as file:
            file.write(str(child.pid))
    return 0 if detach else terminal.attend(child, relay)


def process_like(
    base: specs.Process,
    args: tuple[str, ...],
    env: tuple[str, ...],
    cwd: str | None,
    user: str | None,
    tty: bool,
) -> specs.Process:
    """A further process with the first one's rights, and what the command line says."""
    return replace(
        base,
        args=args,
        env=(*base.env, *env),
        cwd=cwd or base.cwd,
        user=specs.User(username=user) if user else base.user,
        terminal=tty,
        console_size=None,
    )


def _kill_all(cgroup: Cgroup, number: signal.Signals) -> None:
    if number == signal.SIGKILL:
        cgroup.kill()
        return
    for pid in cgroup.pids():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # it has ended meanwhile


def _end(found: State) -> None:
    pidfd = open_process(found)
    if pidfd is None:
        return
    with fds.owned(pidfd):
        libc.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(_KILL_TIMEOUT_MS):
            raise Conflict(f"container {found.id!r} (pid {found.pid}) does not end, even by SIGKILL")
