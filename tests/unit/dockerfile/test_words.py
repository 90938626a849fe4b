"""Quotes and variables of a Dockerfile as a POSIX shell resolves them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.dockerfile.words import Dialect, expand
from hostagent.errors import Invalid

ENVIRONMENT = {"A": "one", "EMPTY": "", "P": "/usr/lib/x.tar.gz", "TWO": "x  y"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a$A.b", "aone.b"),
        ("${A}s", "ones"),
        ("$UNSET|${UNSET}", "|"),
        ("'$A' \"$A\"", "$A one"),
        (r"\$A \'x\' \\", r"$A 'x' " + "\\"),
        (r'"\$A \"q\" \n"', r'$A "q" \n'),
        ("${UNSET:-d} ${EMPTY:-d} ${EMPTY-d}|", "d d |"),
        ("${A:+y}${EMPTY:+n}${EMPTY+y}", "yy"),
        ("${UNSET:-${A}}", "one"),
        ("${UNSET:-a'}'b}", "a}b"),
        ("${P##*/} ${P#*/} ${P%.*} ${P%%.*}", "x.tar.gz usr/lib/x.tar.gz /usr/lib/x.tar /usr/lib/x"),
        ("${P/lib/LIB} ${P//\\//_}", "/usr/LIB/x.tar.gz _usr_lib_x.tar.gz"),
        ("${A?wrong}", "one"),
        ("$1x$@$", "x$"),
        ("a$", "a$"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, ENVIRONMENT).text == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("'open", "single-quote"),
        ('"open', "double-quote"),
        ("${A", "missing '}'"),
        ("${A:-x", "missing '}'"),
        ("${}", "bad substitution"),
        ("${A^}", "unsupported modifier"),
        ("${A:#x}", "unsupported modifier"),
        ("${UNSET?no value}", "UNSET: no value"),
        ("${EMPTY:?}", "not allowed to be empty"),
        ("${A/x}", "missing '/'"),
    ],
)
def test_what_is_wrong_is_told(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        expand(text, ENVIRONMENT)


def test_words_are_split_after_expansion_outside_of_quotes() -> None:
    assert expand('a $TWO "$TWO" b\\ c', ENVIRONMENT).words == ["a", "x", "y", "x  y", "b c"]
    assert expand("'' \"\" ", ENVIRONMENT).words == []


def test_another_escape_character() -> None:
    assert expand("C:\\dir `$A", ENVIRONMENT, Dialect(escape="`")).text == "C:\\dir $A"


def test_what_was_asked_for_is_known() -> None:
    found = expand("$A ${UNSET:-$EMPTY}", ENVIRONMENT)
    assert (found.used, found.unset) == ({"A", "EMPTY"}, {"UNSET"})


@given(st.text(alphabet="ab $'\"\\{}:-+#%/*?<=\n", max_size=30))
def test_any_text_is_resolved_or_refused(text: str) -> None:
    try:
        expand(text, ENVIRONMENT)
    except Invalid:
        pass


@given(st.text(st.characters(codec="utf-8", exclude_characters="$'\"\\<"), max_size=30))
def test_text_without_marks_stays(text: str) -> None:
    found = expand(text, ENVIRONMENT)
    assert found.text == text
    assert found.words == text.split()


@given(st.text(alphabet="ab $'\"\\{}x\t", max_size=20))
def test_what_is_kept_as_written_is_what_was_written(text: str) -> None:
    """Nothing set, everything kept: the text comes back, but for escapes that a substitution's end needs."""
    try:
        found = expand(text, {}, Dialect(keep_quotes=True, keep_escapes=True, keep_unset=True))
    except Invalid:
        return
    if "${" not in text and not text.endswith("\\"):
        assert found.text == text
