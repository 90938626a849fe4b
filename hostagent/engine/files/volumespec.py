"""Which volumes a create body asks for: `-v name:/path`, `--mount type=volume`, and anonymous ones. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hostagent.engine.files import bindtext
from hostagent.errors import Invalid
from hostagent.wire import HostConfig, Mount, VolumeOptions

_INVALID = 'invalid mount config for type "volume": '
_SHARED = "z"
"""What dockerd shows as the mode of a volume that was given none (an SELinux label shared by containers)."""


@dataclass(frozen=True)
class WantedVolume:
    """`name` "" asks for a new one; `copy`: an empty one takes what the image has in its place."""

    name: str
    destination: str
    driver: str = ""
    options: Mapping[str, str] | None = None
    labels: Mapping[str, str] | None = None
    read_only: bool = False
    mode: str = ""
    copy: bool = True
    subpath: str = ""
    declared: bool = False
    """By the image's VOLUME or `-v /path`: gives way to other mounts, and never lies over a file."""


def wanted(host: HostConfig) -> tuple[WantedVolume, ...]:
    """Those of Binds, then those of Mounts. Invalid in Docker's words."""
    texts = [bindtext.split(raw) for raw in host.binds or ()]
    found = [_of_text(text, host.volume_driver) for text in texts if text.volume]
    return (*found, *(_of_mount(entry) for entry in host.mounts if entry.type == "volume"))


def declared(paths: Iterable[str], driver: str) -> tuple[WantedVolume, ...]:
    """Those of Config.Volumes (the image's among them), each place once."""
    places = dict.fromkeys(_declared_place(path) for path in paths)
    return tuple(WantedVolume("", place, driver, declared=True) for place in places)


def _declared_place(path: str) -> str:
    clean = posixpath.normpath(path)
    if not path.startswith("/") or clean.strip("/") == "":
        raise Invalid(
            f"invalid volume {path!r}: it needs to be an absolute path in the container other than '/': "
            "change -v, or the image's VOLUME"
        )
    return f"/{clean.lstrip('/')}"


def _of_text(text: bindtext.BindText, driver: str) -> WantedVolume:
    if not bindtext.PROPAGATIONS.isdisjoint(text.words):
        raise text.wrong(f"{_INVALID}field BindOptions must not be specified")
    return WantedVolume(
        name=text.source,
        destination=text.destination,
        driver=driver,
        read_only=text.read_only,
        mode=text.mode or _SHARED,
        copy="nocopy" not in text.words,
    )


def _of_mount(entry: Mount) -> WantedVolume:
    options = entry.volume_options or VolumeOptions()
    if entry.read_only and not entry.source:
        raise Invalid(f"{_INVALID}must not set ReadOnly mode when using anonymous volumes")
    if options.subpath:
        _check_subpath(entry.source, options.subpath)
    driver = options.driver_config
    return WantedVolume(
        name=entry.source,
        destination=bindtext.destination("volume", entry.target),
        driver=driver.name if driver else "",
        options=driver.options or None if driver else None,
        labels=options.labels or None,
        read_only=entry.read_only,
        mode=_SHARED,
        copy=not options.no_copy,
        subpath=options.subpath,
    )


def _check_subpath(name: str, subpath: str) -> None:
    if not name:
        raise Invalid(f"{_INVALID}must not set Subpath when using anonymous volumes")
    if subpath.startswith("/") or posixpath.normpath(subpath).split("/")[0] == "..":
        raise Invalid(f"{_INVALID}subpath must be a relative path within the volume")


def check_kinds(host: HostConfig) -> None:
    """Every entry of Mounts is of a known type, and has the options of no other type. Raises Invalid."""
    for entry in host.mounts:
        if entry.type not in ("bind", "volume", "tmpfs"):
            raise Invalid(f'invalid mount config for type "{entry.type}": mount type unknown')
        for kind, options in (
            ("bind", entry.bind_options),
            ("volume", entry.volume_options),
            ("tmpfs", entry.tmpfs_options),
        ):
            if options is not None and kind != entry.type:
                field = f"{kind.capitalize()}Options"
                raise Invalid(f'{field} must not be specified on mount type "{entry.type}"')
