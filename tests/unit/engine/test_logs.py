"""The json-file log: what the shim writes is what a client reads."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.engine import logs
from hostagent.engine.timestamps import parse_rfc3339
from hostagent.model.stream import LogOptions
from hostagent.runtime.logfile import LINE_MAX, JsonLog, rfc3339

BOTH = LogOptions(stdout=True, stderr=True)


async def collect(path: Path, options: LogOptions) -> bytes:
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reader = logs.read(str(path), options, False, lambda: False, ended)
    return b"".join([block async for block in reader])


def write(path: Path, *pieces: tuple[str, bytes]) -> None:
    log = JsonLog(str(path))
    for stream, data in pieces:
        log.write(stream, data)
    for stream in ("stdout", "stderr"):
        log.end(stream)
    log.close()


async def test_round_trip_with_partial_lines(tmp_path: Path) -> None:
    write(tmp_path / "log", ("stdout", b"one\ntw"), ("stderr", b"bad\n"), ("stdout", b"o\nno newline"))
    assert await collect(tmp_path / "log", BOTH) == b"one\nbad\ntwo\nno newline"
    assert await collect(tmp_path / "log", LogOptions(stderr=True)) == b"bad\n"


async def test_tail_counts_entries_of_the_wanted_streams(tmp_path: Path) -> None:
    pieces = [("stdout" if n % 2 else "stderr", b"%d\n" % n) for n in range(1, 100_000)]
    write(tmp_path / "log", *pieces)
    assert (
        await collect(tmp_path / "log", LogOptions(stdout=True, stderr=True, tail=3))
        == b"99997\n99998\n99999\n"
    )
    assert await collect(tmp_path / "log", LogOptions(stdout=True, tail=2)) == b"99997\n99999\n"
    assert await collect(tmp_path / "log", LogOptions(stdout=True, tail=0)) == b""
    everything = await collect(tmp_path / "log", LogOptions(stdout=True, stderr=True, tail=10**6))
    assert everything.count(b"\n") == 99_999


async def test_a_long_line_is_split_and_comes_back_whole(tmp_path: Path) -> None:
    line = b"x" * (LINE_MAX * 2 + 5) + b"\n"
    write(tmp_path / "log", ("stdout", line))
    assert await collect(tmp_path / "log", BOTH) == line
    assert len((tmp_path / "log").read_bytes().splitlines()) == 3


async def test_since_and_until(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        "".join(
            f'{{"log":"{n}\\n","stream":"stdout","time":"{rfc3339(n * 10**9 + 5)}"}}\n' for n in range(10)
        )
    )
    window = LogOptions(stdout=True, since=3 * 10**9, until=6 * 10**9)
    assert await collect(tmp_path / "log", window) == b"3\n4\n5\n"


async def test_a_torn_line_is_skipped(tmp_path: Path) -> None:
    write(tmp_path / "log", ("stdout", b"a\n"))
    with (tmp_path / "log").open("ab") as file:
        file.write(b'{"log":"torn\n')
    write(tmp_path / "log", ("stdout", b"b\n"))
    assert await collect(tmp_path / "log", BOTH) == b"a\nb\n"


async def test_follow_ends_with_the_container(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = JsonLog(str(path))
    log.write("stdout", b"first\n")
    running = True
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reader = logs.read(str(path), LogOptions(stdout=True, follow=True), False, lambda: running, ended)
    seen = [await anext(reader)]
    log.write("stdout", b"second\n")
    seen.append(await anext(reader))
    log.write("stdout", b"last\n")
    running = False
    ended.set_result(0)
    seen += [block async for block in reader]
    log.close()
    assert seen == [b"first\n", b"second\n", b"last\n"]


@given(st.integers(min_value=1, max_value=4_000_000_000 * 10**9))
def test_timestamps_round_trip(time_ns: int) -> None:
    assert parse_rfc3339(rfc3339(time_ns)) == time_ns


@pytest.mark.root
def test_a_full_disk_loses_lines_not_the_process() -> None:
    if not Path("/dev/full").exists():
        pytest.fail("no /dev/full on this host")
    log = JsonLog("/dev/full")
    log.write("stdout", b"x\n")
    log.close()
    assert log.lost > 0
    assert os.path.exists("/dev/full")
