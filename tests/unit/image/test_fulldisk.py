"""How near to the end of a disk an archive may come."""

from __future__ import annotations

import errno
import os
from itertools import cycle
from types import SimpleNamespace

import pytest

from hostagent.image.fulldisk import LOOK_EVERY, Reserve

BLOCK = 4096
MEGABYTE = 1 << 20
PIECE = 64 << 10


class Disk:
    """500 MB, as statvfs(3) tells of it."""

    def __init__(self, free: int) -> None:
        self.free = free

    def statvfs(self, path: str) -> SimpleNamespace:
        return SimpleNamespace(
            f_frsize=BLOCK,
            f_blocks=500 * MEGABYTE // BLOCK,
            f_bavail=self.free // BLOCK,
            f_files=0,
            f_favail=0,
        )


@pytest.mark.parametrize("writers", [1, 4])
@pytest.mark.parametrize("free", range(400, 500, 7))
def test_others_always_have_some(monkeypatch: pytest.MonkeyPatch, free: int, writers: int) -> None:
    """Wherever the disk stood at the beginning (megabytes), with as many writers as unpack at once."""
    disk = Disk(free * MEGABYTE)
    monkeypatch.setattr(os, "statvfs", disk.statvfs)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        for reserve in cycle([Reserve("/") for _ in range(writers)]):
            reserve.take(PIECE)
            disk.free -= PIECE
            assert disk.free > 0


def test_the_first_bytes_pass_on_any_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", Disk(0).statvfs)
    reserve = Reserve("/")
    reserve.take(LOOK_EVERY - 1)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        reserve.take(1)
