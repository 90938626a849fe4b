"""Ctrl-C that is not lost: libraries have an `except:` here and there, and of destructors Python only prints it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_pressed = threading.Event()


@contextmanager
def remembered() -> Iterator[None]:
    """While this lasts `check` knows of every Ctrl-C. Nothing changes outside the main thread: it alone gets them."""
    if not _in_main_thread():
        yield
        return
    _pressed.clear()
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def check() -> None:
    """KeyboardInterrupt when somebody has pressed Ctrl-C and whoever was at work has swallowed it."""
    if _in_main_thread() and _pressed.is_set():
        _pressed.clear()
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    _pressed.set()
    raise KeyboardInterrupt


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
