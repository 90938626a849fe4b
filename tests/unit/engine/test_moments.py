"""Times in filters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.errors import Invalid
from hostagent.model.duration import parse_duration
from hostagent.model.moment import parse_moment

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", NOW // SECOND - 600),
        ("1h30m", NOW // SECOND - 5400),
        ("1700000000", 1_700_000_000),
        ("0", 0),
        ("2001-09-09", 999_993_600),
        ("2001-09-09T01:46:40", 10**9),
        ("2001-09-09T01:46:40Z", 10**9),
        ("2001-09-09T03:46:40+02:00", 10**9),
        ("2001-09-08T21:46:40-04:00", 10**9),
        ("2001-09-09T01:46", 10**9 - 40),
    ],
)
def test_moments(text: str, seconds: int) -> None:
    assert parse_moment(text, NOW) == seconds * SECOND


def test_fractions() -> None:
    assert parse_moment("2001-09-09T01:46:40.5Z", NOW) == 10**18 + 500_000_000
    assert parse_moment("5.000000001", NOW) == 5 * SECOND + 1


@given(st.text())
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    try:
        parse_moment(text, NOW)
    except Invalid:
        pass


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1h2m3.5s", 3723 * SECOND + 500_000_000),
        ("-1ms", -1_000_000),
        ("1.5µs", 1500),
        (".5s", 500_000_000),
        ("0", 0),
    ],
)
def test_durations(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", "1 s", "1d", "1h-2m", "١s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)
