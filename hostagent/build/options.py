"""What a build was asked for, whichever front asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hostagent.model.image import Platform
from hostagent.model.reference import Reference
from hostagent.wire import HostConfig


@dataclass(frozen=True)
class Options:
    """Names are those of `docker build`."""

    platform: Platform
    """What is built for; its own is also the host's (no emulation)."""
    dockerfile: str = "Dockerfile"
    """Its path in the context."""
    remote: str = ""
    """A URL of the context, which is not sent then."""
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[Reference, ...] = ()
    use_cache: bool = True
    cache_from: tuple[str, ...] = ()
    pull: bool = False
    host: HostConfig = field(default_factory=HostConfig)
    """Limits, network and hosts of RUN's processes."""
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    epoch: int | None = None
    """SOURCE_DATE_EPOCH: no time in the result is later (seconds since 1970)."""
