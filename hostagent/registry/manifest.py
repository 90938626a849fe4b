"""Manifests and indexes, typed. Sources: OCI image-spec manifest.md, image-index.md; distribution manifest-v2-2.md."""

from __future__ import annotations

import hashlib

import msgspec

from hostagent.errors import Invalid, NotFound, Unsupported
from hostagent.model.image import Platform
from hostagent.model.reference import is_digest
from hostagent.registry import media

MANIFEST_LIMIT = 4 << 20  # bytes, the limit that the distribution spec recommends


class DescriptorPlatform(msgspec.Struct, frozen=True, omit_defaults=True):
    architecture: str
    os: str
    os_version: str = msgspec.field(name="os.version", default="")
    os_features: list[str] = msgspec.field(name="os.features", default_factory=list)
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Names a blob: its digest and its size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] | None = None
    platform: DescriptorPlatform | None = None
    urls: list[str] | None = None

    def __post_init__(self) -> None:
        if not is_digest(self.digest) or self.size < 0:
            raise ValueError(f"malformed descriptor of {self.digest!r}: only sha256 digests are supported")


class Manifest(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One image: its configuration and its layers from the bottom up."""

    schema_version: int
    config: Descriptor
    layers: list[Descriptor]
    media_type: str = ""
    annotations: dict[str, str] | None = None


class Index(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Manifests of one image for several platforms, or of several images (OCI layout)."""

    schema_version: int
    manifests: list[Descriptor]
    media_type: str = ""


class _Probe(msgspec.Struct, rename="camel"):
    """Enough to tell the kinds apart when the media type does not."""

    media_type: str = ""
    schema_version: int = 0
    manifests: msgspec.Raw = msgspec.Raw()
    layers: msgspec.Raw = msgspec.Raw()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def parse(raw: bytes) -> Manifest | Index:
    """Raises Invalid when malformed, Unsupported for schema 1."""
    try:
        probe = msgspec.json.decode(raw, type=_Probe)
        if probe.schema_version == 1:
            raise Unsupported(
                "the image has a manifest of schema 1, given up in 2017: push it again with a current tool"
            )
        if probe.media_type in media.INDEXES or (bytes(probe.manifests) and not bytes(probe.layers)):
            return msgspec.json.decode(raw, type=Index)
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the image's manifest is malformed: {error}") from error


def encode(document: Manifest | Index) -> bytes:
    return msgspec.json.encode(document)


def check_image(manifest: Manifest, name: str) -> None:
    """Raises Unsupported for what is in registries but can be no container's root: artifacts, layers kept elsewhere."""
    kind = manifest.config.media_type
    if kind not in media.CONFIGS:
        raise Unsupported(
            f"{name} is no image but an artifact of type {kind}: fetch it with a tool made for it, such as oras or helm"
        )
    for layer in manifest.layers:
        if "foreign" in layer.media_type or "nondistributable" in layer.media_type:
            raise Unsupported(
                f"the layer {layer.digest} of {name} is not in the registry (media type {layer.media_type}): images "
                "with foreign layers, as Windows has them, cannot run on this host"
            )
        if layer.media_type not in media.LAYERS:
            raise Unsupported(
                f"the layer {layer.digest} of {name} has the unsupported media type {layer.media_type}"
            )


def choose(index: Index, wanted: Platform) -> Descriptor:
    """The manifest for a platform. Raises NotFound in Docker's words.

    An exact variant first, then one without variant or (nothing asked) any; arm falls back to lower variants.
    """
    fitting = [
        entry
        for entry in index.manifests
        if entry.platform is not None
        and (entry.platform.os, entry.platform.architecture) == (wanted.os, wanted.architecture)
    ]
    for accepted in _variants(wanted):
        for entry in fitting:
            if entry.platform is not None and entry.platform.variant == accepted:
                return entry
    if fitting and not wanted.variant:
        return fitting[0]
    bare = [entry for entry in index.manifests if entry.platform is None]
    if len(bare) == 1 and len(index.manifests) == 1:
        return bare[0]
    offered = ", ".join(
        sorted(
            str(Platform(e.platform.os, e.platform.architecture, e.platform.variant))
            for e in index.manifests
            if e.platform is not None and e.platform.os != "unknown"
        )
    )
    raise NotFound(
        f"no matching manifest for {wanted} in the manifest list entries: it offers {offered or 'no platform'}"
    )


def serves(offered: Platform, wanted: Platform) -> bool:
    """Whether what is made for `offered` is good for `wanted`; without a variant any is."""
    if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return False
    return not wanted.variant or offered.variant in _variants(wanted)


def _variants(wanted: Platform) -> list[str]:
    if wanted.architecture == "arm64":
        return [wanted.variant or "v8", "", "v8"]
    if wanted.architecture == "arm" and wanted.variant in ("v8", "v7", "v6", "v5"):
        known = ["v8", "v7", "v6", "v5"]
        return [*known[known.index(wanted.variant) :], ""]
    return [wanted.variant, ""]
