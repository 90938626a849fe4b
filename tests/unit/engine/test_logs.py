"""Logs in files: what the shim writes, however it is rotated and compressed, is what a client reads."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent.engine.logs import logs
from hostagent.engine.logs.logfiles import LogFiles
from hostagent.engine.logs.logformats import Format, JsonFormat, LocalFormat
from hostagent.engine.logs.logwatch import LogWatch
from hostagent.engine.timestamps import parse_rfc3339
from hostagent.model.stream import LogOptions
from hostagent.runtime.logfile import Encoding, Log, LogFile
from hostagent.runtime.loglines import LINE_MAX, JsonLines, LocalLines, rfc3339

BOTH = LogOptions(stdout=True, stderr=True)
KINDS: dict[str, tuple[Encoding, Format]] = {
    "json-file": (JsonLines({}), JsonFormat()),
    "local": (LocalLines(), LocalFormat()),
}
kinds = pytest.mark.parametrize("kind", KINDS)


@contextmanager
def watching() -> Iterator[LogWatch]:
    watch = LogWatch()
    try:
        yield watch
    finally:
        watch.close()


async def collect(
    path: Path, options: LogOptions = BOTH, kind: str = "json-file", max_files: int = 1
) -> bytes:
    """What a client gets who does not follow."""
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    files = LogFiles(str(path), KINDS[kind][1], max_files)
    with watching() as watch:
        entries = logs.file_entries(files, watch, options, lambda: False, ended)
        out = b""
        async with aclosing(entries):
            async for some in entries:
                more, over = logs.convert(some, options, multiplexed=False)
                out += more
                if over:
                    break
        return out


def opened(path: Path, kind: str = "json-file", rotation: tuple[int, int, bool] = (-1, 1, False)) -> Log:
    """`rotation` as LogFile's: size, files, compress."""
    return Log(LogFile(str(path), KINDS[kind][0], *rotation))


def write(path: Path, *pieces: tuple[str, bytes], kind: str = "json-file") -> None:
    log = opened(path, kind)
    for stream, data in pieces:
        log.write(stream, data)
    for stream in ("stdout", "stderr"):
        log.end(stream)
    log.close()


@kinds
async def test_round_trip_with_partial_lines(tmp_path: Path, kind: str) -> None:
    pieces = [("stdout", b"one\ntw"), ("stderr", b"bad\\n\n"), ("stdout", b"o\nno newline")]
    write(tmp_path / "log", *pieces, kind=kind)
    assert await collect(tmp_path / "log", kind=kind) == b"one\nbad\\n\ntwo\nno newline"
    assert await collect(tmp_path / "log", LogOptions(stderr=True), kind) == b"bad\\n\n"


@kinds
async def test_tail_counts_entries_of_all_streams(tmp_path: Path, kind: str) -> None:
    pieces = [("stdout" if n % 2 else "stderr", b"%d\n" % n) for n in range(1, 100_000)]
    write(tmp_path / "log", *pieces, kind=kind)
    tail = replace(BOTH, tail=3)
    assert await collect(tmp_path / "log", tail, kind) == b"99997\n99998\n99999\n"
    # dockerd chooses the streams afterwards.
    assert await collect(tmp_path / "log", LogOptions(stdout=True, tail=3), kind) == b"99997\n99999\n"
    assert await collect(tmp_path / "log", replace(BOTH, tail=0), kind) == b""
    everything = await collect(tmp_path / "log", replace(BOTH, tail=10**6), kind)
    assert everything.count(b"\n") == 99_999


@kinds
async def test_a_long_line_is_split_and_comes_back_whole(tmp_path: Path, kind: str) -> None:
    line = b"x" * (LINE_MAX * 2 + 5) + b"\n"
    write(tmp_path / "log", ("stdout", line), kind=kind)
    assert await collect(tmp_path / "log", kind=kind) == line
    assert len(KINDS[kind][1].parse((tmp_path / "log").read_bytes())[0]) == 3


async def test_since_and_until(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        "".join(
            f'{{"log":"{n}\\n","stream":"stdout","time":"{rfc3339(n * 10**9 + 5)}"}}\n' for n in range(10)
        )
    )
    window = LogOptions(stdout=True, since=3 * 10**9, until=6 * 10**9)
    assert await collect(tmp_path / "log", window) == b"3\n4\n5\n"


async def test_details_are_sorted_and_quoted(tmp_path: Path) -> None:
    log = Log(LogFile(str(tmp_path / "log"), JsonLines({"b": "x y", "a,": "ü"})))
    log.write("stdout", b"text\n")
    log.close()
    assert await collect(tmp_path / "log", replace(BOTH, details=True)) == b"a%2C=%C3%BC,b=x+y text\n"


async def test_a_torn_line_is_skipped(tmp_path: Path) -> None:
    write(tmp_path / "log", ("stdout", b"a\n"))
    with (tmp_path / "log").open("ab") as file:
        file.write(b'{"log":"torn\n')
    write(tmp_path / "log", ("stdout", b"b\n"))
    assert await collect(tmp_path / "log") == b"a\nb\n"


