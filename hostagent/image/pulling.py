"""`docker pull`: resolve in a worker, fetch and unpack the layers side by side, sync once, commit."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import msgspec
from msgspec.structs import replace

from hostagent import wire
from hostagent.errors import EngineError, Invalid, NotFound
from hostagent.image.config import host_platform, parse_config, parse_platform
from hostagent.image.crew import Crew
from hostagent.image.fetching import LayerMaker, side_by_side
from hostagent.image.jobs import Done, Part
from hostagent.image.progress import Tell, layer_status, layer_step, status
from hostagent.image.remotejobs import Access, Fetch, ListTags, Resolve, Resolved, Source
from hostagent.image.store import Blob, ImageStore, Lease, NewLayer, blob_key
from hostagent.model.image import Image
from hostagent.model.reference import Reference
from hostagent.registry.auth import Credentials
from hostagent.registry.config import RegistryConfig
from hostagent.registry.manifest import Descriptor, Manifest, digest_of, parse

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Found:
    """What the registry has for the reference."""

    image: Image
    config: bytes
    raw: bytes
    manifest: Manifest
    digest: str  # what the reference means, an index's or a manifest's
    access: Access
    tried: int  # endpoints that are behind us if this one fails


@dataclass(frozen=True)
class Pull:
    """One pull; the collaborators are the service's."""

    store: ImageStore
    maker: LayerMaker
    registries: RegistryConfig
    tell: Tell

    async def run(
        self, reference: Reference, platform: str | None, credentials: Credentials | None
    ) -> tuple[Image, bool]:
        """The pulled image, and whether the reference means another than before.

        Nothing is told before the reference is known to exist, so that errors can still be a status. Raises NotFound,
        Unavailable, Invalid, EngineError.
        """
        store, tell = self.store, self.tell
        async with store.lease() as lease, Crew() as crew:
            source = Source(str(reference), self.registries, credentials)
            found = await self._resolve(crew, lease, source, platform)
            tell(status(f"Pulling from {reference.path}", reference.tag or reference.digest or ""))
            before = store.named(reference.at(reference.digest) if reference.digest else reference)
            while True:
                try:
                    layers = await self._layers(crew, lease, found)
                    break
                except EngineError as error:
                    if not found.access.endpoint.mirror:
                        raise
                    log.warning("the mirror %s failed, trying the next: %s", found.access.endpoint.url, error)
                    found = await self._resolve(crew, lease, replace(source, skip=found.tried), platform)
            image, manifest_digest = found.image, digest_of(found.raw)
            lease.take(blob_key(image.id), blob_key(manifest_digest))
            store.put_blob(found.config, image.id)
            store.put_blob(found.raw, manifest_digest)
            await store.sync()
            names = [reference.at(found.digest)]
            if reference.digest is None:
                names.append(reference)
            store.add(image, layers, manifest_digest, names)
            store.remember_source([layer.digest for layer in found.manifest.layers], reference.repository)
            tell(status(f"Digest: {found.digest}"))
            return image, before is None or before.id != image.id

    async def _resolve(self, crew: Crew, lease: Lease, source: Source, platform: str | None) -> _Found:
        manifest_file, config_file = lease.scratch("manifest"), lease.scratch("config")
        wanted = parse_platform(platform) if platform else host_platform()
        job = Resolve(source, str(wanted), str(manifest_file), str(config_file))
        resolved = await crew.run(job, Resolved)
        raw, config = manifest_file.read_bytes(), config_file.read_bytes()
        manifest = parse(raw)
        assert isinstance(manifest, Manifest)
        image = parse_config(config)
        if len(manifest.layers) != len(image.diff_ids):
            raise Invalid(
                f"the manifest of {source.reference} has {len(manifest.layers)} layers, its configuration "
                f"{len(image.diff_ids)}: the image is damaged"
            )
        return _Found(image, config, raw, manifest, resolved.digest, resolved.access, resolved.tried)

    async def _layers(self, crew: Crew, lease: Lease, found: _Found) -> list[NewLayer]:
        parts = list(zip(found.image.chain_ids, found.image.diff_ids, found.manifest.layers, strict=True))
        for chain_id, _, descriptor in parts:
            if not self.store.has_layer(chain_id):
                self.tell(layer_status("Pulling fs layer", descriptor.digest))
        # As in Docker nothing is said of the layers of an image that is here.
        known = self.store.image(found.image.id) is not None
        tasks: list[Callable[[], Awaitable[NewLayer]]] = [
            partial(self._layer, crew, lease, found.access, known, *part) for part in parts
        ]
        return await side_by_side(tasks)

    async def _layer(
        self,
        crew: Crew,
        lease: Lease,
        access: Access,
        known: bool,
        chain_id: str,
        diff_id: str,
        descriptor: Descriptor,
    ) -> NewLayer:
        digest = descriptor.digest
        lease.take(blob_key(digest))

        async def source() -> Part:
            async with self.maker.locks.hold(blob_key(digest)):
                if not self.store.has_blob(digest):
                    into = lease.scratch("blob")
                    fetch = Fetch(access, digest, descriptor.size, str(into))
                    async with self.maker.downloads:
                        await crew.run(fetch, Done, lambda step: self.tell(layer_step(step, digest)))
                    self.store.adopt_blob(into, digest)
                    self.tell(layer_status("Verifying Checksum", digest))
                self.tell(layer_status("Download complete", digest))
            return Part(str(self.store.blob(digest)))

        blob = Blob(diff_id, digest, descriptor.media_type, descriptor.size)
        layer, existed = await self.maker.ensure(
            crew,
            lease,
            chain_id,
            diff_id,
            source,
            keep=False,
            blob=blob,
            heard=lambda step: self.tell(layer_step(step, digest)),
        )
        if not existed:
            self.tell(layer_status("Pull complete", digest))
        elif not known:
            self.tell(layer_status("Already exists", digest))
        return layer


def outcome(name: str, fresh: bool) -> wire.Progress:
    """The last line of a pull."""
    return status(f"Status: {'Downloaded newer image' if fresh else 'Image is up to date'} for {name}")


async def list_tags(
    store: ImageStore, registries: RegistryConfig, reference: Reference, credentials: Credentials | None
) -> list[str]:
    """All tags of the repository, as the registry orders them. Raises NotFound, Unavailable."""
    async with store.lease() as lease, Crew() as crew:
        into = lease.scratch("tags")
        await crew.run(ListTags(Source(str(reference), registries, credentials), str(into)), Done)
        tags = msgspec.json.decode(into.read_bytes(), type=list[str])
    if not tags:
        raise NotFound(f"the repository {reference.familiar_repository} has no tags")
    return tags
