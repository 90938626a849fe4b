"""`--mount` as docker users write it: key=value pairs with commas between them. Pure; errors are Usage."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from hostagent.wire import BindOptions, ImageOptions, Mount, TmpfsOptions, VolumeDriver, VolumeOptions
from machine.cli import values
from machine.errors import Usage

_TRUTH: Final = {"1": True, "true": True, "t": True, "0": False, "false": False, "f": False}
# option -> (type of mount it belongs to, whether it stands alone, as `readonly`)
_KEYS: Final[Mapping[str, str]] = {
    "bind-propagation": "bind",
    "bind-nonrecursive": "bind",
    "bind-recursive": "bind",
    "volume-nocopy": "volume",
    "volume-label": "volume",
    "volume-driver": "volume",
    "volume-opt": "volume",
    "volume-subpath": "volume",
    "image-subpath": "image",
    "tmpfs-size": "tmpfs",
    "tmpfs-mode": "tmpfs",
}
_ALIASES: Final = {"src": "source", "destination": "target", "dst": "target", "ro": "readonly"}
_PLAIN: Final = ("type", "source", "target", "readonly", "consistency")
_FLAGS: Final = ("readonly", "volume-nocopy", "bind-nonrecursive")
_RECURSIVE: Final = ("enabled", "disabled", "writable", "readonly")


def mounts(words: Iterable[str], directory: str) -> list[Mount]:
    """A relative source of a bind mount (`./x`) is taken from `directory`."""
    return [_mount(word, directory) for word in words]


def _mount(word: str, directory: str) -> Mount:
    given = _pairs(word)
    kind = given.get("type", ["volume"])[-1].lower()
    for key in given:
        if (owner := _KEYS.get(key)) and owner != kind:
            raise Usage(f'invalid --mount "{word}": {key} is an option of type={owner}, not of type={kind}')

    def last(key: str) -> str:
        return given.get(key, [""])[-1]

    def truth(key: str) -> bool:
        return _truth(last(key), key, word) if key in given else False

    if not last("target"):
        raise Usage(f'invalid --mount "{word}": it has no target (target=/path/inside)')
    source = last("source")
    if kind == "bind" and source.startswith("."):
        source = os.path.normpath(os.path.join(directory, source))
    return Mount(
        type=kind,
        source=source,
        target=last("target"),
        read_only=truth("readonly"),
        consistency=last("consistency").lower(),
        bind_options=_bind(given, truth, word),
        volume_options=_volume(given, truth),
        image_options=ImageOptions(subpath=last("image-subpath")) if "image-subpath" in given else None,
        tmpfs_options=_tmpfs(given, word),
    )


def _pairs(word: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for piece in next(csv.reader([word])):
        key, equals, text = piece.partition("=")
        key = _ALIASES.get(key.lower(), key.lower())
        if key not in _PLAIN and key not in _KEYS:
            raise Usage(f'invalid --mount "{word}": there is no option "{key}"')
        if not equals and key not in _FLAGS:
            raise Usage(f'invalid --mount "{word}": write {key}=VALUE')
        found.setdefault(key, []).append(text if equals else "true")
    return found


def _truth(text: str, key: str, word: str) -> bool:
    if text.lower() not in _TRUTH:
        raise Usage(f'invalid --mount "{word}": {key} is true or false, not "{text}"')
    return _TRUTH[text.lower()]


def _bind(given: Mapping[str, list[str]], truth: Callable[[str], bool], word: str) -> BindOptions | None:
    if not given.keys() & {"bind-propagation", "bind-nonrecursive", "bind-recursive"}:
        return None
    propagation = given.get("bind-propagation", [""])[-1].lower()
    recursive = given.get("bind-recursive", ["enabled"])[-1]
    if recursive not in _RECURSIVE:
        raise Usage(f'invalid --mount "{word}": bind-recursive is one of {", ".join(_RECURSIVE)}')
    if recursive in ("writable", "readonly") and not truth("readonly"):
        raise Usage(f'invalid --mount "{word}": bind-recursive={recursive} needs readonly beside it')
    if recursive == "readonly" and propagation != "rprivate":
        raise Usage(f'invalid --mount "{word}": bind-recursive=readonly needs bind-propagation=rprivate')
    return BindOptions(
        propagation=propagation,
        non_recursive=truth("bind-nonrecursive") or recursive == "disabled",
        read_only_non_recursive=recursive == "writable",
        read_only_force_recursive=recursive == "readonly",
    )


def _volume(given: Mapping[str, list[str]], truth: Callable[[str], bool]) -> VolumeOptions | None:
    if not any(_KEYS.get(key) == "volume" for key in given):
        return None
    name, options = given.get("volume-driver", [""])[-1], values.pairs(given.get("volume-opt", ()))
    return VolumeOptions(
        no_copy=truth("volume-nocopy"),
        labels=values.pairs(given.get("volume-label", ())),
        subpath=given.get("volume-subpath", [""])[-1],
        driver_config=VolumeDriver(name=name, options=options) if name or options else None,
    )


def _tmpfs(given: Mapping[str, list[str]], word: str) -> TmpfsOptions | None:
    if not given.keys() & {"tmpfs-size", "tmpfs-mode"}:
        return None
    mode = given.get("tmpfs-mode", ["0"])[-1]
    try:
        bits = int(mode, 8)
    except ValueError:
        raise Usage(f'invalid --mount "{word}": tmpfs-mode is octal, such as 1770, not "{mode}"') from None
    size = given.get("tmpfs-size", [""])[-1]
    return TmpfsOptions(size_bytes=values.size(size) if size else 0, mode=bits)
