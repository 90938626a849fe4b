"""What of a directory goes to a build: walked in order, without what .dockerignore leaves out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hostagent.dockerfile.patterns import BadPattern, PathMatcher, ignore_lines
from machine.errors import Usage

IGNORE: Final = ".dockerignore"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory, link or fifo. `path` is relative; `link`: a symlink's target, or the path of the first name
    of a file that has several."""

    path: str
    status: os.stat_result
    link: str = ""

    @property
    def is_hard_link(self) -> bool:
        return bool(self.link) and not stat.S_ISLNK(self.status.st_mode)


def matcher(directory: str, dockerfile: str | None) -> PathMatcher:
    """The patterns of `<Dockerfile>.dockerignore`, where there is one, else of the context's .dockerignore.

    Source: the Dockerfile reference, ".dockerignore file". Raises Usage.
    """
    candidates = [f"{dockerfile}.dockerignore"] if dockerfile is not None else []
    for path in (*candidates, os.path.join(directory, IGNORE)):
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise Usage(f"cannot read {path}: {error.strerror}") from error
        try:
            return PathMatcher(ignore_lines(text))
        except BadPattern as error:
            raise Usage(f"{path}: {error}") from error
    return PathMatcher(())


def walk(directory: str, ignored: PathMatcher) -> Iterator[Entry]:
    """Parents first, names sorted. Sockets, which no archive can hold, are left out. Raises Usage."""
    links: dict[tuple[int, int], str] = {}
    try:
        for path, status in _below(directory, "", ignored, 0):
            yield _entry(directory, path, status, links)
    except OSError as error:
        raise Usage(
            f"cannot read {error.filename or directory} ({error.strerror}): mend that, or name it in {IGNORE}"
        ) from error


def _below(
    directory: str, prefix: str, ignored: PathMatcher, above: int
) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(os.path.join(directory, prefix) if prefix else directory) as found:
        children = sorted(found, key=lambda child: child.name)
    for child in children:
        path = f"{prefix}/{child.name}" if prefix else child.name
        fitting = ignored.fitting(path, above)
        excluded = ignored.decided(fitting)
        is_directory = child.is_dir(follow_symlinks=False)
        if excluded and not (is_directory and ignored.any_negated):
            continue
        status = child.stat(follow_symlinks=False)
        if not is_directory:
            if not stat.S_ISSOCK(status.st_mode):
                yield path, status
            continue
        if not excluded:
            yield path, status
            yield from _below(directory, path, ignored, fitting)
            continue
        # Of an excluded directory there is only what a later pattern takes back, and the way to it.
        told = False
        for inner in _below(directory, path, ignored, fitting):
            if not told:
                told = True
                yield path, status
            yield inner


def _entry(directory: str, path: str, status: os.stat_result, links: dict[tuple[int, int], str]) -> Entry:
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        return Entry(path, status, os.readlink(os.path.join(directory, path)))
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise Usage(f"{path} is a device, which a build cannot take: name it in {IGNORE}")
    if status.st_nlink > 1 and not stat.S_ISDIR(mode):
        first = links.setdefault((status.st_dev, status.st_ino), path)
        if first != path:
            return Entry(path, status, first)
    return Entry(path, status)
