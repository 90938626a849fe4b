"""A Ctrl-C that a library swallows."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

from machine.workflow import interrupts


def test_one_that_was_swallowed_comes_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts.remembered():
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        interrupts.check()  # once
    assert signal.getsignal(signal.SIGINT) is before


def test_one_of_an_earlier_command_does_not() -> None:
    with suppress(KeyboardInterrupt), interrupts.remembered():
        os.kill(os.getpid(), signal.SIGINT)
    with interrupts.remembered():
        interrupts.check()
