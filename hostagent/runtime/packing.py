"""Let what a shim allocates lie side by side.

Small objects that are free in the launcher are holes all over its memory, and each hole that a shim uses is a page that
it no longer shares. Here the holes are filled, once, before the forks: what shims allocate then comes from fresh pages.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

_POOL_MASK, _POOL_HEAD = 0x3FFF, 48
"""CPython's allocator keeps small objects of one size in pools of 16 KiB, behind a head (Objects/obmalloc.c)."""
_SIZES = range(48, 513, 16)
_BATCH, _ROW = 16, 4
_TRIES = 1000
"""Batches of one size: far more than there are holes."""


def fill_holes() -> list[object]:
    """What fills them, to be kept. To be called after a full collection, which empties the free lists of types."""
    kept: list[object] = []
    _fill(kept, count(1 << 40).__next__)  # an integer of two digits has 32 bytes
    for size in _SIZES:
        _fill(kept, partial(bytes, size - b"".__sizeof__()))
    return kept


def _fill(kept: list[object], make: Callable[[], object]) -> None:
    """Until some lie in a row from the beginning of a pool, as only in a new one."""
    for _ in range(_TRIES):
        fillers = [make() for _ in range(_BATCH)]  # nothing else of their size is made between them
        kept += fillers
        places = [id(each) for each in fillers]
        size = fillers[0].__sizeof__()
        step = size + -size % 16
        for place, later in zip(places, places[_ROW:], strict=False):
            if place & _POOL_MASK == _POOL_HEAD and later == place + _ROW * step:
                return
