"""The volumes of containers that run: what a start mounts, who has which, and the events about it."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from weakref import WeakValueDictionary

from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.files.mounts import StartingVolume, VolumeMount
from hostagent.engine.files.volumes import Volumes
from hostagent.errors import EngineError, NotFound, Unsupported
from hostagent.image.filejobs import Bind
from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.kernel.fds import owned
from hostagent.runtime.volume_step import Donor
from hostagent.volume.volume import Filesystem


class MountedVolumes:
    """One for all containers."""

    def __init__(self, volumes: Volumes, containers: Containers, events: EventBus) -> None:
        self._volumes = volumes
        self._containers = containers
        self._events = events
        self._mounted: set[str] = set()
        """IDs of containers whose volumes were told to be mounted."""
        self._starting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By volume with a file system: two containers that start together must not each mount one of their own."""

    @asynccontextmanager
    async def mounting(self, container: Container) -> AsyncIterator[tuple[StartingVolume, ...]]:
        """What a start mounts; the block lasts until it has. Raises NotFound or EngineError, in Docker's words, for
        what cannot be mounted; what changes afterwards, init finds out by itself."""
        async with AsyncExitStack() as locks:
            for name in sorted({mount.name for mount in container.mounts.volumes}):
                if self._shared(name):
                    lock = self._starting.setdefault(name, asyncio.Lock())
                    await locks.enter_async_context(lock)
            found = [await self._starting_volume(container, mount) for mount in container.mounts.volumes]
            self._tell_mounted(container)
            yield tuple(found)

    def _shared(self, name: str) -> bool:
        filesystem = self._volumes.get(name).filesystem
        return filesystem is not None and not filesystem.bind

    async def _starting_volume(self, container: Container, mount: VolumeMount) -> StartingVolume:
        filesystem = self._volumes.get(mount.name).filesystem
        if filesystem is None or filesystem.bind:
            source = filesystem.device if filesystem else mount.source
            if filesystem and not os.path.exists(source):
                raise EngineError(no_such_device(mount.source, filesystem))
            if mount.subpath:
                _check_subpath(source, mount.subpath)
            return StartingVolume(mount, filesystem)
        return StartingVolume(mount, await resolved(filesystem), self._donor(container, mount.name))

    def _donor(self, container: Container, name: str) -> Donor | None:
        """Another container that runs with all of the volume mounted."""
        for holder in self._volumes.holders(name) - {container.id}:
            other = self._containers.get(holder)
            if other is not None and other.state.pid:
                for mount in other.mounts.volumes:
                    if mount.name == name and not mount.subpath:
                        return Donor(other.state.pid, other.id, mount.destination)
        return None

    def binds(self, container: Container) -> list[Bind]:
        """What stands for the volumes of a container that does not run, for `docker cp`. Raises Unsupported."""
        return [self._bind(mount) for mount in container.mounts.volumes]

    def _bind(self, mount: VolumeMount) -> Bind:
        filesystem = self._volumes.get(mount.name).filesystem
        if filesystem and not filesystem.bind:
            raise Unsupported(
                f"copying from or to a stopped container with a volume of another file system ({mount.name}) is not "
                "supported yet: start it first"
            )
        source = filesystem.device if filesystem else mount.source
        return Bind(source, mount.destination, mount.read_only, mount.subpath)

    # -- events

    def _tell_mounted(self, container: Container) -> None:
        self._mounted.add(container.id)
        for mount in container.mounts.volumes:
            attributes = {
                "driver": mount.driver,
                "container": container.id,
                "destination": mount.destination,
                "read/write": "false" if mount.read_only else "true",
                "propagation": "",
            }
            self._events.publish("volume", "mount", mount.name, attributes)

    def adopt(self, container: Container) -> None:
        """It runs, with its volumes mounted under an earlier daemon."""
        self._mounted.add(container.id)

    def unmounted(self, container: Container) -> None:
        """Tell, once, that its mounts went with it."""
        if container.id not in self._mounted:
            return
        self._mounted.remove(container.id)
        for mount in container.mounts.volumes:
            attributes = {"driver": mount.driver, "container": container.id}
            self._events.publish("volume", "unmount", mount.name, attributes)


def no_such_device(place: str, filesystem: Filesystem) -> str:
    """dockerd's words for a bind whose directory is missing."""
    return (
        f"error while mounting volume '{place}': failed to mount local volume: mount {filesystem.device}:{place}, "
        "flags: 0x1000: no such file or directory"
    )


def _check_subpath(source: str, subpath: str) -> None:
    path = f"{source}/{subpath}"
    resolve = c.RESOLVE_BENEATH | c.RESOLVE_NO_MAGICLINKS
    try:
        with owned(os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as volume:
            os.close(libc.openat2(volume, subpath, os.O_PATH, 0, resolve))
    except FileNotFoundError:
        raise NotFound(f"cannot access path {path}: lstat {path}: no such file or directory") from None
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise EngineError(
                f"path concatenation escapes the base directory, base: {source}, subpath: {subpath}"
            ) from None
        raise EngineError(f"cannot access path {path}: {os.strerror(error.errno or 0).lower()}") from None


async def resolved(filesystem: Filesystem) -> Filesystem:
    """The kernel's network file systems want addresses: `addr=server` becomes `addr=192.0.2.1`."""
    if filesystem.kind not in ("nfs", "nfs4", "cifs"):
        return filesystem
    words = [await _with_address(word) for word in filesystem.words]
    return replace(filesystem, options=",".join(words))


async def _with_address(word: str) -> str:
    name = word.removeprefix("addr=")
    if name == word or not name or _is_address(name):
        return word
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise EngineError(
            f"error resolving passed in network volume address: lookup {name}: {error}"
        ) from None
    return f"addr={found[0][4][0]}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
