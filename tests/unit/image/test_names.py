"""Cleaning of members' names, and what whiteouts are."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.errors import Invalid
from hostagent.image.unpack import Mark, clean, mark_of

PARTS = st.lists(st.sampled_from([b"a", b"bc", b".", b"..", b"", b"..."]), max_size=8)


@given(PARTS)
def test_a_clean_name_is_what_the_path_means_or_is_refused(parts: list[bytes]) -> None:
    name = b"/".join(parts)
    depth = 0
    outside = False
    for part in parts:
        if part == b"..":
            depth -= 1
            outside |= depth < 0
        elif part not in (b"", b"."):
            depth += 1
    if outside:
        with pytest.raises(Invalid, match="leads outside the layer"):
            clean(name)
    else:
        assert b"/" + clean(name) == posixpath.normpath(b"/" + name.lstrip(b"/"))


def test_a_zero_byte_is_refused() -> None:
    with pytest.raises(Invalid, match="zero byte"):
        clean(b"a\0b")


@pytest.mark.parametrize(
    ("base", "mark"),
    [
        (b"file", Mark.NONE),
        (b".whale", Mark.NONE),
        (b".wh", Mark.NONE),
        (b".wh.file", Mark.WHITEOUT),
        (b".wh..hidden", Mark.WHITEOUT),
        (b".wh..wh..opq", Mark.OPAQUE),
        (b".wh..wh.plnk", Mark.IGNORED),
        (b".wh..wh.aufs", Mark.IGNORED),
    ],
)
def test_marks(base: bytes, mark: Mark) -> None:
    assert mark_of(base) is mark
