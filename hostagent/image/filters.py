"""Filters of `docker images` and `docker image prune`, by dockerd's rules (moby 26.1 daemon/images/image_list.go)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hostagent.dockerfile.patterns import component
from hostagent.errors import Invalid
from hostagent.model.image import Image
from hostagent.model.labels import label_matches
from hostagent.model.moment import created_ns, parse_moment
from hostagent.model.reference import Reference

Filters = Mapping[str, Sequence[str]]

KNOWN = frozenset(("reference", "dangling", "label", "before", "since", "until"))
PRUNE_KNOWN = frozenset(("dangling", "label", "label!", "until"))


@dataclass(frozen=True)
class ListFilter:
    """What a list shows; moments in ns since 1970, exclusive, None = no limit."""

    references: Sequence[str]
    dangling: bool | None
    labels: Sequence[str]
    before: int | None
    since: int | None

    def fits(self, image: Image) -> bool:
        """Whether the image itself passes. One without a date passes no limit of time."""
        moment = created_ns(image.created)
        if self.before is not None and (moment is None or moment >= self.before):
            return False
        if self.since is not None and (moment is None or moment <= self.since):
            return False
        return all(label_matches(image.config.labels, label) for label in self.labels)

    def shown(self, names: Sequence[Reference], is_needed: bool, everything: bool) -> list[Reference] | None:
        """The names to show, None = not this image. `is_needed`: it has children, and is hidden without a name."""
        named = [name for name in names if not self.references or self._matches(name)]
        if named:
            tagged = any(name.digest is None for name in named)
            return None if self.dangling and (tagged or is_needed) else named
        hidden = is_needed and (self.dangling or not everything)
        return None if hidden or self.dangling is False or self.references else []

    def _matches(self, name: Reference) -> bool:
        """A glob over the familiar name, with or without its tag; a * stops at a slash."""
        texts = (name.familiar, name.familiar_repository)
        return any(component(pattern).fullmatch(text) for pattern in self.references for text in texts)


def list_filter(filters: Filters, image_of: Callable[[str], Image]) -> ListFilter:
    """`image_of` finds what `before` and `since` name. Raises Invalid, and what `image_of` raises."""
    _check(filters, KNOWN)
    before = [created_ns(image_of(name).created) for name in filters.get("before", ())]
    before += [parse_moment(text, time.time_ns()) for text in filters.get("until", ())]
    since = [created_ns(image_of(name).created) for name in filters.get("since", ())]
    return ListFilter(
        references=filters.get("reference", ()),
        dangling=_flag(filters),
        labels=filters.get("label", ()),
        before=min((moment for moment in before if moment is not None), default=None),
        since=max((moment for moment in since if moment is not None), default=None),
    )


@dataclass(frozen=True)
class PruneFilter:
    """`dangling` False = images with names too; `until` in ns since 1970."""

    dangling: bool
    until: int | None
    labels: Sequence[str]
    unwanted: Sequence[str]

    def fits(self, image: Image) -> bool:
        moment = created_ns(image.created)
        if self.until is not None and (moment is None or moment > self.until):
            return False
        labels = image.config.labels
        if not all(label_matches(labels, label) for label in self.labels):
            return False
        return not self.unwanted or not all(label_matches(labels, label) for label in self.unwanted)


def prune_filter(filters: Filters) -> PruneFilter:
    """Raises Invalid."""
    _check(filters, PRUNE_KNOWN)
    until = filters.get("until", ())
    if len(until) > 1:
        raise Invalid("more than one until filter specified")
    return PruneFilter(
        dangling=_flag(filters) is not False,
        until=parse_moment(until[0], time.time_ns()) if until else None,
        labels=filters.get("label", ()),
        unwanted=filters.get("label!", ()),
    )


def _check(filters: Filters, known: frozenset[str]) -> None:
    if unknown := sorted(set(filters) - known):
        raise Invalid(f"invalid filter '{unknown[0]}'")


def _flag(filters: Filters) -> bool | None:
    """The value of `dangling`, None when it is not asked for."""
    if "dangling" not in filters:
        return None
    values = filters["dangling"]
    true, false = (any(value in words for value in values) for words in (("1", "true"), ("0", "false")))
    if true == false:
        raise Invalid(
            f"invalid filter 'dangling=[{' '.join(values)}]'" if values else "invalid filter 'dangling'"
        )
    return true
