"""What containers, images and volumes take on disk (API 1.24-1.47)."""

from __future__ import annotations

from hostagent.wire.base import Wire, shown
from hostagent.wire.container import ContainerSummary
from hostagent.wire.image import ImageDeleted, ImageSummary
from hostagent.wire.volume import Volume


class BuildCache(Wire, frozen=True, kw_only=True):
    """What a step of a build came to, kept for later builds; bytes, times RFC 3339."""

    id: str = shown("", "ID")
    parents: list[str] = []
    type: str = shown("regular")
    description: str = shown("")
    in_use: bool = shown(False)
    shared: bool = shown(False)
    size: int = shown(0)
    created_at: str = shown("")
    last_used_at: str | None = shown(None)
    usage_count: int = shown(0)


class BuildCachePruned(Wire, frozen=True, kw_only=True):
    """Answer of POST /build/prune; bytes."""

    caches_deleted: list[str] | None = shown(None)
    space_reclaimed: int = shown(0)


class DiskUsage(Wire, frozen=True, kw_only=True):
    """Answer of GET /system/df, bytes; null = not asked for."""

    layers_size: int = shown(0)
    images: list[ImageSummary] | None = shown(None)
    containers: list[ContainerSummary] | None = shown(None)
    volumes: list[Volume] | None = shown(None)
    build_cache: list[BuildCache] | None = shown(None)


class ContainersPruned(Wire, frozen=True, kw_only=True):
    """Answer of POST /containers/prune; bytes."""

    containers_deleted: list[str] | None = shown(None)
    space_reclaimed: int = shown(0)


class ImagesPruned(Wire, frozen=True, kw_only=True):
    """Answer of POST /images/prune; bytes."""

    images_deleted: list[ImageDeleted] | None = shown(None)
    space_reclaimed: int = shown(0)
