"""The exit record: how a container ended, on disk before anybody is told, for daemons that were not there."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict
from functools import lru_cache

from hostagent.runtime.protocol import Exit

NAME = "exit.json"
LOCK = "lock"
_MARK = b"\nexit "


@lru_cache(maxsize=1)
def boot_id() -> str:
    """The kernel's random ID of this boot (proc(5))."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def write(bundle: str, record: Exit, durable: bool, lock: int) -> None:
    """`<bundle>/exit.json`; with `durable` it survives a power cut.

    On a full disk it goes into the lock file (`lock` is its fd), behind what is there: that block is allocated.
    """
    data = json.dumps(asdict(record)).encode()
    try:
        _write_file(bundle, data, durable)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        os.pwrite(lock, _MARK + data, os.fstat(lock).st_size)
        if durable:
            os.fsync(lock)


def _write_file(bundle: str, data: bytes, durable: bool) -> None:
    temporary = f"{bundle}/.{NAME}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        if os.write(fd, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), temporary)
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, f"{bundle}/{NAME}")
    if durable:
        folder = os.open(bundle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(bundle: str) -> Exit | None:
    """None when the container has not ended (or never started)."""
    for name in (NAME, LOCK):
        try:
            with open(f"{bundle}/{name}", "rb") as file:
                data = file.read()
        except FileNotFoundError:
            continue
        _, marked, behind = data.partition(_MARK)
        if name == NAME or marked:
            return Exit(**json.loads(behind if name == LOCK else data))
    return None


def remove(bundle: str) -> None:
    """Before another start."""
    try:
        os.unlink(f"{bundle}/{NAME}")
    except FileNotFoundError:
        pass
