"""Names for containers that were given none."""

from __future__ import annotations

import secrets
from collections.abc import Callable

MANNERS = (
    "amber bold brisk calm clear deft eager fair fleet frank gentle glad grand hale honest humble keen kind lively",
    "lucid mellow merry mild neat nimble noble patient placid plain polite proud quick quiet rapid ready serene",
    "sharp silent sleek smart solid steady still stout subtle sunny swift tidy tranquil true vivid warm wise witty",
)
THINGS = (
    "acorn alder anchor anvil aspen badger beacon birch bison bridge brook canyon cedar cliff comet coral cove crane",
    "delta dolphin eagle ember falcon fern fjord forge gale garnet glacier harbor hawk hazel heron island ivy jasper",
    "juniper lagoon lantern larch lynx maple marsh meadow mill moss oak orbit orchid osprey otter pebble pine plover",
    "prairie quarry quartz raven reef ridge river robin rowan saddle sage schooner sparrow spruce summit thistle wren",
)


def generate(taken: Callable[[str], bool]) -> str:
    """`swift_heron`; with a number once the short ones run out."""
    for attempt in range(1000):
        name = f"{_word(MANNERS)}_{_word(THINGS)}"
        if attempt >= 5:
            name += str(secrets.randbelow(10 ** (attempt // 5)))
        if not taken(name):
            return name
    raise AssertionError("a thousand random names are taken")


def _word(lines: tuple[str, ...]) -> str:
    return secrets.choice(" ".join(lines).split())
