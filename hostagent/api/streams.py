"""Content types of byte streams, and progress streams of JSON lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from hostagent import wire
from hostagent.api.ports import ReportProgress
from hostagent.api.version import Version
from hostagent.errors import EngineError, StepFailed

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
_LINE_END = b"\r\n"


def content_type(multiplexed: bool, version: Version) -> str:
    """Of a container's output: the multiplexed kind has a name of its own since API 1.42."""
    return MULTIPLEXED if multiplexed and version >= (1, 42) else RAW


def upgrade_head(kind: str, asked: bool) -> bytes:
    """The head before a raw stream: 101 when the client asked for an upgrade, as old ones do not."""
    if asked:
        return f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {kind}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode()


def chunked_head(headers: Sequence[tuple[str, str]]) -> bytes:
    """The head of a JSON answer whose chunks somebody else will write, before the connection ends."""
    last = (("Content-Type", "application/json"), ("Transfer-Encoding", "chunked"), ("Connection", "close"))
    lines = [f"{name}: {value}\r\n" for name, value in (*headers, *last)]
    return f"HTTP/1.1 200 OK\r\n{''.join(lines)}\r\n".encode()


async def progress_lines(
    work: Callable[[ReportProgress], Awaitable[object]],
    last: Callable[[object], wire.Progress | None] = lambda result: None,
    *,
    tells_all: bool = False,
) -> AsyncIterator[bytes]:
    """Runs `work` and yields what it reports as JSON lines, then the line that `last` makes of its result.

    An error before the first line is raised, to become an HTTP error, unless the stream `tells_all`; later it is the
    last line, since the answer says 200 already. Lines that come faster than the client reads them are sent together.
    """
    reported: list[bytes] = []
    news = asyncio.Event()

    def report(progress: wire.Progress) -> None:
        reported.append(wire.encode(progress) + _LINE_END)
        news.set()

    began = False
    task = asyncio.get_running_loop().create_task(_outcome(work, report, news))
    try:
        while reported or not task.done():
            if not reported:
                await news.wait()
                news.clear()
                continue
            lines = b"".join(reported)
            reported.clear()
            began = True
            yield lines
        result, error = await task
    finally:
        # The client went away in the middle: the work ends before the stream does.
        task.cancel()
        await asyncio.wait([task])
    if error is not None and not began and not tells_all:
        raise error
    line = last(result) if error is None else failure(error)
    if line is not None:
        yield wire.encode(line) + _LINE_END


async def _outcome(
    work: Callable[[ReportProgress], Awaitable[object]], report: ReportProgress, news: asyncio.Event
) -> tuple[object, Exception | None]:
    try:
        return await work(report), None
    except Exception as error:
        return None, error
    finally:
        news.set()


def failure(error: Exception) -> wire.Progress:
    """An error as the last line of a progress stream."""
    text = (
        str(error) if isinstance(error, EngineError) else f"internal error: {type(error).__name__}: {error}"
    )
    code = error.code if isinstance(error, StepFailed) else 0
    return wire.Progress(error_detail=wire.ErrorDetail(code=code, message=text), error=text)
