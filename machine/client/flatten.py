"""The files of a saved image as one tar: its layers on top of each other, without their whiteouts."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from typing import IO, Final, cast

from machine.errors import MachineError

_PIECE: Final = 1024 * 1024
_BLOCK: Final = tarfile.BLOCKSIZE
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


def flatten(archive: IO[bytes]) -> Iterator[bytes]:
    """Pieces of the tar. `archive`: one image as `save` gives it, seekable. Raises MachineError for a damaged one.

    Two walks: the first, from the top layer down, finds whose each path is; the second, from the bottom up, writes.
    """
    try:
        archive.seek(0)
        with tarfile.open(fileobj=archive, mode="r:") as outer:
            names = _layers(outer)
            result = _Merged(outer, names)
            for number, name in enumerate(names):
                with _open(outer, name) as layer:
                    for member in layer:
                        yield from result.member(number, layer, member)
    except (tarfile.TarError, KeyError, ValueError, IndexError) as error:
        raise MachineError(f"the image that came is damaged: {error}") from error
    yield bytes(2 * _BLOCK)


def _layers(outer: tarfile.TarFile) -> list[str]:
    """Their names, the bottom one first."""
    manifest = outer.extractfile("manifest.json")
    assert manifest is not None
    (image,) = json.load(manifest)
    return [str(name) for name in image["Layers"]]


class _Merged:
    """Whose each path is: the number of the highest layer that has it and that no higher one hides."""

    def __init__(self, outer: tarfile.TarFile, names: list[str]) -> None:
        self._owners: dict[str, int] = {}
        self._directories: dict[str, tarfile.TarInfo] = {}
        self._links: dict[tuple[int, str], list[str]] = {}
        """By layer and the name that has the content: the other names that are to be seen."""
        self._written: set[str] = set()
        hidden: set[str] = set()
        for number in range(len(names) - 1, -1, -1):
            with _open(outer, names[number]) as layer:
                hidden |= self._look(number, layer, hidden)

    def _look(self, number: int, layer: tarfile.TarFile, hidden: set[str]) -> set[str]:
        """One layer; what it hides of those below."""
        removed: set[str] = set()
        for member in layer:
            path = _path(member.name)
            directory, _, base = path.rpartition("/")
            if base == _OPAQUE:
                removed.add(directory + "/")
            elif base.startswith(_WHITEOUT):
                removed.add(f"{directory}/{base.removeprefix(_WHITEOUT)}".lstrip("/"))
            elif path and path not in self._owners and not _covered(path, hidden):
                self._owners[path] = number
                if member.isdir():
                    self._directories[path] = member
                else:
                    removed.add(path)  # what lower layers have below a directory of that name is gone
                if member.islnk():
                    self._links.setdefault((number, _path(member.linkname)), []).append(path)
        return removed

    def member(self, number: int, layer: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
        """One member of a layer as it is in the result; nothing for what is not seen there."""
        path = _path(member.name)
        seen = self._owners.get(path) == number and not _is_mark(path)
        if member.isdir():
            if seen:
                yield from self._directory(path)
        elif not member.islnk():
            # The content may be seen under its other names only.
            first, *others = [*([path] if seen else []), *self._links.get((number, path), [])] or [""]
            if first:
                yield from self._parents(first)
                yield from _written(layer, member, first)
            for other in others:
                yield from self._parents(other)
                yield from _link(member, first, other)

    def _parents(self, path: str) -> Iterator[bytes]:
        at = path.find("/")
        while at >= 0:
            yield from self._directory(path[:at])
            at = path.find("/", at + 1)

    def _directory(self, path: str) -> Iterator[bytes]:
        """As its highest layer has it, at its first use."""
        if path in self._written:
            return
        self._written.add(path)
        yield from self._parents(path)
        info = self._directories.get(path)
        if info is None:  # a layer need not name the directories that its files are in
            info = tarfile.TarInfo(path)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
        yield _header(info, path)


def _covered(path: str, hidden: set[str]) -> bool:
    """Whether an upper layer has removed it or a directory above it ("dir/": what is in it, not itself)."""
    if path in hidden or "/" in hidden:
        return True
    at = path.find("/")
    while at >= 0:
        if path[:at] in hidden or path[: at + 1] in hidden:
            return True
        at = path.find("/", at + 1)
    return False


def _open(outer: tarfile.TarFile, name: str) -> tarfile.TarFile:
    member = outer.extractfile(name)
    assert member is not None
    head = member.read(4)
    member.seek(0)
    stream: IO[bytes] = member
    if head.startswith(b"\x1f\x8b"):
        stream = cast(IO[bytes], gzip.GzipFile(fileobj=member))
    elif head == _ZSTD:
        import zstandard

        stream = cast(IO[bytes], io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(member)))
    return tarfile.open(fileobj=stream, mode="r|")


def _path(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _is_mark(path: str) -> bool:
    return path.rpartition("/")[2].startswith(_WHITEOUT)


def _header(member: tarfile.TarInfo, path: str) -> bytes:
    member.name = path
    member.pax_headers = {
        key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.")
    }
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _link(member: tarfile.TarInfo, first: str, path: str) -> Iterator[bytes]:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = tarfile.LNKTYPE, first
    info.mode, info.uid, info.gid, info.mtime = member.mode, member.uid, member.gid, member.mtime
    yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _written(layer: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> Iterator[bytes]:
    yield _header(member, path)
    if not member.isreg():
        return
    content = layer.extractfile(member)
    assert content is not None
    while piece := content.read(_PIECE):
        yield piece
    yield bytes(-member.size % _BLOCK)
