"""How an image goes from one host to another through a laptop: /pymachine/v1/images (docs/adr/0017)."""

from __future__ import annotations

from hostagent.wire.base import Wire, shown


class ImageLayer(Wire, frozen=True, kw_only=True):
    """`digest` is that of the bytes that travel: a blob of `media_type` as a registry gave it, or, with none, the
    canonical tar whose digest is the diff ID."""

    digest: str = shown("")
    diff_id: str = shown("", "DiffID")
    media_type: str = shown("")
    size: int = shown(0)


class ImageParts(Wire, frozen=True, kw_only=True):
    """An image without the bytes of its layers, the bottom one first. `manifest` is empty when no registry gave one."""

    id: str = shown("", "ID")
    config: bytes = shown(b"")
    manifest: bytes = shown(b"")
    names: list[str] = shown([])
    layers: list[ImageLayer] = shown([])


class ImageLacks(Wire, frozen=True, kw_only=True):
    """Digests that a host needs before it has the image; none: it has it. `begun`: bytes that are there, by digest."""

    missing: list[str] = shown([])
    begun: dict[str, int] = shown({})
