"""What a build is made from: a directory, an archive or a Dockerfile on stdin, or a place that the engine reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from hostagent.dockerfile.patterns import PathMatcher
from machine.errors import Usage

_HEAD: Final = 10240
_PIECE: Final = 1024 * 1024
_REMOTE: Final = ("http://", "https://", "git://", "git@", "ssh://", "github.com/")


@dataclass(frozen=True)
class Remote:
    """The engine fetches it: a git repository or an archive."""

    url: str


@dataclass(frozen=True)
class Archive:
    """A tar that comes from stdin."""

    pieces: Iterator[bytes]


@dataclass(frozen=True)
class Directory:
    """Files of this computer. `path` "" = none at all. `dockerfile`: the name of it in the context, "" when it is not
    part of it; `text` is what it says."""

    path: str
    ignored: PathMatcher
    dockerfile: str
    text: bytes


Source = Remote | Archive | Directory


def resolve(path: str, file: str | None) -> Source:
    """`PATH | URL | -` and `-f`. Raises Usage."""
    from machine.client.build_context import matcher
    from machine.client.build_tar import is_archive

    if path == "-":
        if file == "-":
            raise Usage("stdin cannot be both the context and the Dockerfile: name one of them")
        head = _stdin(_HEAD)
        rest = iter(lambda: sys.stdin.buffer.read(_PIECE), b"")
        if is_archive(head):
            return Archive(chain([head], rest))
        return Directory("", PathMatcher(()), "", head + b"".join(rest))
    if path.startswith(_REMOTE):
        return Remote(path)
    if not os.path.isdir(path):
        raise Usage(f"{path} is not a directory: give the directory that holds the files of the build")
    if file == "-":
        return Directory(path, matcher(path, None), "", _stdin())
    dockerfile = file or _default(path)
    text = _read(dockerfile)
    ignored = matcher(path, dockerfile)
    inside = os.path.relpath(os.path.realpath(dockerfile), os.path.realpath(path))
    if inside.startswith("../") or ignored.excludes(inside):
        inside = ""
    return Directory(path, ignored, inside, text)


def _default(directory: str) -> str:
    for name in ("Dockerfile", "dockerfile"):
        found = os.path.join(directory, name)
        if os.path.isfile(found):
            return found
    raise Usage(f"there is no Dockerfile in {directory}: name it with -f")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Usage(f"cannot read the Dockerfile {path}: {error.strerror}") from error


def _stdin(size: int = -1) -> bytes:
    if sys.stdin.isatty():
        raise Usage("there is no Dockerfile or archive on a terminal: name a file, or redirect stdin")
    return sys.stdin.buffer.read(size)
