"""Filters of the image list; progress bars."""

from __future__ import annotations

import pytest

from hostagent.errors import Invalid
from hostagent.image.filters import list_filter, prune_filter
from hostagent.image.progress import bar, human_size
from hostagent.model.image import Image, ImageConfig, Platform
from hostagent.model.reference import Reference

ID = "sha256:" + "1" * 64


DATE = "2024-05-06T07:08:09.5Z"


def image(created: str = DATE, **labels: str) -> Image:
    return Image(ID, Platform("linux", "amd64"), ImageConfig(labels=labels), (), created=created)


NAMES = [Reference.parse(name) for name in ("app:1", "app:2", "host:5000/team/x:2")]
DIGESTED = [NAMES[0].at("sha256:" + "2" * 64)]


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({}, [0, 1, 2]),
        ({"reference": ["app"]}, [0, 1]),
        ({"reference": ["app:[!1]"]}, [0]),
        ({"reference": ["app:[^1]"]}, [1]),
        ({"reference": ["a*:1"]}, [0]),
        ({"reference": ["host:5000/*/x"]}, [2]),
        ({"reference": ["host:5000/*"]}, None),
        ({"reference": ["nosuch", "app:1"]}, [0]),
        ({"dangling": ["true"]}, None),
        ({"dangling": ["false"]}, [0, 1, 2]),
    ],
)
def test_names_that_a_list_shows(filters: dict[str, list[str]], shown: list[int] | None) -> None:
    names = list_filter(filters, lambda _: image()).shown(NAMES, is_needed=False, everything=False)
    assert names == (None if shown is None else [NAMES[at] for at in shown])


@pytest.mark.parametrize(
    ("filters", "names", "is_needed", "everything", "shown"),
    [
        ({}, [], False, False, []),
        ({}, [], True, False, None),
        ({}, [], True, True, []),
        ({"dangling": ["1"]}, [], False, False, []),
        ({"dangling": ["1"]}, [], True, True, None),
        ({"dangling": ["1"]}, DIGESTED, False, False, DIGESTED),
        ({"dangling": ["0"]}, [], False, True, None),
        ({"reference": ["*"]}, [], False, True, None),
    ],
)
def test_untagged_images(
    filters: dict[str, list[str]],
    names: list[Reference],
    is_needed: bool,
    everything: bool,
    shown: list[Reference] | None,
) -> None:
    assert list_filter(filters, lambda _: image()).shown(names, is_needed, everything) == shown


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({"label": ["l"]}, True),
        ({"label": ["l=v", "nosuch"]}, False),
        ({"before": ["same"]}, False),
        ({"since": ["same"]}, False),
        ({"before": ["later"]}, True),
        ({"before": ["later", "same"]}, False),
        ({"since": ["earlier"]}, True),
        ({"since": ["earlier", "same"]}, False),
        ({"until": ["1h"]}, True),
        ({"until": ["2024-05-06T07:08:09.5Z"]}, False),
    ],
)
def test_filters_of_an_image(filters: dict[str, list[str]], fits: bool) -> None:
    dates = {"same": DATE, "later": "2024-05-06T09:08:10+02:00", "earlier": "2024-05-06T09:08:09.4+02:00"}
    assert list_filter(filters, lambda name: image(dates[name])).fits(image(l="v")) is fits


@pytest.mark.parametrize("filters", [{"nosuch": ["1"]}, {"dangling": ["maybe"]}, {"dangling": ["1", "0"]}])
def test_bad_filters(filters: dict[str, list[str]]) -> None:
    for parse in (lambda: list_filter(filters, lambda _: image()), lambda: prune_filter(filters)):
        with pytest.raises(Invalid, match="invalid filter"):
            parse()


def test_prune_filters() -> None:
    for filters, fits in (
        ({}, True),
        ({"label": ["a"]}, True),
        ({"label": ["b"]}, False),
        ({"label!": ["a=1"]}, False),
        ({"label!": ["a=2"]}, True),
        ({"until": ["24h"]}, True),
        ({"until": ["2020-01-01"]}, False),
    ):
        assert prune_filter(filters).fits(image(a="1")) is fits, filters
    with pytest.raises(Invalid, match="more than one until filter"):
        prune_filter({"until": ["1h", "2h"]})


def test_bars() -> None:
    assert bar(50, 100) == "[" + "=" * 25 + ">" + " " * 24 + "]       50B/100B"
    assert bar(100, 100).startswith("[" + "=" * 50 + "]")
    assert bar(1234567, 0) == " 1.235MB"
    assert human_size(999) == "999B" and human_size(2_500_000_000) == "2.5GB"
