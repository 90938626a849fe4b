"""Finds the keeper of a machine, or starts one."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from machine.client.keeper import protocol
from machine.client.keeper.paths import KeeperPaths, keeper_paths, make_directory
from machine.errors import Conflict, Denied, HostKeyMismatch, MachineError, NotFound, Unavailable
from machine.model.machine import Machine
from machine.model.namespace import network_namespace
from machine.model.paths import record_path

IDLE: Final = 600.0
"""Seconds without use after which a keeper ends."""
_ANSWER: Final = 60.0
_START: Final = 20.0
_LARGEST_LOG: Final = 1_000_000

AskPassphrase = Callable[[str], str]


def ensure_keeper(
    machine: Machine,
    *,
    keep_for: float = 0.0,
    ask: AskPassphrase | None = None,
    record: Path | None = None,
    idle: float = IDLE,
) -> Path:
    """The unix socket on which `machine`'s engine can be reached; starts a keeper when there is none.

    It does not wait for SSH: a failure comes as the answer to the first request. `keep_for`: seconds that it shall
    live though idle (for a shell that was pointed at it). `ask` is called with the key's path when that key is
    locked and the agent does not have it. `record`: the machine's file, read again at every reconnect.
    """
    paths = keeper_paths(machine.name)
    if _usable(paths, keep_for):
        return paths.engine
    make_directory(paths.directory)
    with _locked(paths.start):
        if not _usable(paths, keep_for):
            _end(paths)
            passphrase = _passphrase(machine, ask)
            _launch(machine, paths, record or record_path(machine.name), idle, passphrase)
            _tell(paths, protocol.Ping(keep_for))
    return paths.engine


def keeper_status(machine_name: str) -> protocol.Status | None:
    """None when no keeper runs."""
    try:
        answer = _tell(keeper_paths(machine_name), protocol.Ping())
    except Unavailable:
        return None
    return answer if isinstance(answer, protocol.Status) else None


def stop_keeper(machine_name: str) -> None:
    """Ends the keeper, its streams and its forwards; nothing if none runs. To be called before a machine goes."""
    paths = keeper_paths(machine_name)
    if paths.directory.is_dir():
        with _locked(paths.start):
            _end(paths)


def forget_keeper(machine_name: str) -> None:
    """Ends it and removes its files (the machine is gone)."""
    stop_keeper(machine_name)
    paths = keeper_paths(machine_name)
    for path in (paths.log, paths.life, paths.start):
        path.unlink(missing_ok=True)


def ask_keeper(machine_name: str, request: protocol.Request) -> protocol.Status | protocol.Forward:
    """Sends a request to a keeper that runs; its failures are raised as what they are."""
    answer = _tell(keeper_paths(machine_name), request)
    if isinstance(answer, protocol.Failure):
        kinds: dict[str, type[MachineError]] = {
            "host-key": HostKeyMismatch,
            "denied": Denied,
            "conflict": Conflict,
        }
        raise kinds.get(answer.kind, Unavailable)(answer.text)
    return answer


def _usable(paths: KeeperPaths, keep_for: float) -> bool:
    try:
        answer = _tell(paths, protocol.Ping(keep_for))
    except Unavailable:
        return False
    # One of another version may be carrying streams of another terminal, but its words are not ours.
    if not isinstance(answer, protocol.Status) or answer.version != protocol.VERSION:
        return False
    # A connection serves everybody. One that cannot be made from another namespace may well be made from ours.
    return answer.connected or answer.namespace in ("", network_namespace())


def _tell(paths: KeeperPaths, request: protocol.Request) -> protocol.Answer:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(_ANSWER)
        try:
            sock.connect(str(paths.control))
            sock.sendall(msgspec.json.encode(request) + b"\n")
            data = b"".join(iter(lambda: sock.recv(65536), b""))
        except TimeoutError:
            raise MachineError(f"the keeper of {paths.machine} does not answer: see {paths.log}") from None
        except OSError as error:
            raise Unavailable(f"no keeper of {paths.machine} runs") from error
    if not data:
        raise Unavailable(f"the keeper of {paths.machine} has just ended")
    try:
        answer: protocol.Answer = msgspec.json.decode(data, type=protocol.Answer)
        return answer
    except msgspec.DecodeError:
        # Another version's words; `_usable` replaces it.
        return protocol.Failure("unavailable", f"the keeper of {paths.machine} is of another version")


def _end(paths: KeeperPaths) -> None:
    """Tells a keeper to stop and waits until it has let go of its lock. Under the start lock."""
    try:
        _tell(paths, protocol.Stop())
    except Unavailable:
        pass  # none runs, or it is ending by itself: the lock tells
    with _locked(paths.life):
        pass


def _launch(machine: Machine, paths: KeeperPaths, record: Path, idle: float, passphrase: str | None) -> None:
    if not record.is_file():
        raise NotFound(f"there is no record of {machine.name} at {record}: pymachine ls shows what there is")
    mode = "ab" if paths.log.exists() and paths.log.stat().st_size < _LARGEST_LOG else "wb"
    start = msgspec.json.encode({"idle": idle, "passphrase": passphrase})
    with open(paths.log, mode, opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
        before = log.tell()
        try:
            # It forks once it listens; only the log is inherited. -P: a folder "machine" where the user happens to
            # be is not ours.
            done = subprocess.run(
                [sys.executable, "-P", "-m", "machine.client.keeper", record, paths.directory, machine.name],
                input=start,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                timeout=_START,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MachineError(f"the keeper of {machine.name} did not start within {_START:g} s") from None
    if done.returncode != 0:
        said = paths.log.read_bytes()[before:].decode(errors="replace").strip()
        raise MachineError(
            f"the keeper of {machine.name} did not start: {said.splitlines()[-1] if said else '?'}"
        )


def _passphrase(machine: Machine, ask: AskPassphrase | None) -> str | None:
    """Asked for here, because the keeper has no terminal; None when the key needs none."""
    if machine.identity_file is None:
        return None
    from machine.ssh.keys import in_agent, is_locked

    path = Path(machine.identity_file).expanduser()
    if not path.is_file() or not is_locked(path) or in_agent(path):
        return None
    if ask is None:
        raise Denied(f"the key {path} is locked by a passphrase: unlock it with ssh-add")
    return ask(str(path))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The lock on `path`; MachineError when somebody holds it for too long."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _START
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise MachineError(f"{path} is locked for too long: is a keeper hanging?") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(fd)
