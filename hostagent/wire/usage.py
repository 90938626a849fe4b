"""What containers, images and volumes take on disk (API 1.24-1.47)."""

from __future__ import annotations

from hostagent.wire.base import Wire, shown
from hostagent.wire.container import ContainerSummary
from hostagent.wire.image import ImageSummary
from hostagent.wire.volume import Volume


class DiskUsage(Wire, frozen=True, kw_only=True):
    """Answer of GET /system/df, bytes; null = not asked for. The builder's cache is none, as there is no builder."""

    layers_size: int = shown(0)
    images: list[ImageSummary] | None = shown(None)
    containers: list[ContainerSummary] | None = shown(None)
    volumes: list[Volume] | None = shown(None)
    build_cache: list[str] | None = shown(None)


class ContainersPruned(Wire, frozen=True, kw_only=True):
    """Answer of POST /containers/prune; bytes."""

    containers_deleted: list[str] | None = shown(None)
    space_reclaimed: int = shown(0)
