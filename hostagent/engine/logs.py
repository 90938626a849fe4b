"""Reading a container's json-file log: from an end, in a window of time, following as it grows."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import msgspec

from hostagent.engine.timestamps import parse_rfc3339
from hostagent.kernel.inotify import Inotify
from hostagent.model.stream import LogOptions

BLOCK = 256 * 1024
STREAM_IDS = {"stdout": 1, "stderr": 2}


class Entry(msgspec.Struct, frozen=True):
    """One line of the file."""

    log: str
    stream: str
    time: str


_decoder = msgspec.json.Decoder(Entry)


async def read(
    path: str, options: LogOptions, multiplexed: bool, running: Callable[[], bool], ended: asyncio.Future[int]
) -> AsyncIterator[bytes]:
    """Bytes as a client wants them: framed when `multiplexed`. With `follow` until the container ends (`ended`)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        fd = -1
    if fd < 0 and not options.follow:
        return
    if fd < 0:
        # Never started yet: docker logs -f of a created container waits for its end.
        await asyncio.wait({ended})
        async for block in read(path, replace(options, follow=False), multiplexed, running, ended):
            yield block
        return
    try:
        async for block in _read(fd, path, options, multiplexed, running, ended):
            yield block
    finally:
        os.close(fd)


async def _read(
    fd: int,
    path: str,
    options: LogOptions,
    multiplexed: bool,
    running: Callable[[], bool],
    ended: asyncio.Future[int],
) -> AsyncIterator[bytes]:
    position = tail_offset(fd, options)
    pending = b""
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    inotify = Inotify(path) if options.follow else None
    if inotify:
        loop.add_reader(inotify.fd, _notice, inotify, changed)
    ended.add_done_callback(lambda _: changed.set())
    try:
        while True:
            changed.clear()
            over = (
                not options.follow or not running()
            )  # asked before the read: what was written before is then seen
            while block := os.pread(fd, BLOCK, position):
                position += len(block)
                pending += block
                whole, newline, pending = pending.rpartition(b"\n")
                out, past_until = _convert(whole.split(b"\n") if newline else [], options, multiplexed)
                if out:
                    yield out
                if past_until:
                    return
                await asyncio.sleep(0)
            if over:
                return
            await changed.wait()
    finally:
        if inotify:
            loop.remove_reader(inotify.fd)
            inotify.close()


def _notice(inotify: Inotify, changed: asyncio.Event) -> None:
    inotify.drain()
    changed.set()


def _convert(lines: list[bytes], options: LogOptions, multiplexed: bool) -> tuple[bytes, bool]:
    """(bytes for the client, whether `until` is behind us)."""
    out: list[bytes] = []
    for line in lines:
        try:
            entry = _decoder.decode(line)
        except msgspec.DecodeError:
            continue  # torn by a full disk
        if options.since or options.until:
            time_ns = parse_rfc3339(entry.time)
            if time_ns < options.since:
                continue
            if options.until and time_ns > options.until:
                return b"".join(out), True
        if not (options.stdout if entry.stream == "stdout" else options.stderr):
            continue
        data = entry.log.encode()
        if options.details:
            data = (
                b" " + data
            )  # before it stand the values of --log-opt labels and env, which are not built yet
        if options.timestamps:
            data = _padded(entry.time).encode() + b" " + data
        if multiplexed:
            data = struct.pack(">BxxxI", STREAM_IDS[entry.stream], len(data)) + data
        out.append(data)
    return b"".join(out), False


def _padded(time: str) -> str:
    """Nine digits of nanoseconds, so that columns align, as docker prints them."""
    head, _, fraction = time.rstrip("Z").partition(".")
    return f"{head}.{fraction:0<9}Z"


def tail_offset(fd: int, options: LogOptions) -> int:
    """Where the last `tail` entries of the wanted streams begin; 0 for all of them."""
    if options.tail < 0:
        return 0
    end = os.fstat(fd).st_size
    if options.tail == 0:
        return end
    wanted = [name for name, on in (("stdout", options.stdout), ("stderr", options.stderr)) if on]
    marks = [f'"stream":"{name}"'.encode() for name in wanted]
    found, position, rest = 0, end, b""
    while position > 0:
        start = max(0, position - BLOCK)
        block = os.pread(fd, position - start, start) + rest
        lines = block.split(b"\n")
        # The first piece may be the end of a longer line: it waits for the block before it.
        rest = lines[0] if start else b""
        offset = start + len(block)
        for index in range(len(lines) - 1, 0 if start else -1, -1):
            line = lines[index]
            offset -= len(line)
            if line and any(mark in line for mark in marks):
                found += 1
                if found == options.tail:
                    return offset
            offset -= 1
        position = start
    return 0
