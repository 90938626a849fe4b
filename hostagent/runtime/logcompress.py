"""Compressing a rotated log file: in a child of the shim that lives no longer than that, and is polite."""

from __future__ import annotations

import os
import sys
import traceback
import zlib

from hostagent.kernel import fds

LEVEL = 1
"""Logs shrink tenfold at the quickest level already."""
GZIP = 31
"""zlib's window bits for a gzip header and trailer."""
BLOCK = 256 * 1024
NICENESS = 10


def start(path: str) -> int:
    """Fork a child that turns `path` into `path`.gz; its pid, for the caller to wait for."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        # Nothing of the shim's may be held open by us: not its lock, not its clients.
        fds.close_all_except((0, 1, 2))
        os.nice(NICENESS)
        compress(path)
        code = 0
    except BaseException:  # the process ends here: the last words go to the shim's own log
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)


def compress(path: str) -> None:
    """`path`.gz is there, complete, before `path` goes: a reader finds one of them at any moment."""
    temporary = f"{path}.gz.tmp"
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP)
    with open(path, "rb", buffering=0) as source, open(temporary, "wb", buffering=0) as target:
        while block := source.read(BLOCK):
            _write(target.fileno(), packer.compress(block))
        _write(target.fileno(), packer.flush())
    os.chmod(temporary, 0o640)
    os.rename(temporary, f"{path}.gz")
    os.unlink(path)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
