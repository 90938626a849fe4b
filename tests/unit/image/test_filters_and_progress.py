"""Filters of the image list; progress bars."""

from __future__ import annotations

import pytest

from hostagent.errors import Invalid
from hostagent.image.filters import Candidate, matcher
from hostagent.image.progress import bar, human_size
from hostagent.image.store import Record
from hostagent.model.image import Image, ImageConfig, Platform
from hostagent.model.reference import Reference

ID = "sha256:" + "1" * 64


def candidate(*names: str, labels: dict[str, str] | None = None, stored: int = 100) -> Candidate:
    image = Image(ID, Platform("linux", "amd64"), ImageConfig(labels=labels or {}), ())
    return Candidate(image, Record(ID, stored, 0, None), [Reference.parse(name) for name in names])


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({}, True),
        ({"reference": ["app"]}, True),
        ({"reference": ["app:*"]}, True),
        ({"reference": ["a*:1"]}, True),
        ({"reference": ["host:5000/*/x"]}, True),
        ({"reference": ["host:5000/*"]}, False),
        ({"reference": ["nosuch", "app:1"]}, True),
        ({"dangling": ["true"]}, False),
        ({"dangling": ["false"]}, True),
        ({"label": ["l"]}, True),
        ({"label": ["l=v", "nosuch"]}, False),
        ({"before": ["x"]}, False),
        ({"since": ["x"]}, True),
        ({"until": ["1h"]}, True),
    ],
)
def test_filters(filters: dict[str, list[str]], fits: bool) -> None:
    test = matcher(filters, lambda name: 50)
    assert test(candidate("app:1", "host:5000/team/x:2", labels={"l": "v"})) is fits


@pytest.mark.parametrize("filters", [{"nosuch": ["1"]}, {"dangling": ["maybe"]}, {"until": ["yesterday"]}])
def test_bad_filters(filters: dict[str, list[str]]) -> None:
    with pytest.raises(Invalid, match="invalid filter"):
        matcher(filters, lambda name: 0)


def test_bars() -> None:
    assert bar(50, 100) == "[" + "=" * 25 + ">" + " " * 24 + "]       50B/100B"
    assert bar(100, 100).startswith("[" + "=" * 50 + "]")
    assert bar(1234567, 0) == " 1.235MB"
    assert human_size(999) == "999B" and human_size(2_500_000_000) == "2.5GB"
