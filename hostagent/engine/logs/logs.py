"""What `docker logs` gives: a container's log from an end, in a window of time, following it as it grows."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from urllib.parse import quote_plus

from hostagent.engine.container import Container
from hostagent.engine.life import waiting
from hostagent.engine.logs import logdrivers, logfiles, logjournal
from hostagent.engine.logs.logfiles import LogFile, LogFiles
from hostagent.engine.logs.logformats import Entry, nine_digits
from hostagent.engine.logs.logwatch import LogWatch, News
from hostagent.engine.timestamps import timestamp
from hostagent.errors import Unsupported
from hostagent.model.stream import LogOptions
from hostagent.runtime.loglines import STREAM_IDS
from hostagent.wire import LogConfig

Running = Callable[[], bool]
Entries = AsyncGenerator[list[Entry], None]


class Logs:
    """Knows the daemon's default log driver, and reads the logs of all that can be read."""

    def __init__(self, watch: LogWatch, default: LogConfig) -> None:
        """Invalid for a default that cannot be."""
        logdrivers.check(default.type, default.config or {})
        self._watch = watch
        self.default = default

    def complete(self, given: LogConfig) -> LogConfig:
        """What a container was given, with the defaults. Invalid or Unsupported for what cannot be."""
        return logdrivers.complete(given, self.default)

    def read(
        self, container: Container, options: LogOptions, framed: bool = True
    ) -> AsyncGenerator[bytes, None]:
        """Bytes as a client wants them: in frames if `framed`, but never of a terminal. With `follow` until its end.

        Unsupported, in Docker's words, when its driver keeps nothing that could be read.
        """
        driver = container.host.log_config.type
        if driver == "none":
            raise Unsupported("configured logging driver does not support reading")
        ended = waiting.exit_future(container) if container.state.running else _done()

        def running() -> bool:
            return container.state.running

        if driver == "journald":
            entries = logjournal.entries(container.id, options, running, ended)
        else:
            entries = file_entries(logdrivers.files(container), self._watch, options, running, ended)
        return _bytes(entries, options, multiplexed=framed and not container.config.tty, ended=ended)


async def _bytes(
    entries: Entries, options: LogOptions, multiplexed: bool, ended: asyncio.Future[int]
) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(entries):
            async for some in entries:
                out, past_until = convert(some, options, multiplexed)
                if out:
                    yield out
                if past_until:
                    return
                await asyncio.sleep(0)
    finally:
        ended.cancel()  # nobody waits for it any more


async def file_entries(
    files: LogFiles, watch: LogWatch, options: LogOptions, running: Running, ended: asyncio.Future[int]
) -> Entries:
    """From files that may be rotated meanwhile."""
    try:
        news_of = watch.news(files.path)
        with news_of as news:
            ended.add_done_callback(lambda _: news.changed.set())
            opened = files.open_all(news)
            try:
                if options.tail >= 0:
                    opened = _only_last(opened, files, options.tail)
                async with aclosing(_follow(opened, files, news, options.follow, running)) as following:
                    async for some in following:
                        yield some
            finally:
                logfiles.close(opened)
    except FileNotFoundError:
        return  # the container was removed, and its folder with it


async def _follow(
    opened: list[LogFile], files: LogFiles, news: News, follow: bool, running: Running
) -> Entries:
    """All that is in `opened`; then, if wanted, what comes. `opened` holds what is still to be closed."""
    generation = opened[-1].generation if opened else news.rotations - 1
    while True:
        news.changed.clear()
        # Asked before the read: what was written before is then seen.
        over = not follow or not running()
        for some in _drain(opened[0], files) if opened else ():
            yield some
        if len(opened) > 1:
            opened.pop(0).close()
            continue
        if follow and (file := await files.after(generation, news)):
            # It is complete since it was moved away, and what came last may have come after our last look.
            for some in _drain(opened[0], files) if opened else ():
                yield some
            opened.append(file)
            generation = file.generation
            continue
        if over:
            return
        await news.changed.wait()


def _drain(file: LogFile, files: LogFiles) -> Iterable[list[Entry]]:
    while data := file.read():
        entries, used = files.form.parse(data)
        file.keep(data[used:])
        if file.skip:
            skipped = min(file.skip, len(entries))
            file.skip -= skipped
            entries = entries[skipped:]
        yield entries


def _only_last(opened: list[LogFile], files: LogFiles, wanted: int) -> list[LogFile]:
    """The files that hold the last `wanted` entries, each at the first of them; others are closed."""
    for index in range(len(opened) - 1, -1, -1):
        wanted -= opened[index].only_last(files.form, wanted)
        if wanted <= 0:
            logfiles.close(opened[:index])
            return opened[index:]
    return opened


def convert(entries: Iterable[Entry], options: LogOptions, multiplexed: bool) -> tuple[bytes, bool]:
    """(bytes for the client, whether `until` is behind us)."""
    since = nine_digits(timestamp(options.since)) if options.since else ""
    until = nine_digits(timestamp(options.until)) if options.until else ""
    out: list[bytes] = []
    for stream, time, data, attributes in entries:
        if since and time < since:
            continue
        if until and time > until:
            return b"".join(out), True
        if not (options.stdout if stream == "stdout" else options.stderr):
            continue
        if options.details:
            shown = ",".join(
                f"{quote_plus(key)}={quote_plus(value)}" for key, value in sorted(attributes.items())
            )
            data = shown.encode() + b" " + data
        if options.timestamps:
            data = time.encode() + b" " + data
        if multiplexed:
            data = struct.pack(">BxxxI", STREAM_IDS[stream], len(data)) + data
        out.append(data)
    return b"".join(out), False


def _done() -> asyncio.Future[int]:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(0)
    return future
