"""Words of Dockerfile instructions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.errors import Invalid
from hostagent.image.dockerwords import expand, split

VALUES = {"A": "1", "EMPTY": "", "PATH": "/bin:/sbin"}


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("plain", "plain"),
        ("$A", "1"),
        ("${A}b", "1b"),
        ("$Ab", ""),
        ("x$", "x$"),
        ("'$A'", "$A"),
        ('"$A b"', "1 b"),
        ("\\$A", "$A"),
        ('"\\$A\\n"', "$A\\n"),
        ("a\\ b", "a b"),
        ("${NO:-other}", "other"),
        ("${EMPTY:-other}", "other"),
        ("${EMPTY-other}", ""),
        ("${A:-other}", "1"),
        ("${A:+set}", "set"),
        ("${NO:+set}", ""),
        ("${NO:-${A}x}", "1x"),
        ("$PATH:/x", "/bin:/sbin:/x"),
    ],
)
def test_expansion(word: str, meant: str) -> None:
    assert expand(word, VALUES) == meant


@pytest.mark.parametrize("word", ["'open", '"open', "${A", "${}", "${A?x}", "${A:-${B}"])
def test_bad_words(word: str) -> None:
    with pytest.raises(Invalid):
        expand(word, VALUES)


def test_splitting() -> None:
    assert split("a=1  b='2 3' c=\"4 5\" d=6\\ 7") == ["a=1", "b='2 3'", 'c="4 5"', "d=6\\ 7"]
    assert split("") == [] and split("''") == ["''"]


@given(st.text())
def test_any_text_is_words_or_refused(text: str) -> None:
    for word in split(text):
        try:
            expand(word, {})
        except Invalid:
            pass


@given(st.lists(st.text(st.characters(blacklist_characters="'\\"), min_size=1)))
def test_quoted_words_come_back(words: list[str]) -> None:
    assert [expand(word, VALUES) for word in split(" ".join(f"'{word}'" for word in words))] == words
