"""Images as the API shows them: inspection, list entry, history, removal, progress lines (API 1.24-1.47)."""

from __future__ import annotations

from msgspec import field

from hostagent.wire.base import Wire, shown
from hostagent.wire.config import Config
from hostagent.wire.container import NEVER, DriverData


class RootFS(Wire, frozen=True, kw_only=True):
    """The layers of an image by diff ID, lowest first."""

    type: str = shown("layers")
    layers: list[str] = []


class ImageMetadata(Wire, frozen=True, kw_only=True):
    """What only this host knows of an image."""

    last_tag_time: str = shown(NEVER)


class ImageInspect(Wire, frozen=True, kw_only=True):
    """Answer of GET /images/{name}/json; `id` is `sha256:...`, size in bytes, created RFC 3339."""

    id: str = shown("")
    repo_tags: list[str] = shown([])
    repo_digests: list[str] = shown([])
    parent: str = shown("")
    comment: str = shown("")
    created: str = ""
    docker_version: str = shown("")
    author: str = shown("")
    config: Config | None = shown(None)
    architecture: str = shown("")
    variant: str = ""
    os: str = shown("")
    os_version: str = ""
    size: int = shown(0)
    virtual_size: int = 0
    """Only for API < 1.44, where it repeats `size`."""
    container_config: Config | None = None
    """Only for API < 1.45."""
    graph_driver: DriverData = shown(DriverData())
    root_fs: RootFS = shown(RootFS())
    metadata: ImageMetadata = shown(ImageMetadata())


class ImageSummary(Wire, frozen=True, kw_only=True):
    """Entry of GET /images/json; created in Unix seconds, sizes in bytes, -1 = not computed."""

    containers: int = shown(-1)
    created: int = shown(0)
    id: str = shown("")
    labels: dict[str, str] | None = shown(None)
    parent_id: str = shown("", "ParentId")
    repo_digests: list[str] | None = shown([])
    """null only for API < 1.43, for an image that has tags."""
    repo_tags: list[str] | None = shown([])
    shared_size: int = shown(-1)
    size: int = shown(0)
    virtual_size: int = 0
    """Only for API < 1.44, where it repeats `size`."""


class HistoryItem(Wire, frozen=True, kw_only=True):
    """Entry of GET /images/{name}/history, newest first.

    Created in Unix seconds; `id` is `<missing>` below the top.
    """

    comment: str = shown("")
    created: int = shown(0)
    created_by: str = shown("")
    id: str = shown("<missing>")
    size: int = shown(0)
    tags: list[str] | None = shown(None)


class ImageDeleted(Wire, frozen=True, kw_only=True):
    """Entry of the answer of DELETE /images/{name}; exactly one of the two is set."""

    untagged: str = ""
    deleted: str = ""


class ProgressDetail(Wire, frozen=True, kw_only=True, rename="lower"):
    """Bytes done and to do; total 0 = unknown."""

    current: int = 0
    total: int = 0


class ErrorDetail(Wire, frozen=True, kw_only=True, rename="lower"):
    """An error in the middle of a progress stream."""

    code: int = 0
    message: str = ""


class Progress(Wire, frozen=True, kw_only=True, rename="camel"):
    """One line of a pull, push, load or import stream."""

    stream: str = ""
    status: str = ""
    progress_detail: ProgressDetail | None = None
    progress: str = ""
    id: str = ""
    error_detail: ErrorDetail | None = None
    error: str = ""
    aux: dict[str, str | int] | None = None


class SearchResult(Wire, frozen=True, kw_only=True, rename=None):
    """Entry of the answer of GET /images/search."""

    star_count: int = shown(0, "star_count")
    is_official: bool = shown(False, "is_official")
    name: str = shown("", "name")
    is_automated: bool = shown(False, "is_automated")
    description: str = shown("", "description")


class Descriptor(Wire, frozen=True, kw_only=True, rename="camel"):
    """Names content in a registry; size in bytes."""

    media_type: str = ""
    digest: str = ""
    size: int = 0


class DistributionPlatform(Wire, frozen=True, kw_only=True, rename="lower"):
    """What an image in a registry runs on."""

    architecture: str = ""
    os: str = ""
    os_version: str = field(name="os.version", default="")
    os_features: list[str] = field(name="os.features", default_factory=list)
    variant: str = ""


class DistributionInspect(Wire, frozen=True, kw_only=True):
    """Answer of GET /distribution/{name}/json."""

    descriptor: Descriptor = shown(Descriptor())
    platforms: list[DistributionPlatform] = shown([])
