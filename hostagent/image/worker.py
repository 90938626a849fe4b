"""The worker: `python -m hostagent.image.worker`, started for one operation, or kept for a while for small ones.

It stays single-threaded and forks a process per job, which jails itself in the layer that it unpacks. Jobs run side by
side, so layers unpack in parallel without the daemon's GIL and without an interpreter's start each.

    stdin   Request and Cancel lines; EOF = kill the jobs and end
    stdout  Message lines, each written whole (shorter than PIPE_BUF)
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
from typing import NoReturn

import msgspec

from hostagent import errors
from hostagent.image import copyfiles, files, fulldisk, work
from hostagent.image.buildjobs import BuildJob, DownloadJob
from hostagent.image.contextjobs import ContextJob
from hostagent.image.filejobs import FileJob
from hostagent.image.fulldisk import is_full
from hostagent.image.jobs import Answer, Cancel, Ended, Failed, Job, Line, LocalJob, Message, Report, Step
from hostagent.image.remotejobs import RemoteJob
from hostagent.kernel import constants as c
from hostagent.kernel import libc

LINE_LIMIT = 4096  # PIPE_BUF: a longer write could be torn by another job's
TEXT_LIMIT = 2000  # characters of an error

_encoder = msgspec.json.Encoder()


def _send(number: int, report: Report) -> None:
    line = _encoder.encode(Message(number, report)) + b"\n"
    assert len(line) <= LINE_LIMIT, f"a report of {len(line)} bytes"
    os.write(1, line)


def _perform(number: int, job: Job) -> Answer:
    def tell(step: Step) -> None:
        _send(number, step)

    if isinstance(job, LocalJob):
        return work.perform(job, tell)
    if isinstance(job, FileJob):
        return files.perform(job)
    if isinstance(job, BuildJob):
        return copyfiles.perform(job)
    if isinstance(job, ContextJob):
        from hostagent.image import contextfiles

        return contextfiles.perform(job)
    # urllib3 takes long to import: only who needs it has it.
    if isinstance(job, DownloadJob):
        from hostagent.image import download

        return download.perform(job)
    from hostagent.image import remote

    return remote.perform(job, tell)


def describe(error: BaseException) -> Failed:
    """The report of an exception."""
    if isinstance(error, errors.EngineError):
        return Failed(type(error).__name__, str(error)[:TEXT_LIMIT])
    if is_full(error):
        return Failed("EngineError", fulldisk.TEXT)
    return Failed("EngineError", f"{type(error).__name__}: {error}"[:TEXT_LIMIT])


def _child(number: int, job: Job, parent: int) -> NoReturn:
    """Run one job in this process and end it."""
    status = 1
    try:
        libc.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _send(number, _perform(number, job))
            status = 0
    except BaseException as error:  # whatever it is has to reach the daemon
        _send(number, describe(error))
        status = 0
    finally:
        os._exit(status)


def main() -> None:
    """Serve requests until stdin ends."""
    # A Ctrl-C at a terminal is for the daemon, which closes our stdin when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wake, wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wake_writer)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(wake, selectors.EVENT_READ)
    decoder = msgspec.json.Decoder(Line)
    jobs: dict[int, int] = {}
    pending = b""
    me = os.getpid()
    while True:
        ready = {key.fd for key, _ in selector.select()}
        if wake in ready:
            os.read(wake, 4096)
            _reap(jobs)
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                asked = decoder.decode(line)
                if isinstance(asked, Cancel):
                    for pid in [pid for pid, number in jobs.items() if number == asked.number]:
                        os.kill(pid, signal.SIGKILL)
                    continue
                if isinstance(asked.job, RemoteJob | DownloadJob):
                    # Once, for all forks that follow: a push or pull has many of these jobs.
                    import hostagent.image.remote  # noqa: F401
                pid = os.fork()
                if pid == 0:
                    _child(asked.number, asked.job, me)
                jobs[pid] = asked.number
    for pid in jobs:
        os.kill(pid, signal.SIGKILL)
    while jobs:
        pid, _ = os.wait()
        jobs.pop(pid, None)


def _reap(jobs: dict[int, int]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        how = ""
        if status != 0:
            killed = os.WIFSIGNALED(status)
            how = f"killed by {signal.Signals(os.WTERMSIG(status)).name}" if killed else "broken off"
            how = f"a job of the image worker was {how} (out of memory?); nothing was kept: try again"
        _send(jobs.pop(pid), Ended(how))


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(1)  # the daemon is gone
