"""What is in an archive of images: docker save's manifest.json, or an OCI layout's index.json.

Reads the listing that a worker made (hostagent.image.jobs.Scan) and decides what to load; touches no layer.
Sources: moby image/spec/spec.md ("Combined Image JSON + Filesystem Changeset Format"), OCI image-layout.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hostagent.errors import Invalid
from hostagent.image.config import CONFIG_LIMIT, parse_config
from hostagent.image.jobs import Member, Part
from hostagent.model.image import Image, Platform
from hostagent.model.reference import Reference
from hostagent.registry import manifest as manifests

MEMBERS_LIMIT = 100_000  # an archive of images has a few per layer
LINK_DEPTH = 8
_NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


class _Entry(msgspec.Struct, rename="pascal"):
    """One image in manifest.json."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


@dataclass(frozen=True)
class Packed:
    """One image to load: where its parts are in the archive."""

    image: Image
    config: bytes
    layers: tuple[Part, ...]
    names: tuple[Reference, ...]
    manifest: bytes | None = None


class Archive:
    """An outer archive by its members."""

    def __init__(self, path: str, report: Path) -> None:
        self._path = path
        self._members: dict[str, Member] = {}
        decoder = msgspec.json.Decoder(Member)
        with report.open("rb") as lines:
            for line in lines:
                member = decoder.decode(line)
                self._members[member.name] = member
                if len(self._members) > MEMBERS_LIMIT:
                    raise Invalid(
                        f"the archive has more than {MEMBERS_LIMIT} members: this is no archive of images"
                    )

    def part(self, name: str) -> Part:
        """Where a member's bytes are; links are followed."""
        member = self._members.get(name)
        for _ in range(LINK_DEPTH):
            if member is None or not member.link:
                break
            # docker save up to 24 links a layer that occurs twice: "../<id>/layer.tar" beside it, or from the root.
            beside = os.path.normpath(os.path.join(os.path.dirname(member.name), member.link))
            member = self._members.get(beside) or self._members.get(os.path.normpath(member.link))
        if member is None or member.link:
            raise Invalid(f"the archive has no {name!r}: it is incomplete")
        return Part(self._path, member.offset, member.size)

    def read(self, name: str) -> bytes:
        """A small member."""
        part = self.part(name)
        if part.size > CONFIG_LIMIT:
            raise Invalid(f"{name!r} in the archive has {part.size} bytes: the limit is {CONFIG_LIMIT}")
        with open(self._path, "rb") as file:
            file.seek(part.offset)
            return file.read(part.size)

    def images(self, platform: Platform) -> list[Packed]:
        """All images of the archive. Raises Invalid when there are none or parts are missing."""
        if "manifest.json" in self._members:
            return self._docker()
        if "index.json" in self._members:
            return self._layout(platform)
        raise Invalid("the archive has neither manifest.json nor index.json: this is no archive of images")

    def _docker(self) -> list[Packed]:
        try:
            entries = msgspec.json.decode(self.read("manifest.json"), type=list[_Entry])
        except msgspec.DecodeError as error:
            raise Invalid(f"the archive's manifest.json is malformed: {error}") from error
        loaded: list[Packed] = []
        exacts = self._exact()
        for entry in entries:
            config = self.read(entry.config)
            names = tuple(Reference.parse(name) for name in entry.repo_tags or ())
            layers = entry.layers or []
            exact = exacts.get((entry.config, *layers))
            loaded.append(_packed(config, tuple(self.part(name) for name in layers), names, exact))
        return loaded

    def _exact(self) -> dict[tuple[str, ...], bytes]:
        """Manifests of the OCI layout in the same archive, by the members of configuration and layers.

        One whose layers are not compressed is no use: the registry's own would never be so.
        """
        if "index.json" not in self._members:
            return {}
        top = manifests.parse(self.read("index.json"))
        found: dict[tuple[str, ...], bytes] = {}
        for entry in top.manifests if isinstance(top, manifests.Index) else ():
            raw = self._blob(entry)
            manifest = manifests.parse(raw)
            if isinstance(manifest, manifests.Manifest) and all(
                layer.media_type.endswith(("gzip", "zstd")) for layer in manifest.layers
            ):
                names = [_blob_name(part.digest) for part in (manifest.config, *manifest.layers)]
                found[tuple(names)] = raw
        return found

    def _layout(self, platform: Platform) -> list[Packed]:
        top = manifests.parse(self.read("index.json"))
        if not isinstance(top, manifests.Index):
            raise Invalid("the archive's index.json is no index")
        loaded: list[Packed] = []
        for entry in top.manifests:
            raw = self._blob(entry)
            found = manifests.parse(raw)
            if isinstance(found, manifests.Index):
                raw = self._blob(manifests.choose(found, platform))
                found = manifests.parse(raw)
            if not isinstance(found, manifests.Manifest):
                raise Invalid("the archive has an index inside an index's platform")
            layers = tuple(self.part(_blob_name(layer.digest)) for layer in found.layers)
            exact = (
                raw if all(layer.media_type.endswith(("gzip", "zstd")) for layer in found.layers) else None
            )
            loaded.append(_packed(self._blob(found.config), layers, _annotated(entry), exact))
        return loaded

    def _blob(self, descriptor: manifests.Descriptor) -> bytes:
        data = self.read(_blob_name(descriptor.digest))
        if manifests.digest_of(data) != descriptor.digest:
            raise Invalid(f"the archive's blob {descriptor.digest} does not have that digest: it is damaged")
        return data


def _blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _packed(
    config: bytes, layers: tuple[Part, ...], names: tuple[Reference, ...], manifest: bytes | None = None
) -> Packed:
    image = parse_config(config)
    if len(layers) != len(image.diff_ids):
        raise Invalid(
            f"the archive has {len(layers)} layers for {image.id}, whose configuration names {len(image.diff_ids)}: "
            "it is damaged"
        )
    return Packed(image, config, layers, names, manifest)


def _annotated(entry: manifests.Descriptor) -> tuple[Reference, ...]:
    """The name that an OCI layout carries. A bare tag (`latest`) names no repository and is no name."""
    for key in _NAME_ANNOTATIONS:
        name = (entry.annotations or {}).get(key, "")
        if "/" in name or ":" in name:
            return (Reference.parse(name).without_digest(),)
    return ()
