"""Archives that commands write, to a file that appears when it is complete or to stdout, and those that they read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from machine.cli import show
from machine.cli.transfer_progress import LiveLine
from machine.errors import MachineError, NotFound, Usage

_PIECE: Final = 1024 * 1024


def write_archive(path: str | None, ask: Callable[[], Iterator[bytes]]) -> None:
    """`ask` gives the pieces. None is stdout, which must not be a terminal."""
    if path is not None:
        _write_whole(path, ask())
        return
    if sys.stdout.isatty():
        raise Usage("an archive does not belong on a terminal: give -o FILE, or redirect stdout")
    for piece in ask():
        sys.stdout.buffer.write(piece)
    sys.stdout.flush()


def _write_whole(path: str, pieces: Iterator[bytes]) -> None:
    """The file appears under its name only when it is complete."""
    live = LiveLine(sys.stderr)
    part = f"{path}.part-{os.getpid()}"
    written = 0
    try:
        with open(part, "xb") as file:
            for piece in pieces:
                file.write(piece)
                written += len(piece)
                live.show(f"saving {path}  {show.size(written)}")
        os.rename(part, path)
    except OSError as error:
        raise MachineError(f"cannot write {path}: {error.strerror}") from error
    finally:
        live.clear()
        if os.path.exists(part):
            os.unlink(part)


def open_archive(path: str | None) -> BinaryIO:
    """The file to read, which the caller closes. None is stdin, which must not be a terminal."""
    if path is None:
        if sys.stdin.isatty():
            raise Usage("there is no archive on a terminal: name a file, or redirect stdin")
        # A copy: closing it shall not close stdin.
        return os.fdopen(os.dup(0), "rb")
    try:
        return open(path, "rb")
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}") from error


def pieces(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(_PIECE), b"")
