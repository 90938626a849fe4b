"""mode=non-blocking: whoever logs never waits, and what is lost is lost by whole entries."""

from __future__ import annotations

import time
from pathlib import Path

from hostagent.runtime.logfile import Log
from hostagent.runtime.logqueue import QueueSink
from hostagent.runtime.loop import Loop

LIMIT = 100_000
GO_SECONDS = 30


class StuckSink:
    """Takes nothing until the file `go` is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, stream: str, entries: list[bytes], whole: bool, time_ns: int) -> None:
        deadline = time.monotonic() + GO_SECONDS
        while not (self._folder / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        with (self._folder / "out").open("ab") as out:
            out.writelines(entry + (b"\n" if whole else b"") for entry in entries)

    def close(self) -> None:
        (self._folder / "closed").touch()


def test_a_log_that_is_stuck_loses_lines_and_holds_nobody(tmp_path: Path) -> None:
    loop = Loop()
    sink = QueueSink(loop, LIMIT, lambda: StuckSink(tmp_path))
    log = Log(sink)
    began = time.monotonic()
    for number in range(20_000):
        log.write("stdout", b"%06d %s\n" % (number, b"x" * 93))
    assert time.monotonic() - began < GO_SECONDS / 2
    assert sink.lost > 0
    (tmp_path / "go").touch()
    log.close()
    loop.close()
    lines = (tmp_path / "out").read_bytes().splitlines()
    # What was there first is kept, in order, each line whole.
    assert [int(line[:6]) for line in lines] == list(range(len(lines)))
    assert all(len(line) == 100 for line in lines)
    assert LIMIT <= 101 * len(lines) < 101 * 20_000
    assert (tmp_path / "closed").exists()


def test_long_lines_and_both_streams_arrive(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    loop = Loop()
    log = Log(QueueSink(loop, LIMIT, lambda: StuckSink(tmp_path)))
    log.write("stdout", b"y" * 40_000)
    log.write("stderr", b"err\n")
    log.write("stdout", b"end\n")
    log.end("stdout")
    log.close()
    loop.close()
    out = (tmp_path / "out").read_bytes()
    assert out.count(b"y") == 40_000
    assert out.endswith(b"end\n")
    assert b"err\n" in out
