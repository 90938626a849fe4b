"""`docker push`: layers side by side, then the configuration, then the manifest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from hostagent import wire
from hostagent.errors import Invalid, NotFound
from hostagent.image.crew import Crew
from hostagent.image.export import Exported, LayerFile, export
from hostagent.image.fetching import side_by_side
from hostagent.image.jobs import Done
from hostagent.image.progress import Tell, layer_status, layer_step, status
from hostagent.image.remotejobs import (
    Access,
    Opened,
    OpenPush,
    PushBlob,
    Pushed,
    PushManifest,
    Source,
)
from hostagent.image.store import ImageStore, Lease
from hostagent.model.image import Image
from hostagent.model.reference import Reference
from hostagent.registry.auth import Credentials
from hostagent.registry.config import RegistryConfig


@dataclass(frozen=True)
class Push:
    """One push; the collaborators are the service's."""

    store: ImageStore
    registries: RegistryConfig
    tell: Tell

    async def run(
        self, reference: Reference, credentials: Credentials | None
    ) -> list[tuple[Reference, Image]]:
        """Push a tag, or all tags of the repository; what was pushed.

        Raises Invalid, NotFound, Unauthorized, Denied, Unavailable.
        """
        if reference.digest is not None:
            raise Invalid("cannot push a digest reference: name a tag")
        self.tell(status(f"The push refers to repository [{reference.repository}]"))
        names = [reference] if reference.tag else self.store.tags_of(reference.repository)
        images = [(name, image) for name in names if (image := self.store.named(name)) is not None]
        if not images:
            raise NotFound(f"An image does not exist locally with the tag: {reference.familiar}")
        async with self.store.lease() as lease, Crew() as crew:
            source = Source(str(reference), self.registries, credentials)
            opened = await crew.run(OpenPush(source), Opened)
            for name, image in images:
                await self._one(crew, lease, opened.access, name, image)
        return images

    async def _one(self, crew: Crew, lease: Lease, access: Access, name: Reference, image: Image) -> None:
        store, tell = self.store, self.tell
        assert name.tag is not None
        for diff_id in image.diff_ids:
            tell(layer_status("Preparing", diff_id))
        exported = await export(store, crew, lease, image)
        # A layer may occur twice in an image, and need not be sent twice at once.
        distinct = {layer.blob.digest: layer for layer in exported.layers}
        tasks: list[Callable[[], Awaitable[None]]] = [
            partial(self._layer, crew, access, name, layer) for layer in distinct.values()
        ]
        await side_by_side(tasks)
        await self._config(crew, access, exported)
        file = lease.scratch("manifest")
        file.write_bytes(exported.manifest)
        await crew.run(PushManifest(access, name.tag, exported.media_type, str(file)), Done)
        store.name(name.at(exported.digest), image.id)
        store.remember_source(
            [layer.blob.digest for layer in exported.layers if store.has_blob(layer.blob.digest)],
            name.repository,
        )
        size = len(exported.manifest)
        tell(status(f"{name.tag}: digest: {exported.digest} size: {size}"))
        tell(
            wire.Progress(
                progress_detail=wire.ProgressDetail(),
                aux={"Tag": name.tag, "Digest": exported.digest, "Size": size},
            )
        )

    async def _layer(self, crew: Crew, access: Access, name: Reference, layer: LayerFile) -> None:
        blob = layer.blob
        mounts = [
            source.removeprefix(f"{name.domain}/")
            for source in self.store.sources(blob.digest)
            if source.startswith(f"{name.domain}/") and source != name.repository
        ]
        job = PushBlob(access, blob.digest, blob.size, str(layer.path), mounts)
        pushed = await crew.run(job, Pushed, lambda step: self.tell(layer_step(step, blob.diff_id)))
        said = {
            "exists": "Layer already exists",
            "mounted": f"Mounted from {pushed.source}",
            "pushed": "Pushed",
        }
        self.tell(layer_status(said[pushed.how], blob.diff_id))

    async def _config(self, crew: Crew, access: Access, exported: Exported) -> None:
        path = self.store.blob(exported.image.id)
        await crew.run(PushBlob(access, exported.image.id, len(exported.config), str(path)), Pushed)
