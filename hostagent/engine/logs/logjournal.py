"""A container's log in systemd's journal, read back through journalctl(1)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress

import msgspec

from hostagent.engine.logs.logformats import Entry, nine_digits
from hostagent.engine.timestamps import timestamp
from hostagent.errors import Unsupported
from hostagent.model.stream import LogOptions

LINE_LIMIT = 4 * 1024 * 1024
"""Bytes of one JSON line: 16 KiB of text may be a list of numbers, and labels are in it too."""
QUIET_SECONDS = 0.5
"""So long nothing new after the container's end: then the journal has handed out all."""
STREAMS = {"3": "stderr", "6": "stdout"}
OWN_FIELDS = frozenset(
    (
        *("MESSAGE", "MESSAGE_ID", "PRIORITY", "CODE_FILE", "CODE_LINE", "CODE_FUNC", "ERRNO"),
        *("SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "SYSLOG_PID", "SYSLOG_TIMESTAMP", "IMAGE_NAME"),
        *("CONTAINER_NAME", "CONTAINER_ID", "CONTAINER_ID_FULL", "CONTAINER_TAG", "CONTAINER_LOG_EPOCH"),
        *("CONTAINER_LOG_ORDINAL", "CONTAINER_PARTIAL_ID", "CONTAINER_PARTIAL_ORDINAL"),
        *("CONTAINER_PARTIAL_LAST", "CONTAINER_PARTIAL_MESSAGE"),
    )
)
"""What is no detail of the container's own."""

Field = str | list[int] | None


def entries(
    container_id: str, options: LogOptions, running: Callable[[], bool], ended: asyncio.Future[int]
) -> AsyncGenerator[list[Entry], None]:
    """Unsupported when the host has no journalctl."""
    program = shutil.which("journalctl")
    if program is None:
        raise Unsupported(
            "configured logging driver does not support reading: this host has no journalctl (install systemd)"
        )
    return _entries([program, *arguments(container_id, options)], options.follow, running, ended)


def arguments(container_id: str, options: LogOptions) -> list[str]:
    """journalctl's. The window is a little wider here: the journal's clock stamps a message when it gets it."""
    words = ["--output=json", "--all", "--no-pager", "--quiet"]
    words.append(f"--lines={options.tail if options.tail >= 0 else 'all'}")
    if options.follow:
        words.append("--follow")
    if options.since:
        words.append(f"--since=@{options.since // 1_000_000_000}")
    return [*words, f"CONTAINER_ID_FULL={container_id}"]


async def _entries(
    command: list[str], follow: bool, running: Callable[[], bool], ended: asyncio.Future[int]
) -> AsyncGenerator[list[Entry], None]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=LINE_LIMIT,
    )
    assert process.stdout is not None
    try:
        while True:
            over = not running()
            line = asyncio.ensure_future(process.stdout.readline())
            waits: set[asyncio.Future[bytes] | asyncio.Future[int]] = {line}
            if follow and not over:
                waits.add(ended)
            await asyncio.wait(
                waits,
                timeout=QUIET_SECONDS if follow and over else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not line.done() and not over:
                # The end was what woke us: from now on silence ends it.
                await asyncio.wait({line}, timeout=QUIET_SECONDS)
            if not line.done():
                line.cancel()
                return
            if not (data := line.result()):
                return
            if entry := parse(msgspec.json.decode(data, type=dict[str, Field])):
                yield [entry]
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def parse(fields: Mapping[str, Field]) -> Entry | None:
    """One message; None for what did not come from a container's stream."""
    stream = STREAMS.get(_text(fields.get("PRIORITY")))
    if stream is None or "MESSAGE" not in fields:
        return None
    message = fields["MESSAGE"]
    text = bytes(message) if isinstance(message, list) else (message or "").encode()
    if fields.get("CONTAINER_PARTIAL_MESSAGE") != "true":
        text += b"\n"
    time = _text(fields.get("SYSLOG_TIMESTAMP")) or timestamp(
        int(_text(fields.get("__REALTIME_TIMESTAMP")) or 0) * 1000
    )
    attributes = {
        key: _text(value)
        for key, value in fields.items()
        if not key.startswith("_") and key not in OWN_FIELDS
    }
    return Entry(stream, nine_digits(time), text, attributes)


def _text(value: Field) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, list) else value or ""
