"""What the launcher runs before it forks, and what it must not leave behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from hostagent.runtime import rehearsal, rehearsed_life


def test_it_leaves_no_descriptor_and_no_file(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    rehearsal.run(f"{tmp_path}/rehearsal")
    assert os.listdir("/proc/self/fd") == before
    assert os.listdir(tmp_path) == []


def test_a_kill_in_the_middle_leaves_no_player() -> None:
    """A launcher may be killed at any moment; the other side of its rehearsal would wait for it for ever."""
    told, tell = os.pipe()
    rehearser = os.fork()
    if rehearser == 0:
        player = rehearsed_life._fork(lambda: time.sleep(1000))
        os.write(tell, b"%d" % player)
        signal.pause()
    player = int(os.read(told, 20))
    until(lambda: state(player) == "S")  # it sleeps: the signal is ordered
    os.kill(rehearser, signal.SIGKILL)
    os.waitpid(rehearser, 0)
    until(lambda: state(player) in ("", "Z", "X"))
    os.close(told)
    os.close(tell)


def state(pid: int) -> str:
    """Of a process (proc(5), stat); empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
