"""Archives that commands write: to a file that appears when it is complete, or to stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

from machine.cli import show
from machine.cli.transfer_progress import LiveLine
from machine.errors import MachineError, Usage


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
