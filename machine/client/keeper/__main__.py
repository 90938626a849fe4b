"""`python -m machine.client.keeper RECORD DIRECTORY NAME`: binds, detaches, keeps.

Reads one JSON object from stdin (`Start`). The process that was started ends with 0 once its child listens, so
that whoever started it can connect; the child is in a session of its own, holds no descriptor of anybody, and
logs to stderr, which is its log file.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import sys
from pathlib import Path

import msgspec

from machine.client.keeper.paths import KeeperPaths, make_directory
from machine.client.keeper.server import Keeper
from machine.errors import MachineError

log = logging.getLogger("keeper")


class Start(msgspec.Struct, frozen=True):
    """`idle`: seconds without use after which it ends; `passphrase` of the machine's key file, kept in memory."""

    idle: float
    passphrase: str | None = None


def main(arguments: list[str]) -> int:
    record, directory, name = arguments
    start = msgspec.json.decode(sys.stdin.buffer.read(), type=Start)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    logging.getLogger("paramiko").setLevel(logging.WARNING)
    paths = KeeperPaths(Path(directory), name)
    os.umask(0o077)
    try:
        make_directory(paths.directory)
    except MachineError as error:
        log.error("%s", error)
        return 1
    life = os.open(paths.life, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(life, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.error("another keeper of %s is alive", name)
        return 1
    engine, control = _bind(paths.engine), _bind(paths.control)
    if os.fork():
        os._exit(0)
    os.setsid()
    _forget_starter()
    try:
        asyncio.run(_keep(Path(record), start, engine, control))
    finally:
        # Before the lock goes, so that a successor's sockets are never the ones removed.
        for path, listener in ((paths.engine, engine), (paths.control, control)):
            path.unlink(missing_ok=True)
            listener.close()
        log.info("ended")
    return 0


async def _keep(record: Path, start: Start, engine: socket.socket, control: socket.socket) -> None:
    await Keeper(record, passphrase=start.passphrase, idle=start.idle).serve(engine, control)


def _bind(path: Path) -> socket.socket:
    """A listening unix socket, 0600 from its first moment; a predecessor's is removed (we hold its lock)."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    listener.bind(str(path))
    os.umask(before)
    listener.listen(128)
    return listener


def _forget_starter() -> None:
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    # Threads of paramiko may hang in a handshake with a silent host: they have nothing to lose.
    os._exit(status)