@kinds
@pytest.mark.parametrize("compress", [False, True])
def test_any_rotation(kind: str, compress: bool) -> None:
    """Whatever is written in whatever pieces: files are bounded, and what is left of them is the end of the output."""
    piece = st.tuples(st.sampled_from(("stdout", "stderr")), st.binary(max_size=300).map(_text))

    @settings(deadline=None, max_examples=25)
    @given(st.lists(piece, max_size=30), st.integers(100, 2000), st.integers(1, 6), st.integers(0, 40))
    def check(pieces: list[tuple[str, bytes]], max_size: int, max_files: int, tail: int) -> None:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "log"
            asyncio.run(_check_rotation(path, kind, pieces, (max_size, max_files, compress), tail))

    check()


def _text(data: bytes) -> bytes:
    return data.decode("latin-1").encode()


async def _check_rotation(
    path: Path, kind: str, pieces: list[tuple[str, bytes]], rotation: tuple[int, int, bool], tail: int
) -> None:
    max_size, max_files, _ = rotation
    log = opened(path, kind, rotation)
    expected: list[bytes] = []
    partial = {"stdout": b"", "stderr": b""}
    for stream, data in pieces:
        log.write(stream, data)
        *lines, partial[stream] = (partial[stream] + data).split(b"\n")
        expected += [line + b"\n" for line in lines]
    for stream, rest in partial.items():
        log.end(stream)
        expected += [rest] if rest else []
    log.close()
    assert len(os.listdir(path.parent)) <= max_files
    longest = max(map(len, expected), default=0)
    assert path.stat().st_size < max_size + 6 * longest + 100
    seen = await collect(path, kind=kind, max_files=max_files)
    kept = len(KINDS[kind][1].parse(await _raw(path, kind, max_files))[0])
    assert seen == b"".join(expected[len(expected) - kept :])
    if sum(map(len, expected)) * 6 + 100 * len(expected) < max_size * (max_files - 1):
        assert kept == len(expected)
    wanted = replace(BOTH, tail=tail)
    last = expected[len(expected) - min(tail, kept) :]
    assert await collect(path, wanted, kind, max_files) == b"".join(last)


async def _raw(path: Path, kind: str, max_files: int) -> bytes:
    """All files' bytes, uncompressed."""
    with watching() as watch, watch.news(str(path)) as news:
        files = LogFiles(str(path), KINDS[kind][1], max_files).open_all(news)
        out = b""
        for file in files:
            while data := file.read():
                out += data
            file.close()
        return out


@kinds
@pytest.mark.parametrize("compress", [False, True])
async def test_following_over_rotations(tmp_path: Path, kind: str, compress: bool) -> None:
    """No line is missed and none comes twice, though many files fill between two looks."""
    path = tmp_path / "log"
    log = opened(path, kind, (2000, 200, compress))
    log.write("stdout", b"begin\n")
    running = True
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    seen: list[bytes] = []
    options = replace(BOTH, follow=True)

    async def follow(watch: LogWatch) -> None:
        files = LogFiles(str(path), KINDS[kind][1], 200)
        async for some in logs.file_entries(files, watch, options, lambda: running, ended):
            seen.extend(entry.text for entry in some)
            await asyncio.sleep(0)

    with watching() as watch:
        reader = asyncio.create_task(follow(watch))
        number = 0
        for burst in (1, 300, 2, 100, 1, 1, 900, 50):
            log.write("stdout", b"".join(b"%d\n" % n for n in range(number, number + burst)))
            number += burst
            await asyncio.sleep(0.002)
        running = False
        ended.set_result(0)
        await asyncio.wait_for(reader, 10)
    log.close()
    assert seen == [b"begin\n", *(b"%d\n" % n for n in range(number))]


async def test_follow_ends_with_the_container(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = opened(path)
    log.write("stdout", b"first\n")
    running = True
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    files = LogFiles(str(path), JsonFormat(), 1)
    with watching() as watch:
        reader = logs.file_entries(files, watch, replace(BOTH, follow=True), lambda: running, ended)
        seen = [await anext(reader)]
        log.write("stdout", b"second\n")
        seen.append(await anext(reader))
        log.write("stdout", b"last\n")
        running = False
        ended.set_result(0)
        seen += [some async for some in reader]
    log.close()
    assert [entry.text for some in seen for entry in some] == [b"first\n", b"second\n", b"last\n"]


@pytest.mark.parametrize("max_files", [1, 3])
async def test_whoever_meddles_with_the_files_harms_nobody(tmp_path: Path, max_files: int) -> None:
    """People empty logs, and remove them."""
    path = tmp_path / "folder" / "log"
    path.parent.mkdir()
    log = opened(path, rotation=(500, max_files, False))
    log.write("stdout", b"a\n" * 4)
    os.truncate(path, 0)
    log.write("stdout", b"b\n")
    assert await collect(path, max_files=max_files) == b"b\n"
    path.unlink()
    log.write("stdout", b"c\n" * 20)
    assert (await collect(path, max_files=max_files)).startswith(b"c\n")
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    log.write("stdout", b"d\n" * 100)
    log.close()


@given(st.integers(min_value=1, max_value=4_000_000_000 * 10**9))
def test_timestamps_round_trip(time_ns: int) -> None:
    assert parse_rfc3339(rfc3339(time_ns)) == time_ns


@pytest.mark.root
def test_a_full_disk_loses_lines_not_the_process() -> None:
    if not Path("/dev/full").exists():
        pytest.fail("no /dev/full on this host")
    sink = LogFile("/dev/full", JsonLines({}))
    log = Log(sink)
    log.write("stdout", b"x\n")
    log.close()
    assert sink.lost > 0
    assert os.path.exists("/dev/full")
