"""The one door to images for the engine and the API. From the event loop's thread only."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hostagent.errors import Conflict, NotFound
from hostagent.image import loading
from hostagent.image.fetching import LayerMaker
from hostagent.image.progress import Tell
from hostagent.image.store import ImageStore
from hostagent.model.image import Image
from hostagent.model.reference import Reference
from hostagent.statedb.database import Database

_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")


@dataclass(frozen=True)
class ImageDetails:
    """An image with what this host knows about it. `size` in bytes, `stored_ns` = since 1970."""

    image: Image
    names: tuple[Reference, ...]
    size: int
    stored_ns: int
    parent: str = ""

    @property
    def tags(self) -> tuple[str, ...]:
        """`busybox:latest`, …"""
        return tuple(name.familiar for name in self.names if name.digest is None)

    @property
    def digests(self) -> tuple[str, ...]:
        """`busybox@sha256:…`, …"""
        return tuple(name.familiar for name in self.names if name.digest is not None)


class ImageService:
    """`root` = the engine's data directory; `recover` runs once before use, at the engine's start."""

    def __init__(self, root: Path, db: Database) -> None:
        self.store = ImageStore(root, db)
        self._maker = LayerMaker(self.store)

    def recover(self) -> None:
        """Delete what a killed engine left half made. Synchronous: nothing else runs yet."""
        self.store.recover()

    # Looking

    def resolve(self, name: str) -> Image:
        """By name, name@digest, ID or unique beginning of an ID. Raises NotFound("No such image: x"), Conflict."""
        match = _ID.fullmatch(name)
        if match is not None and len(match[1]) == 64:
            found = self.store.image(f"sha256:{match[1]}")
            if found is None:
                raise NotFound(f"No such image: {name}")
            return found
        shown = name
        if not name.startswith("sha256:"):
            reference = Reference.parse(name)
            shown = reference.familiar
            found = self._named(reference)
            if found is not None:
                return found
        if match is not None:
            candidates = self.store.by_prefix(match[1])
            if len(candidates) > 1:
                raise Conflict(f"image ID {name} is ambiguous: give more of its digits")
            found = self.store.image(candidates[0]) if candidates else None
            if found is not None:
                return found
        raise NotFound(f"No such image: {shown}")

    def _named(self, reference: Reference) -> Image | None:
        if reference.digest is None:
            return self.store.named(reference)
        # With a digest the tag is only a remark; the digest may also be the image's own ID.
        found = self.store.named(reference.at(reference.digest))
        if found is None:
            image = self.store.image(reference.digest)
            if image is not None and any(
                name.repository == reference.repository for name in self.store.names(image.id)
            ):
                return image
        return found

    def lowerdirs(self, image: Image) -> tuple[str, ...]:
        """The layers' directories, absolute, the top one first: overlay's `lowerdir`."""
        return tuple(str(self.store.layer(chain_id)) for chain_id in reversed(image.chain_ids))

    def details(self, image: Image) -> ImageDetails:
        """What inspect and list show."""
        record = self.store.record(image.id)
        return ImageDetails(image, tuple(self.store.names(image.id)), record.size, record.stored_ns)

    def list(self) -> Sequence[ImageDetails]:
        """All images, the newest first."""
        found: list[ImageDetails] = []
        for record in self.store.records():
            image = self.store.image(record.id)
            if image is not None:
                found.append(
                    ImageDetails(image, tuple(self.store.names(image.id)), record.size, record.stored_ns)
                )
        return found

    # Changing

    def tag(self, source: str, target: str) -> Reference:
        """Give the image `source` the name `target`. Raises NotFound, Invalid."""
        image = self.resolve(source)
        reference = Reference.parse(target).without_digest()
        self.store.name(reference, image.id)
        return reference

    async def load(self, stream: AsyncIterator[bytes], progress: Tell) -> Sequence[Image]:
        """docker load."""
        return await loading.load(self.store, self._maker, stream, progress)
