"""The daemon's end of a worker: run jobs, hear progress, kill it when the operation is over."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

import msgspec

from hostagent.errors import EngineError
from hostagent.image.jobs import Answer, Cancel, Ended, Failed, Job, Message, Request, Step

log = logging.getLogger(__name__)

AnswerT = TypeVar("AnswerT", bound=Answer)
Heard = Callable[[Step], None]

_GONE = "the image worker ended unexpectedly (killed?); nothing was kept: try again"


class Crew:
    """`async with Crew() as crew`: one worker process; leaving kills it with all of its jobs."""

    def __init__(self, *inherited: int) -> None:
        """`inherited`: fds that its jobs may name."""
        self._inherited = inherited
        self._encoder = msgspec.json.Encoder()
        self._jobs: dict[int, tuple[asyncio.Future[Answer], Heard | None]] = {}
        self._to_their_end: set[int] = set()
        self._last = 0
        self._gone = False

    async def __aenter__(self) -> Crew:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "hostagent.image.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=self._inherited,
        )
        self._listener = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Its jobs die with it (PR_SET_PDEATHSIG); waiting for EOF on its stdout waits for them too.
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._listener

    @property
    def gone(self) -> bool:
        """Whether the worker has ended by itself: of no use any more."""
        return self._gone

    @property
    def pid(self) -> int:
        return self._process.pid

    async def run(
        self, job: Job, answer: type[AnswerT], heard: Heard | None = None, *, to_its_end: bool = False
    ) -> AnswerT:
        """Run one job. Raises what the job raised, as a class of hostagent.errors.

        With `to_its_end`, and when it is cancelled, its process is gone afterwards, and its mounts with it.
        """
        if self._gone:
            raise EngineError(_GONE)
        self._last += 1
        number = self._last
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._jobs[number] = (future, heard)
        if to_its_end:
            self._to_their_end.add(number)
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(self._encoder.encode(Request(number, job)) + b"\n")
        try:
            await asyncio.wait({future})
            result = future.result()
        except asyncio.CancelledError:
            self._to_their_end.add(number)
            stdin.write(self._encoder.encode(Cancel(number)) + b"\n")
            await asyncio.wait({future})
            raise
        finally:
            self._jobs.pop(number, None)
            self._to_their_end.discard(number)
            if future.done() and not future.cancelled():
                future.exception()  # whoever cancelled does not ask for it
        assert isinstance(result, answer)
        return result

    async def _listen(self) -> None:
        decoder = msgspec.json.Decoder(Message)
        stdout = self._process.stdout
        assert stdout is not None
        reports: dict[int, Answer | Failed] = {}
        async for line in stdout:
            try:
                message = decoder.decode(line)
            except msgspec.DecodeError:
                # It is of another version: the engine's files were replaced under it. Nothing that it says counts.
                log.exception(
                    "the image worker speaks another language; is a newer engine in this one's place?"
                )
                self._process.kill()
                break
            future, heard = self._jobs.get(message.number, (None, None))
            if future is None or future.done():
                continue
            if isinstance(message.report, Step):
                if heard is not None:
                    heard(message.report)
            elif isinstance(message.report, Ended):
                self._settle(future, reports.pop(message.number, Failed("EngineError", message.report.how)))
            elif message.number in self._to_their_end:
                reports[message.number] = message.report
            else:
                self._settle(future, message.report)
        self._gone = True
        for future, _ in self._jobs.values():
            if not future.done():
                future.set_exception(EngineError(_GONE))

    @staticmethod
    def _settle(future: asyncio.Future[Answer], report: Answer | Failed) -> None:
        if isinstance(report, Failed):
            future.set_exception(report.error())
        else:
            future.set_result(report)
