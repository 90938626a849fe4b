"""An image as an immutable view of its configuration. Source: OCI image-spec 1.1, config.md."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Healthcheck:
    """Times in nanoseconds; 0 = inherit the default."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True)
class ImageConfig:
    """What a container made from the image gets unless it says otherwise. None = not set (differs from empty)."""

    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None


@dataclass(frozen=True)
class HistoryEntry:
    """One step that made the image; `created` is RFC 3339 or empty."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


@dataclass(frozen=True)
class Platform:
    """`linux/arm64/v8` in parts."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True)
class Image:
    """One image. `id` = sha256 of the configuration's bytes; `diff_ids` from the bottom up."""

    id: str
    platform: Platform
    config: ImageConfig
    diff_ids: tuple[str, ...]
    history: tuple[HistoryEntry, ...] = ()
    created: str = ""
    author: str = ""
    comment: str = ""

    @cached_property
    def chain_ids(self) -> tuple[str, ...]:
        """The layers' places in the stack, from the bottom up."""
        return chain_ids(self.diff_ids)


def chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    """chain(0) = diff(0), chain(n) = sha256(chain(n-1) + " " + diff(n)): OCI image-spec, config.md, Layer ChainID."""
    chains: list[str] = []
    for diff_id in diff_ids:
        if chains:
            text = f"{chains[-1]} {diff_id}"
            chains.append("sha256:" + hashlib.sha256(text.encode()).hexdigest())
        else:
            chains.append(diff_id)
    return tuple(chains)
