"""The volumes of a container: claimed at its creation, filled from its image, let go at its end."""

from __future__ import annotations

import asyncio
import logging
import os
import posixpath
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from weakref import WeakValueDictionary

from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.files import bindtext, mountspec, volumespec
from hostagent.engine.files.mountedvolumes import no_such_device, resolved
from hostagent.engine.files.mounts import Mounts, VolumeMount
from hostagent.engine.files.volumes import Volumes
from hostagent.engine.files.volumespec import WantedVolume
from hostagent.engine.isolation.remap import Remap
from hostagent.errors import EngineError, Invalid, NotFound
from hostagent.runtime import mount_options
from hostagent.volume.copying import FilesystemMount, Job, Place
from hostagent.volume.population import fill_at_once, may_exist, populate
from hostagent.volume.store import VolumeStore
from hostagent.wire import ContainerCreate, HostConfig

log = logging.getLogger(__name__)

Claimed = tuple[WantedVolume, VolumeMount]


class ContainerVolumes:
    """One for all containers. `claim` and then either `commit` or `abandon`; in the end `release`."""

    def __init__(
        self, volumes: Volumes, store: VolumeStore, containers: Containers, remap: Remap | None
    ) -> None:
        self._remap = remap
        self._volumes = volumes
        self._store = store
        self._containers = containers
        self._filling: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By volume: one container fills it, others that come meanwhile find it full."""

    # -- create

    def check(self, body: ContainerCreate, host: HostConfig) -> None:
        """What can be said of a body before anything is made. Raises Invalid."""
        volumespec.check_kinds(host)
        places = [bind.destination for bind in mountspec.parse_binds(host)]
        places += [wanted.destination for wanted in volumespec.wanted(host)]
        places += [tmpfs.destination for tmpfs in mountspec.parse_tmpfs(host) if tmpfs.counts]
        for place in places:
            if places.count(place) > 1:
                raise Invalid(f"Duplicate mount point: {place}")
        volumespec.declared(body.volumes or (), host.volume_driver)
        self._inherited(host)

    async def claim(self, container: Container, lower: Sequence[str]) -> None:
        """Make the volumes that are missing, hold them all, and fill the new ones from the layers of the image.
        Afterwards the container's mounts are known. On an error: `abandon`."""
        host = container.host
        container.mounts = Mounts(mountspec.parse_binds(host))
        claimed = [self._claim(container, wanted) for wanted in volumespec.wanted(host)]
        mounted = {posixpath.normpath(entry.target) for entry in host.mounts}
        inherited = self._inherited(host).without(container.mounts.destinations | mounted)
        for mount in inherited.volumes:
            self._volumes.hold(mount.name, container.id)
        container.mounts += inherited
        taken = container.mounts.destinations | mounted | {*host.tmpfs}
        for wanted in volumespec.declared(container.config.volumes or (), host.volume_driver):
            if wanted.destination not in taken:
                claimed.append(self._claim(container, wanted))
        await self._fill(container, lower, claimed)

    def _claim(self, container: Container, wanted: WantedVolume) -> Claimed:
        volume = self._volumes.ensure(wanted.name, wanted.driver, wanted.labels, wanted.options, container.id)
        self._volumes.hold(volume.name, container.id)
        mount = VolumeMount(
            name=volume.name,
            destination=wanted.destination,
            source=self._store.data(volume.name),
            read_only=wanted.read_only,
            mode=wanted.mode,
            named=bool(wanted.name),
            subpath=wanted.subpath,
        )
        container.mounts += Mounts(volumes=(mount,))
        return wanted, mount

    def _inherited(self, host: HostConfig) -> Mounts:
        """What `--volumes-from` brings; of two containers with one place the later wins. Raises Invalid."""
        found = Mounts()
        for raw in host.volumes_from or ():
            reference, read_only = bindtext.split_volumes_from(raw)
            try:
                mounts = self._containers.find(reference).mounts
            except NotFound as error:
                # Docker's clients take NotFound at create for a missing image, and pull it.
                raise Invalid(str(error)) from None
            found = found.without(mounts.destinations) + mounts.inherited(read_only)
        return found

    async def _fill(self, container: Container, lower: Sequence[str], claimed: Sequence[Claimed]) -> None:
        places = [await self._place(*each, lower) for each in claimed]
        places = [place for place in places if place.copy or place.must_be_directory]
        async with AsyncExitStack() as locks:
            for target in sorted({place.target for place in places}):
                lock = self._filling.setdefault(target, asyncio.Lock())
                await locks.enter_async_context(lock)
            remap = self._remap if container.host.userns_mode != "host" else None
            uids, gids = (remap.uids, remap.gids) if remap else ((), ())
            if needed := fill_at_once(places, lower, uids, gids):
                directory = container.directory
                await populate(
                    Job(
                        lower=tuple(lower),
                        upper=f"{directory}/upper",
                        work=f"{directory}/work",
                        mountpoint=f"{directory}/rootfs",
                        places=needed,
                        uids=uids,
                        gids=gids,
                    )
                )

    async def _place(self, wanted: WantedVolume, mount: VolumeMount, lower: Sequence[str]) -> Place:
        filesystem = self._volumes.get(mount.name).filesystem
        copied = wanted.copy and not wanted.subpath
        if filesystem is None:
            return Place(mount.destination, mount.source, wanted.declared, copied)
        if filesystem.bind:
            if not os.path.isdir(filesystem.device):
                if copied and may_exist(mount.destination, lower):
                    raise EngineError(
                        f"failed to populate volume: {no_such_device(mount.source, filesystem)}"
                    )
                copied = False
            return Place(mount.destination, filesystem.device, copy=copied)
        filesystem = await resolved(filesystem)
        options = mount_options.parse(filesystem.words)
        return Place(
            mount.destination,
            mount.source,
            # What is copied into memory would be gone before the container starts.
            copy=copied and filesystem.kind not in ("tmpfs", "ramfs"),
            filesystem=FilesystemMount(
                filesystem.kind, filesystem.device, options.flags, ",".join(options.data)
            ),
        )

    def commit(self, container: Container, add: Callable[[Container], None]) -> None:
        """`add` the container; in the same transaction its new volumes are no longer half made."""
        if not container.mounts.volumes:
            add(container)
            return
        with self._store.settling(container.id):
            add(container)

    async def abandon(self, container: Container) -> None:
        """The container will not be: nor will volumes that were made for it and for nobody else."""
        self._let_go(container)
        await self._volumes.remove_unused(self._store.made_for(container.id))
        for name in self._store.made_for(container.id):
            self._store.settle(name)

    async def release(self, container: Container, anonymous: bool) -> None:
        """The container is gone; its `anonymous` volumes go with it where no other container holds them."""
        self._let_go(container)
        if not anonymous:
            return
        try:
            await self._volumes.remove_unused(
                [mount.name for mount in container.mounts.volumes if not mount.named]
            )
        except (EngineError, OSError) as error:
            log.error("volumes of container %s are left behind: %s", container.id[:12], error)

    def _let_go(self, container: Container) -> None:
        for mount in container.mounts.volumes:
            self._volumes.let_go(mount.name, container.id)
