"""The daemon's end of a worker: run jobs, hear progress, kill it when the operation is over."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

import msgspec

from hostagent.errors import EngineError
from hostagent.image.jobs import Answer, Cancel, Failed, Job, Message, Request, Step

AnswerT = TypeVar("AnswerT", bound=Answer)
Heard = Callable[[Step], None]

_GONE = "the image worker ended unexpectedly (killed?); nothing was kept: try again"


class Crew:
    """`async with Crew() as crew`: one worker process; leaving kills it with all of its jobs."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._jobs: dict[int, tuple[asyncio.Future[Answer], Heard | None]] = {}
        self._last = 0
        self._gone = False

    async def __aenter__(self) -> Crew:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "hostagent.image.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
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

    async def run(self, job: Job, answer: type[AnswerT], heard: Heard | None = None) -> AnswerT:
        """Run one job to its end. Raises what the job raised, as a class of hostagent.errors.

        When it is cancelled, the job is dead before this ends.
        """
        if self._gone:
            raise EngineError(_GONE)
        self._last += 1
        number = self._last
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._jobs[number] = (future, heard)
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(self._encoder.encode(Request(number, job)) + b"\n")
        try:
            await asyncio.wait({future})
            result = future.result()
        except asyncio.CancelledError:
            stdin.write(self._encoder.encode(Cancel(number)) + b"\n")
            await asyncio.wait({future})
            raise
        finally:
            self._jobs.pop(number, None)
            if future.done() and not future.cancelled():
                future.exception()  # whoever cancelled does not ask for it
        assert isinstance(result, answer)
        return result

    async def _listen(self) -> None:
        decoder = msgspec.json.Decoder(Message)
        stdout = self._process.stdout
        assert stdout is not None
        async for line in stdout:
            message = decoder.decode(line)
            future, heard = self._jobs.get(message.number, (None, None))
            if future is None or future.done():
                continue
            if isinstance(message.report, Step):
                if heard is not None:
                    heard(message.report)
            elif isinstance(message.report, Failed):
                future.set_exception(message.report.error())
            else:
                future.set_result(message.report)
        self._gone = True
        for future, _ in self._jobs.values():
            if not future.done():
                future.set_exception(EngineError(_GONE))
