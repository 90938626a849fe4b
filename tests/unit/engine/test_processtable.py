"""Tables of processes: cutting what ps printed, and one of our own beside the real one."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from hostagent.engine.watch import processtable
from hostagent.errors import EngineError


def test_rows_of_others_and_their_threads_are_left_out() -> None:
    printed = "PID TTY  CMD\n 7 ?  sleep  1 2\n -  ?  -\n 8 pts/0 sh\n - ? -\n 9 ? x\n"
    found = processtable.cut(printed, {7, 9})
    assert found.titles == ["PID", "TTY", "CMD"]
    assert found.processes == [["7", "?", "sleep 1 2"], ["-", "?", "-"], ["9", "?", "x"]]


@pytest.mark.parametrize("printed", ["CMD\nsh\n", "", "PID CMD\nx sh\n", "CMD PID\nsh\n"])
def test_no_table_of_processes(printed: str) -> None:
    with pytest.raises(EngineError, match=r"PID field|Unexpected pid"):
        processtable.cut(printed, {1})


def test_another_column_must_not_be_called_pid() -> None:
    processtable.check_arguments("-o pid=PID,comm")
    with pytest.raises(EngineError, match='specifying "user=PID" is not allowed'):
        processtable.check_arguments("-o user=PID")


def test_ours_says_what_ps_says() -> None:
    child = subprocess.Popen(["sleep", "100"])
    try:
        while not Path(f"/proc/{child.pid}/cmdline").read_bytes():
            time.sleep(0.005)  # it is not sleep(1) yet
        pids = {os.getpid(), child.pid}
        ours = processtable.own(pids, time.time())
        printed = subprocess.run(["ps", "-ef"], check=True, capture_output=True, text=True).stdout
        theirs = processtable.cut(printed, pids)
        assert ours.titles == theirs.titles

        assert [row[-1] for row in ours.processes if row[1] == str(child.pid)] == ["sleep 100"]
        steady = (0, 1, 2, 5)  # without the times, which go on
        shown = [[[row[i] for i in steady] for row in table.processes] for table in (ours, theirs)]
        assert shown[0] == shown[1]
    finally:
        child.kill()
        child.wait()


def test_times() -> None:
    now = time.mktime((2026, 11, 24, 12, 0, 0, 0, 0, -1))
    assert processtable.start_time(now - 3600, now) == "11:00"
    assert processtable.start_time(now - 3 * 24 * 3600, now) == "Nov21"
    assert processtable.start_time(now - 400 * 24 * 3600, now) == "2025"
    assert processtable.duration(59) == "00:00:59"
    assert processtable.duration(24 * 3600 + 3661) == "1-01:01:01"
