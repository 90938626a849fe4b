"""Entries of the list of containers, made anew only when something in them has changed.

With a thousand containers a list is asked for as often as with ten (`docker ps`, monitoring), and holds the daemon's
only thread for as long as it takes: 25 us for a new entry, 2 us for one that is as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hostagent.engine import views
from hostagent.engine.container import Container
from hostagent.engine.files.mounts import Mounts
from hostagent.engine.networks.joined import Joined
from hostagent.engine.state import State
from hostagent.wire import ContainerCreate, ContainerSummary


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry, and all that it was made of: objects that are replaced and never changed, and few words."""

    config: ContainerCreate
    state: State
    mounts: Mounts
    networks: tuple[Joined, ...] | None
    words: tuple[str, str, str | None, tuple[str, ...]]
    entry: ContainerSummary


def entry(container: Container, named_image: str | None, links: Sequence[str]) -> ContainerSummary:
    """See `views.summary`."""
    words = (container.name, views.status(container.state), named_image, tuple(links))
    known = container.listed
    if (
        known is not None
        and known.state is container.state
        and known.config is container.config
        and known.mounts is container.mounts
        and known.networks is container.networks
        and known.words == words
    ):
        return known.entry
    made = views.summary(container, named_image, links)
    container.listed = Listed(
        container.config, container.state, container.mounts, container.networks, words, made
    )
    return made
