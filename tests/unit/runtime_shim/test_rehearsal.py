"""What the launcher runs before it forks, and what it must not leave behind."""

from __future__ import annotations

import os
from pathlib import Path

from hostagent.runtime import rehearsal


def test_it_leaves_no_descriptor_and_no_file(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    rehearsal.run(f"{tmp_path}/rehearsal")
    assert os.listdir("/proc/self/fd") == before
    assert os.listdir(tmp_path) == []
