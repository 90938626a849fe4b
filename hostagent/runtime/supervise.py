"""PID 1 of a container with `--init`: starts the program as its child, passes signals on, reaps what is orphaned."""

from __future__ import annotations

import os
import signal
import socket
from typing import NoReturn

from hostagent.runtime.processes import set_name

_KEPT = frozenset({signal.SIGCHLD, signal.SIGTTOU, signal.SIGTTIN})
"""Ours: the first is what we wait for, the others would stop us while the terminal is handed over."""


def split(channel: socket.socket) -> None:
    """Returns in a child that is to run the program; the caller stays behind as PID 1 and never returns.

    Both are as far as the caller was: the child seals and executes, the parent has let go of the channel so that
    its end still means "the program runs".
    """
    every = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_BLOCK, every)
    child = os.fork()
    if child:
        channel.close()
        set_name("init", "init")
        _serve(child, every)
    os.setpgid(0, 0)
    if os.isatty(0):
        os.tcsetpgrp(0, os.getpid())
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _serve(child: int, signals: set[signal.Signals]) -> NoReturn:
    """Exits with the child's code, 128 + n for signal n; everything else in the container dies with us."""
    while True:
        number = signal.sigwait(signals)
        if number not in _KEPT:
            try:
                os.kill(child, number)
            except ProcessLookupError:
                pass  # it has just ended: SIGCHLD is next
        status = _reap(child)
        if status is not None:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _reap(child: int) -> int | None:
    """Collect all ended children; the status of `child` when it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == child:
            return status
        if pid == 0:
            return None
