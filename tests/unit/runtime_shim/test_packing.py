"""Small objects that come after the holes are filled lie on pages of their own, but for a few."""

from __future__ import annotations

from hostagent.runtime.packing import fill_holes

PAGE = 4096


def _pages(objects: list[bytes]) -> set[int]:
    return {id(each) // PAGE for each in objects}


def test_new_objects_share_few_pages_with_older_ones() -> None:
    older = [bytes(each % 400) for each in range(20_000)]
    del older[::2]  # holes
    fillers = fill_holes()
    new = [bytes(100) for _ in range(2000)]
    assert fillers
    assert len(_pages(new) & _pages(older)) < len(_pages(new)) / 4
