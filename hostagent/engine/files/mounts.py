"""What a container mounts from the host and from volumes: decided at its creation, kept with its row."""

from __future__ import annotations

import dataclasses
import posixpath

import msgspec
from msgspec.structs import replace

from hostagent.engine.files.mountspec import BindMount
from hostagent.runtime.volume_step import Donor
from hostagent.volume.volume import LOCAL, Filesystem
from hostagent.wire import HostConfig, MountPoint


class VolumeMount(msgspec.Struct, frozen=True, omit_defaults=True):
    """A volume, or a part of one, at a place in a container."""

    name: str
    destination: str
    source: str
    """The volume's directory on the host."""
    driver: str = LOCAL
    read_only: bool = False
    mode: str = ""
    """As `inspect` shows it: the third part of `-v`, or "z" where there is none."""
    named: bool = False
    """Asked for by name: never removed with its container."""
    subpath: str = ""

    def wire(self) -> MountPoint:
        return MountPoint(
            type="volume",
            name=self.name,
            source=self.source,
            destination=self.destination,
            driver=self.driver,
            mode=self.mode,
            rw=not self.read_only,
        )


@dataclasses.dataclass(frozen=True)
class StartingVolume:
    """A volume as one start mounts it."""

    mount: VolumeMount
    filesystem: Filesystem | None = None
    """None for a plain directory."""
    donor: Donor | None = None
    """A container that has the file system mounted."""


class Mounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """At most one per destination. The tmpfs mounts of `--tmpfs` and `--mount` are read from the HostConfig."""

    binds: tuple[BindMount, ...] = ()
    volumes: tuple[VolumeMount, ...] = ()

    @property
    def destinations(self) -> frozenset[str]:
        binds = {bind.destination for bind in self.binds}
        return frozenset(binds | {volume.destination for volume in self.volumes})

    def points(self, host: HostConfig) -> list[MountPoint]:
        """As `inspect` shows them; `--tmpfs` is not among them, `--mount type=tmpfs` is."""
        tmpfs = [
            MountPoint(type="tmpfs", destination=posixpath.normpath(entry.target), rw=not entry.read_only)
            for entry in host.mounts
            if entry.type == "tmpfs"
        ]
        return [*(bind.wire() for bind in self.binds), *(volume.wire() for volume in self.volumes), *tmpfs]

    def inherited(self, read_only: bool) -> Mounts:
        """As another container has them by `--volumes-from`."""
        return Mounts(
            tuple(
                dataclasses.replace(bind, read_only=bind.read_only or read_only, mode="")
                for bind in self.binds
            ),
            tuple(
                replace(volume, read_only=volume.read_only or read_only, mode="") for volume in self.volumes
            ),
        )

    def without(self, destinations: frozenset[str]) -> Mounts:
        """What other mounts do not take the place of."""
        return Mounts(
            tuple(bind for bind in self.binds if bind.destination not in destinations),
            tuple(volume for volume in self.volumes if volume.destination not in destinations),
        )

    def __add__(self, other: Mounts) -> Mounts:
        return Mounts(self.binds + other.binds, self.volumes + other.volumes)
