"""`RUN --mount` as mounts of one container: nothing of it is in the layer that the step makes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from hostagent.build import ops
from hostagent.build.results import Snapshot, Tree
from hostagent.engine.files.mounts import Mounts, StartingVolume, VolumeMount
from hostagent.engine.files.mountspec import BindMount
from hostagent.errors import Invalid, Unsupported
from hostagent.image.trees import remove_tree
from hostagent.volume.volume import Filesystem

_TRASH = "trash-"
LayerDirectories = Callable[[Snapshot], list[str]]
"""Those of a stack, the top one first."""


@dataclass
class Mounted:
    """What a step's container gets."""

    binds: list[BindMount] = field(default_factory=list)
    volumes: list[StartingVolume] = field(default_factory=list)
    tmpfs: dict[str, str] = field(default_factory=dict)
    environment: list[str] = field(default_factory=list)

    @property
    def mounts(self) -> Mounts:
        return Mounts(tuple(self.binds))


class Caches:
    """Directories of `type=cache`, by their IDs; they outlive builds. `root` is theirs alone."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._users: Counter[str] = Counter()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    @asynccontextmanager
    async def use(self, mount: ops.Mount) -> AsyncIterator[str]:
        """Its directory; `locked` waits for other users, `private` gets one that nobody else uses."""
        name = hashlib.sha256(mount.identity.encode()).hexdigest()[:32]
        if mount.sharing == "shared":
            with self._used(name):
                yield self._directory(name, mount)
            return
        number = 0
        while mount.sharing == "private" and self._lock(f"{name}-{number}").locked():
            number += 1
        async with self._lock(f"{name}-{number}"):
            chosen = f"{name}-{number}" if number else name
            with self._used(chosen):
                yield self._directory(chosen, mount)

    async def prune(self) -> int:
        """Delete those that no step uses; bytes freed. One that is cut short goes with the next."""
        doomed: list[Path] = []
        for path in self._root.iterdir():
            if not self._users[path.name]:
                trash = self._root / f"{_TRASH}{secrets.token_hex(8)}"
                path.rename(trash)
                doomed.append(trash)
        return await asyncio.shield(asyncio.to_thread(_delete, doomed))

    @contextmanager
    def _used(self, name: str) -> Iterator[None]:
        self._users[name] += 1
        try:
            yield
        finally:
            self._users[name] -= 1

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _directory(self, name: str, mount: ops.Mount) -> str:
        path = self._root / name
        if not path.exists():
            path.mkdir()
            os.chown(path, mount.uid, mount.gid)
            path.chmod(mount.mode if mount.mode is not None else 0o755)
        return str(path)


def _delete(paths: Sequence[Path]) -> int:
    freed = 0
    for path in paths:
        freed += sum(
            os.lstat(os.path.join(top, name)).st_size for top, _, names in os.walk(path) for name in names
        )
        remove_tree(os.fsencode(path))
    return freed


class Mounting:
    """Prepares the mounts of one step. `scratch` is a directory on disk, `secrets` one in memory, both the step's."""

    def __init__(
        self,
        caches: Caches,
        secrets: Mapping[str, bytes],
        layers: LayerDirectories,
        scratch: Path,
        memory: Path,
    ) -> None:
        self._caches = caches
        self._secrets = secrets
        self._layers = layers
        self._scratch = scratch
        self._memory = memory

    @asynccontextmanager
    async def prepared(
        self, op: ops.Run, sources: Mapping[ops.Mount, Snapshot | Tree]
    ) -> AsyncIterator[Mounted]:
        """For as long as the step runs."""
        found = Mounted()
        async with AsyncExitStack() as stack:
            for number, mount in enumerate(op.mounts):
                match mount.kind:
                    case "bind":
                        found.volumes.append(self._bind(number, mount, sources[mount]))
                    case "cache":
                        if mount in sources:
                            raise Unsupported(
                                "type=cache with from= is not built yet: copy its content in a RUN"
                            )
                        path = await stack.enter_async_context(self._caches.use(mount))
                        found.binds.append(BindMount(path, mount.target, read_only=mount.read_only))
                    case "tmpfs":
                        found.tmpfs[mount.target] = f"size={mount.size}" if mount.size else ""
                    case "secret":
                        self._secret(number, mount, found)
                    case "ssh":
                        if mount.required:
                            raise Unsupported("type=ssh needs an agent, which this build was not given")
            yield found

    def _bind(self, number: int, mount: ops.Mount, source: Snapshot | Tree) -> StartingVolume:
        subpath = mount.path.strip("/")
        name = f"mount-{number}"
        if not isinstance(source, Snapshot) and mount.read_only:
            place = VolumeMount(name, mount.target, source.directory, read_only=True, subpath=subpath)
            return StartingVolume(place)
        lower = self._layers(source) if isinstance(source, Snapshot) else [source.directory]
        directory = self._scratch / name
        for part in ("upper", "work", "empty"):
            (directory / part).mkdir(parents=True)
        options = [f"lowerdir+={path}" for path in (*lower, str(directory / "empty"))]
        if not mount.read_only:
            # What is written is thrown away with the step (Dockerfile reference, "RUN --mount=type=bind").
            options += [f"upperdir={directory}/upper", f"workdir={directory}/work"]
        filesystem = Filesystem("overlay", "overlay", ",".join(options))
        place = VolumeMount(name, mount.target, str(directory), read_only=mount.read_only, subpath=subpath)
        return StartingVolume(place, filesystem)

    def _secret(self, number: int, mount: ops.Mount, found: Mounted) -> None:
        value = self._secrets.get(mount.identity)
        if value is None:
            if mount.required:
                raise Invalid(
                    f"secret {mount.identity}: not found; give it with --secret id={mount.identity},…"
                )
            return
        if mount.variable is not None:
            name = mount.variable or mount.identity
            found.environment.append(f"{name}={value.decode(errors='surrogateescape')}")
        if mount.target:
            path = self._memory / f"secret-{number}"
            path.write_bytes(value)
            os.chown(path, mount.uid, mount.gid)
            path.chmod(mount.mode if mount.mode is not None else 0o400)
            found.binds.append(BindMount(str(path), mount.target, read_only=mount.read_only))
