"""Networks and volumes that are only lists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from hostagent import wire
from hostagent.api.ports import Filters
from hostagent.errors import Conflict, NotFound


class FakeNetworks:
    """The predefined bridge network, and those that were made."""

    def __init__(self) -> None:
        self.made: dict[str, wire.Network] = {"bridge": wire.Network(name="bridge", id="b" * 64)}

    def list(self, filters: Filters) -> Sequence[wire.Network]:
        return list(self.made.values())

    def inspect(self, ref: str) -> wire.Network:
        if ref not in self.made:
            raise NotFound(f"network {ref} not found")
        return self.made[ref]

    def create(self, body: wire.NetworkCreate) -> wire.NetworkCreated:
        self.made[body.name] = wire.Network(name=body.name, id=body.name)
        return wire.NetworkCreated(id=body.name)

    def remove(self, ref: str) -> None:
        del self.made[self.inspect(ref).name]

    def prune(self, filters: Filters) -> wire.NetworksPruned:
        return wire.NetworksPruned(networks_deleted=[name for name in self.made if name != "bridge"])


class FakeConnections:
    """Who was connected to what."""

    def __init__(self) -> None:
        self.on: list[tuple[str, str]] = []

    async def connect(self, ref: str, body: wire.NetworkConnect) -> None:
        self.on.append((ref, body.container))

    async def disconnect(self, ref: str, body: wire.NetworkDisconnect) -> None:
        if (ref, body.container) not in self.on:
            raise NotFound(f"container {body.container} is not connected to network {ref}")
        self.on.remove((ref, body.container))


class FakeVolumeFiles:
    """api.ports.VolumeFiles: archives that tell the volume's name."""

    def __init__(self) -> None:
        self.filled: dict[str, bytes] = {}

    async def export(self, name: str) -> AsyncIterator[bytes]:
        yield b"tar of "
        yield name.encode()

    async def fill(self, name: str, tar: AsyncIterator[bytes]) -> None:
        self.filled[name] = b"".join([piece async for piece in tar])


class FakeVolumes:
    """Volumes without data; `held` is in use."""

    def __init__(self) -> None:
        self.volumes = {"held": wire.Volume(name="held")}

    def list(self, filters: Filters) -> Sequence[wire.Volume]:
        wanted = filters.get("name", [])
        return [volume for name, volume in self.volumes.items() if not wanted or name in wanted]

    def inspect(self, name: str) -> wire.Volume:
        if name not in self.volumes:
            raise NotFound(f"get {name}: no such volume")
        return self.volumes[name]

    def create(self, body: wire.VolumeCreate) -> wire.Volume:
        return self.volumes.setdefault(body.name, wire.Volume(name=body.name, labels=body.labels))

    async def remove(self, name: str, force: bool) -> None:
        if name == "held":
            raise Conflict(f"remove {name}: volume is in use - [1]")
        if name in self.volumes or not force:
            del self.volumes[self.inspect(name).name]

    async def prune(self, filters: Filters) -> wire.VolumesPruned:
        return wire.VolumesPruned(volumes_deleted=sorted(filters.get("all", [])))
