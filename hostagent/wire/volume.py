"""Volumes as the API shows them (API 1.24-1.47)."""

from __future__ import annotations

from hostagent.wire.base import Wire, shown


class VolumeUsage(Wire, frozen=True, kw_only=True):
    """Bytes (-1 = not known) and how many containers mount it; only in GET /system/df."""

    ref_count: int = shown(0)
    size: int = shown(0)


class Volume(Wire, frozen=True, kw_only=True):
    """Answer of GET /volumes/{name}; `created_at` in RFC 3339."""

    created_at: str = ""
    driver: str = shown("local")
    labels: dict[str, str] | None = shown(None)
    mountpoint: str = shown("")
    name: str = shown("")
    options: dict[str, str] | None = shown(None)
    scope: str = shown("local")
    usage_data: VolumeUsage | None = None


class VolumeList(Wire, frozen=True, kw_only=True):
    """Answer of GET /volumes."""

    volumes: list[Volume] = shown([])
    warnings: list[str] | None = shown(None)


class VolumeCreate(Wire, frozen=True, kw_only=True):
    """Body of POST /volumes/create; an empty name makes an anonymous volume."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    cluster_volume_spec: dict[str, object] | None = None


class VolumesPruned(Wire, frozen=True, kw_only=True):
    """Answer of POST /volumes/prune; bytes."""

    volumes_deleted: list[str] = shown([])
    space_reclaimed: int = shown(0)
