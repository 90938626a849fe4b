"""The files that a copy of a build takes: paths and wildcards from a root whose content is not trusted.

Everything is opened from an fd of the root (openat2(2), RESOLVE_IN_ROOT) or, on the way down, from that of its
directory and through no symlink.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from hostagent.dockerfile.patterns import PathMatcher, has_wildcards, select_names
from hostagent.errors import NotFound
from hostagent.image.buildjobs import Directory, Files, Selection
from hostagent.kernel.fds import owned
from hostagent.kernel.mounts import mount_overlay
from hostagent.kernel.rootpath import open_in_root

_CHUNK = 1 << 20
_HIDDEN = (b"trusted.overlay.", b"user.overlay.")


@dataclass(frozen=True)
class Found:
    """One path that was selected: `fd` (O_PATH) is what it leads to, `target` its name at the destination."""

    path: str
    fd: int
    target: str

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(os.fstat(self.fd).st_mode)


def open_root(files: Files, mountpoint: str) -> int:
    """An O_PATH fd of the files' root; layers are mounted, so this is for a mount namespace of one's own."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    if isinstance(files, Directory):
        return os.open(files.path, flags)
    if not files.lower:
        return os.open(mountpoint, flags)
    return mount_overlay(mountpoint, files.lower)


def select(root: int, selection: Selection) -> Iterator[Found]:
    """Each path in order, wildcards sorted. NotFound for a path that is not there, and when there is none at all."""
    count = 0
    where = "file not found in build context or excluded by .dockerignore: "
    for path in selection.paths:
        bare = posixpath.normpath(posixpath.join("/", path))
        for match in _expand(root, bare) if has_wildcards(bare) else [bare]:
            try:
                fd = open_in_root(root, match, os.O_PATH)
            except (FileNotFoundError, NotADirectoryError):
                text = f"stat {match.lstrip('/')}: file does not exist"
                raise NotFound(f"{where}{text}" if isinstance(selection.files, Directory) else text) from None
            count += 1
            with owned(fd):
                yield Found(match, fd, _target(path, match) if selection.parents else "")
    if not count:
        raise NotFound("no source files were specified")


def _target(asked: str, match: str) -> str:
    """For --parents: the path from the component `.` on, or all of it."""
    head, pivot, _ = asked.removeprefix("./").partition("/./")
    skipped = len([name for name in head.split("/") if name]) if pivot else 0
    return "/".join([name for name in match.split("/") if name][skipped:])


def _expand(root: int, pattern: str) -> list[str]:
    """Paths that fit, component by component."""
    found = ["/"]
    for name in filter(None, pattern.split("/")):
        if has_wildcards(name):
            found = [
                posixpath.join(path, each)
                for path in found
                for each in select_names(_names(root, path), name)
            ]
        else:
            found = [posixpath.join(path, name) for path in found]
    return [path for path in found if _exists(root, path)]


def _names(root: int, path: str) -> list[str]:
    try:
        with owned(open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)) as fd:
            return os.listdir(fd)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _exists(root: int, path: str) -> bool:
    try:
        os.close(open_in_root(root, path, os.O_PATH | os.O_NOFOLLOW))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


@dataclass(frozen=True)
class Member:
    """Something in a selected directory: `name` relative to it; `parent` and `base` are how to open it."""

    name: str
    parent: int
    base: str
    status: os.stat_result


def members(directory: int, excluded: PathMatcher | None, prefix: str = "") -> Iterator[Member]:
    """All below a directory, each before what is in it, names sorted. The fds are good until the next member."""
    with owned(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)) as fd:
        for base in sorted(os.listdir(fd)):
            name = f"{prefix}{base}"
            status = os.stat(base, dir_fd=fd, follow_symlinks=False)
            is_directory = stat.S_ISDIR(status.st_mode)
            out = excluded is not None and excluded.excludes(name)
            if not out:
                yield Member(name, fd, base, status)
            if is_directory and (not out or (excluded is not None and excluded.any_negated)):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                with owned(os.open(base, flags, dir_fd=fd)) as inner:
                    yield from members(inner, excluded, f"{name}/")


def digest(root: int, selection: Selection) -> tuple[str, int]:
    """(sha256 of all that a copy takes, but for times; number of entries)."""
    whole = hashlib.sha256()
    count = 0
    matcher = PathMatcher(selection.exclude) if selection.exclude else None
    for found in select(root, selection):
        status = os.fstat(found.fd)
        whole.update(
            _line(posixpath.basename(found.path) if not found.is_directory else "", status, found.target)
        )
        count += 1
        if not found.is_directory:
            whole.update(_content_of_fd(found.fd, status))
            continue
        for member in members(found.fd, matcher):
            whole.update(_line(member.name, member.status, ""))
            whole.update(_content(member))
            count += 1
    return f"sha256:{whole.hexdigest()}", count


def _line(name: str, status: os.stat_result, target: str) -> bytes:
    device = status.st_rdev if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode) else 0
    fields = (status.st_mode, status.st_uid, status.st_gid, device)
    text = "\0".join([target, name, *map(str, fields)])
    return text.encode("utf-8", "surrogateescape") + b"\0\n"


def _content(member: Member) -> bytes:
    """A digest of a file's bytes and attributes, or a link's target."""
    mode = member.status.st_mode
    if stat.S_ISLNK(mode):
        return b"-> " + os.fsencode(os.readlink(member.base, dir_fd=member.parent))
    if not stat.S_ISREG(mode):
        return b""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with owned(os.open(member.base, flags, dir_fd=member.parent)) as fd:
        return _hash(fd)


def _content_of_fd(fd: int, status: os.stat_result) -> bytes:
    if not stat.S_ISREG(status.st_mode):
        return b""
    with owned(os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)) as opened:
        return _hash(opened)


def _hash(fd: int) -> bytes:
    found = hashlib.sha256()
    while piece := os.read(fd, _CHUNK):
        found.update(piece)
    for name in sorted(os.listxattr(fd)):
        if not os.fsencode(name).startswith(_HIDDEN):
            found.update(os.fsencode(name) + b"=" + os.getxattr(fd, name) + b"\0")
    return found.digest()
