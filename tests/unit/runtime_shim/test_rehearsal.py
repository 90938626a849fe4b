"""What the launcher runs before it forks, and what it must not leave behind."""

from __future__ import annotations

import os

from hostagent.runtime import rehearsal


def test_it_leaves_no_descriptor() -> None:
    before = os.listdir("/proc/self/fd")
    rehearsal.run()
    assert os.listdir("/proc/self/fd") == before
