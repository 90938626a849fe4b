"""The one door to images for the engine and the API. From the event loop's thread only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from hostagent import wire
from hostagent.errors import Conflict, NotFound
from hostagent.image import committing, listing, loading, pruning, removing, saving, views
from hostagent.image.committing import Commit
from hostagent.image.crew import Crew
from hostagent.image.fetching import LayerMaker
from hostagent.image.filters import Filters, prune_filter
from hostagent.image.importing import import_archive
from hostagent.image.progress import Tell
from hostagent.image.pulling import Pull, list_tags, outcome
from hostagent.image.pushing import Push
from hostagent.image.removing import Users
from hostagent.image.store import ImageStore, NewLayer
from hostagent.model.image import Image
from hostagent.model.reference import Reference
from hostagent.registry.auth import credentials
from hostagent.registry.config import RegistryConfig
from hostagent.statedb.database import Database

_ID = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")


Publish = Callable[[str, str, str, Mapping[str, str]], None]
"""Hears events: kind (always image), action, the actor's ID, its attributes."""


class ImageService:
    """`root` = the engine's data directory; `recover` runs once before use, at the engine's start."""

    def __init__(
        self, root: Path, db: Database, registries: RegistryConfig, publish: Publish = lambda *_: None
    ) -> None:
        self._publish = publish
        self.store = ImageStore(root, db)
        self._registries = registries
        self._deletions: set[asyncio.Task[None]] = set()
        self.maker = LayerMaker(self.store)

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

    def inspect(self, name: str) -> wire.ImageInspect:
        return views.inspect(self.store, self.resolve(name))

    def history(self, name: str) -> Sequence[wire.HistoryItem]:
        """The newest step first."""
        return views.history(self.store, self.resolve(name))

    def list(self, all: bool, filters: Filters, shared_size: bool = False) -> Sequence[wire.ImageSummary]:
        """The newest first. `all` adds images without a name that others were made from. Raises Invalid, NotFound."""
        found = listing.list_images(self.store, self.resolve, all, filters)
        return listing.with_shared_sizes(self.store, found)[0] if shared_size else found

    def size(self, image_id: str) -> int:
        """Bytes of all layers of an image that has a row."""
        return self.store.record(image_id).size

    def usage(self) -> tuple[Sequence[wire.ImageSummary], int]:
        """All images with the bytes that each shares with others, and the bytes of all layers, each counted once."""
        return listing.with_shared_sizes(self.store, self.list(True, {}))

    # Changing

    def received(
        self, image: Image, layers: Sequence[NewLayer], manifest: str | None, names: Sequence[Reference]
    ) -> None:
        """An image from another host, whose files are synced, is one of this host's."""
        self.store.add(image, layers, manifest, names)
        for shown in [name.familiar for name in names] or [image.id]:
            self._tell("load", image, image.id, shown)

    def tag(self, source: str, target: Reference) -> None:
        """Give the image `source` the name `target`, taking it from another. Raises NotFound."""
        image = self.resolve(source)
        self.store.name(target, image.id)
        self._tell("tag", image, image.id, target.familiar)

    def remove(self, name: str, force: bool, prune: bool, users: Users) -> Sequence[wire.ImageDeleted]:
        """Untag, and delete with the last name. `users` tells the containers made from an image.

        `prune` deletes parents that have no name and nothing but it. Raises NotFound, Conflict. The names are gone at
        once; the layers' files are deleted in a thread meanwhile.
        """
        image = self.resolve(name)
        asked = self._asked(name, image)
        steps = removing.plan(image.id, asked, self._facts(users), force=force, prune=prune, typed=name)
        return self._removed(removing.perform(self.store, steps))

    def prune(self, filters: Filters, users: Users) -> wire.ImagesPruned:
        """docker image prune. Raises Invalid."""
        removed, reclaimed = pruning.prune(self.store, self._facts(users), prune_filter(filters))
        lines = self._removed(removed)
        self._publish("image", "prune", "", {"reclaimed": str(reclaimed)})
        return wire.ImagesPruned(images_deleted=[*lines] or None, space_reclaimed=reclaimed)

    def _facts(self, users: Users) -> removing.Facts:
        store = self.store
        return removing.Facts(store.names, store.children, lambda each: store.record(each).parent, users)

    def _removed(self, removed: removing.Removed) -> Sequence[wire.ImageDeleted]:
        for action, image in removed.told:
            # As in Docker an image that is gone has no labels any more.
            labels = {} if action == "delete" else image.config.labels
            self._publish("image", action, image.id, {**labels, "name": image.id})
        self._delete_later(self.store.sweep(removed.keys))
        return removed.lines

    def _asked(self, name: str, image: Image) -> Reference | None:
        """The name that `name` is; None when it is an ID."""
        if name.startswith("sha256:") or image.id.removeprefix("sha256:") == name:
            return None
        reference = Reference.parse(name)
        if reference.digest is not None:
            reference = reference.at(reference.digest)
        return reference if self._named(reference) is not None else None

    def _delete_later(self, paths: Sequence[Path]) -> None:
        if paths:
            task = asyncio.get_running_loop().create_task(self.store.delete(paths))
            self._deletions.add(task)
            task.add_done_callback(self._deletions.discard)

    async def close(self) -> None:
        """Wait for deletions under way."""
        await asyncio.gather(*self._deletions)

    async def load(self, stream: AsyncIterator[bytes], progress: Tell) -> Sequence[Image]:
        """docker load: all images of the archive, or none."""
        images = await loading.load(self.store, self.maker, stream, progress)
        for image in images:
            self._tell("load", image, image.id, image.id)
        return images

    async def pull(
        self, reference: Reference, platform: str | None, auth: wire.AuthConfig | None, progress: Tell
    ) -> Image:
        """docker pull of one tag or digest; `platform` as `linux/arm64`, None = this host's."""
        image, fresh = await self._pull(reference, platform, auth, progress)
        progress(outcome(reference.familiar, fresh))
        return image

    async def pull_all(
        self, reference: Reference, platform: str | None, auth: wire.AuthConfig | None, progress: Tell
    ) -> None:
        """docker pull --all-tags of a repository; what was pulled before one fails stays."""
        tags = await list_tags(self.store, self._registries, reference, credentials(auth))
        pulled = [await self._pull(reference.tagged(tag), platform, auth, progress) for tag in tags]
        progress(outcome(reference.familiar, any(fresh for _, fresh in pulled)))

    async def _pull(
        self, reference: Reference, platform: str | None, auth: wire.AuthConfig | None, progress: Tell
    ) -> tuple[Image, bool]:
        pull = Pull(self.store, self.maker, self._registries, progress)
        image, fresh = await pull.run(reference, platform, credentials(auth))
        self._tell("pull", image, reference.familiar, reference.familiar_repository)
        return image, fresh

    async def push(self, reference: Reference, auth: wire.AuthConfig | None, progress: Tell) -> None:
        """docker push of one tag, or of all tags of the repository when `reference` has none."""
        for name, image in await Push(self.store, self._registries, progress).run(
            reference, credentials(auth)
        ):
            self._tell("push", image, name.familiar, name.familiar_repository)

    def save(self, names: Sequence[str]) -> AsyncIterator[bytes]:
        """docker save. Raises NotFound at once, not with the first byte."""
        wanted: dict[str, tuple[Image, list[Reference]]] = {}
        for name in names:
            image = self.resolve(name)
            _, tags = wanted.setdefault(image.id, (image, []))
            asked = self._asked(name, image)
            if asked is not None and asked.tag is not None and asked not in tags:
                tags.append(asked)
        for image, _ in wanted.values():
            self._tell("save", image, image.id, image.id)
        return saving.save(self.store, list(wanted.values()))

    async def import_(
        self, stream: AsyncIterator[bytes], reference: Reference | None, message: str, changes: Sequence[str]
    ) -> str:
        """docker import; the new image's ID."""
        image = await import_archive(self.store, stream, reference, message, changes)
        self._tell("import", image, image.id, image.id)
        return image.id

    async def commit(self, crew: Crew, asked: Commit, reference: Reference | None) -> str:
        """docker commit; the new image's ID."""
        image = await committing.commit(self.store, crew, asked)
        if reference is not None:
            self.tag(image.id, reference)
        return image.id

    def _tell(self, action: str, image: Image, actor: str, name: str) -> None:
        self._publish("image", action, actor, {**image.config.labels, "name": name})
