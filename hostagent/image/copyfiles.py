"""Jobs of a build: digest and copy files, make directories. Each is a process of its own.

A copy opens its source, then makes the new layer's root its only world (hostagent.image.containerroot): what the
destination's symlinks say is followed there and leads nowhere else; the source is reached by fd alone.
"""

from __future__ import annotations

import errno
import io
import os
import posixpath
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hostagent.dockerfile.patterns import PathMatcher
from hostagent.errors import EngineError, Invalid
from hostagent.image import jail
from hostagent.image.buildjobs import (
    BuildJob,
    CopyFiles,
    Digested,
    DigestFiles,
    Finished,
    FinishLayer,
    MakeDirectories,
    Stage,
    UnpackContext,
)
from hostagent.image.compression import ahead, open_stream
from hostagent.image.extract import Extractor
from hostagent.image.finishing import finish
from hostagent.image.jobs import Done, Step
from hostagent.image.selection import Found, Member, digest, members, open_root, select
from hostagent.image.tar_reader import TarReader
from hostagent.image.trees import remove_tree
from hostagent.kernel.fds import owned
from hostagent.kernel.mounts import mount_overlay

_CHUNK = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SYMBOLIC = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)")
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111}
_CLASSES = {"u": 0o4700, "g": 0o2070, "o": 0o1007}

Chmod = Callable[[int], int]
"""From a file's whole mode to its new permission bits."""


def perform(job: BuildJob, tell: Callable[[Step], None]) -> Digested | Finished | Done:
    """In a worker's process for one job."""
    os.umask(0)
    match job:
        case UnpackContext():
            _receive(job, tell)
        case DigestFiles():
            jail.own_namespace()
            with owned(open_root(job.selection.files, job.mountpoint)) as root:
                return Digested(*digest(root, job.selection))
        case CopyFiles():
            _copy(job)
        case MakeDirectories():
            _enter(job.stage)
            _make_directories(job.path, None)
        case FinishLayer():
            return finish(job)
    return Done()


def _receive(job: UnpackContext, tell: Callable[[Step], None]) -> None:
    """Read and inflate in a thread, write in this one; up to the end of what comes, not only of the archive."""
    with io.BufferedReader(io.FileIO(job.path), _CHUNK) as file:
        tell(Step("opened", 0, 0))
        head = file.peek(8)[:8]
        jail.enter(job.into)
        pieces = ahead(open_stream(file, head))
        Extractor(b"/", (0, 0), keep_kinds=False).run(TarReader(pieces, open_ended=True))
        while pieces():
            pass


def _enter(stage: Stage) -> None:
    """Make the new layer on top of those below this process's root. For good."""
    jail.own_namespace()
    os.close(mount_overlay(stage.mountpoint, stage.lower, stage.upper, stage.work))
    jail.pivot(stage.mountpoint)


def _copy(job: CopyFiles) -> None:
    jail.own_namespace()
    with owned(open_root(job.selection.files, job.mountpoint)) as source:
        # Opened now: their names lead nowhere from inside.
        found = [
            (Found(each.path, os.dup(each.fd), each.target), _plain(each))
            for each in select(source, job.selection)
        ]
        _enter(job.stage)
        owner = _owner(job.chown) if job.chown else None
        chmod = _chmod(job.chmod) if job.chmod else None
        copy = _Copy(owner, chmod, PathMatcher(job.selection.exclude) if job.selection.exclude else None)
        many = len(found) > 1 or len(job.selection.paths) > 1
        for each, content in found:
            _place(copy, each, content, job, many)
        copy.finish()


def _plain(found: Found) -> int:
    """An fd to read a selected file by; -1 for anything else."""
    if not stat.S_ISREG(os.fstat(found.fd).st_mode):
        return -1
    return os.open(f"/proc/self/fd/{found.fd}", os.O_RDONLY | os.O_CLOEXEC)


def _place(copy: _Copy, found: Found, content: int, job: CopyFiles, many: bool) -> None:
    """Copy one selected path to where Docker's rules put it: a directory's content, a file itself."""
    destination = _followed(job.destination)
    if found.target:
        target = posixpath.join(destination, found.target)
        _make_directories(posixpath.dirname(target), copy.owner)
    elif found.is_directory:
        target = destination
    elif job.destination.endswith("/") or many or os.path.isdir(destination):
        target = posixpath.join(destination, posixpath.basename(found.path))
    else:
        target = destination
    if job.unpack and content >= 0 and _is_archive(content):
        _make_directories(destination, copy.owner)
        _unpack(content, destination, copy.owner)
    elif found.is_directory:
        copy.directory(found.fd, target)
    else:
        _make_directories(posixpath.dirname(target), copy.owner)
        copy.file(content, found.fd, target)


def _followed(path: str) -> str:
    """With the symlinks on its way resolved, in the root that this process is in."""
    return os.path.realpath(path)


def _make_directories(path: str, owner: tuple[int, int] | None) -> None:
    """With those above it; new ones belong to `owner`. NotADirectory is told."""
    path = os.path.realpath(path)
    missing: list[str] = []
    while not os.path.lexists(path):
        missing.append(path)
        path = posixpath.dirname(path)
    if not os.path.isdir(path):
        raise Invalid(f"cannot make a directory in {path}: it is a file")
    for each in reversed(missing):
        os.mkdir(each, 0o755)
        if owner is not None:
            os.chown(each, *owner)


@dataclass
class _Copy:
    """Copies of one instruction. Hard links among its files stay hard links."""

    owner: tuple[int, int] | None
    chmod: Chmod | None
    excluded: PathMatcher | None
    _links: dict[tuple[int, int], str] = field(default_factory=dict)
    _times: list[tuple[str, os.stat_result]] = field(default_factory=list)

    def directory(self, fd: int, target: str) -> None:
        """The content of a directory into `target`, which is made like it if it is missing."""
        if not os.path.isdir(target):
            _make_directories(posixpath.dirname(target), self.owner)
            if os.path.lexists(target):
                raise Invalid(f"cannot copy a directory over the file {target}")
            self._mkdir(target, os.fstat(fd))
        for member in members(fd, self.excluded):
            self._member(member, posixpath.join(target, member.name))

    def file(self, content: int, fd: int, target: str) -> None:
        """A selected file: `content` to read it by; a special file has none."""
        status = os.fstat(fd)
        self._make_room(target)
        if content < 0:
            os.mknod(target, status.st_mode, status.st_rdev)
            self._dress(target, status)
            return
        self._write(content, target, status)

    def finish(self) -> None:
        """Directories get their times when nothing is written into them any more."""
        for path, status in reversed(self._times):
            os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def _member(self, member: Member, target: str) -> None:
        status = member.status
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            if os.path.islink(target) or not os.path.isdir(target):
                self._make_room(target)
                self._mkdir(target, status)
            return
        if self.excluded is not None:
            _make_directories(posixpath.dirname(target), self.owner)
        self._make_room(target)
        if status.st_nlink > 1:
            first = self._links.setdefault((status.st_dev, status.st_ino), target)
            if first != target:
                os.link(first, target, follow_symlinks=False)
                return
        if kind == stat.S_IFREG:
            with owned(os.open(member.base, _OPEN, dir_fd=member.parent)) as fd:
                self._write(fd, target, status)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(member.base, dir_fd=member.parent), target)
            os.chown(target, *(self.owner or (status.st_uid, status.st_gid)), follow_symlinks=False)
            os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns), follow_symlinks=False)
        elif kind != stat.S_IFSOCK:
            os.mknod(target, status.st_mode, status.st_rdev)
            self._dress(target, status)

    def _mkdir(self, target: str, status: os.stat_result) -> None:
        os.mkdir(target, 0o700)
        self._dress(target, status)
        self._times.append((target, status))

    def _write(self, content: int, target: str, status: os.stat_result) -> None:
        with owned(os.open(target, _CREATE, 0o600)) as fd:
            for begin, end in _data(content, status):
                os.lseek(fd, begin, os.SEEK_SET)
                while begin < end:
                    count = os.sendfile(fd, content, begin, min(end - begin, _CHUNK << 6))
                    if not count:
                        raise EngineError(f"{target}: the file became shorter while it was read")
                    begin += count
            os.ftruncate(fd, status.st_size)
            for name in os.listxattr(content):
                if not name.startswith(("trusted.overlay.", "user.overlay.")):
                    os.setxattr(fd, name, os.getxattr(content, name))
        self._dress(target, status)

    def _dress(self, target: str, status: os.stat_result) -> None:
        os.chown(target, *(self.owner or (status.st_uid, status.st_gid)))
        os.chmod(target, self.chmod(status.st_mode) if self.chmod else stat.S_IMODE(status.st_mode))
        os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))

    @staticmethod
    def _make_room(target: str) -> None:
        """Whatever has the name goes, as in Docker's classic builder; BuildKit refuses what is of another kind."""
        try:
            status = os.lstat(target)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            remove_tree(os.fsencode(target))
        else:
            os.unlink(target)


def _data(fd: int, status: os.stat_result) -> Iterator[tuple[int, int]]:
    """(begin, end) of what is no hole."""
    if status.st_blocks * 512 >= status.st_size:
        yield 0, status.st_size
        return
    at = 0
    while at < status.st_size:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return  # nothing but a hole up to the end
        at = os.lseek(fd, begin, os.SEEK_HOLE)
        yield begin, at


def _is_archive(fd: int) -> bool:
    """Whether it is a tar with something in it, compressed or not: as Docker, by looking for its first member."""
    try:
        with _archive(fd) as reader:
            return next(iter(reader), None) is not None
    except EngineError:
        return False


@contextmanager
def _archive(fd: int) -> Iterator[TarReader]:
    """A reader from the file's beginning on."""
    head = os.pread(fd, 8, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(os.dup(fd), "rb") as file:
        yield TarReader(open_stream(file, head), open_ended=True)


def _unpack(fd: int, destination: str, owner: tuple[int, int] | None) -> None:
    with _archive(fd) as reader:
        Extractor(os.fsencode(destination), owner, keep_kinds=False).run(reader)


def _owner(text: str) -> tuple[int, int]:
    """`user[:group]`, numbers or names of the new layer's root (passwd(5), group(5))."""
    user, colon, group = text.partition(":")
    uid, gid = _number(user), _number(user)
    if uid is None:
        fields = _account("/etc/passwd", user, "user")
        uid, gid = int(fields[2]), int(fields[3])
    if colon:
        found = _number(group)
        gid = found if found is not None else int(_account("/etc/group", group, "group")[2])
    assert gid is not None
    return uid, gid


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _account(path: str, name: str, what: str) -> list[str]:
    try:
        with owned(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)) as fd:
            lines = os.read(fd, _CHUNK).decode(errors="surrogateescape").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        lines = []
    for line in lines:
        fields = line.split(":")
        if fields[0] == name and len(fields) >= 4 and fields[2].isdecimal():
            return fields
    raise Invalid(f"--chown: there is no {what} {name} in {path} of the image")


def _chmod(text: str) -> Chmod:
    """`755`, `0644`, `u=rwX,go=rX` (chmod(1))."""
    if re.fullmatch(r"[0-7]{1,5}", text):
        return lambda mode: int(text, 8) & 0o7777
    clauses = [_SYMBOLIC.fullmatch(part) for part in text.split(",")]
    if not all(clauses):
        raise Invalid(f"--chmod {text}: write octal, as 755, or symbolic, as u=rwX,go=rX")
    parsed = [(found[1] or "a", found[2], found[3]) for found in clauses if found]

    def changed(mode: int) -> int:
        for who, sign, what in parsed:
            mode = _clause(mode, who, sign, what)
        return stat.S_IMODE(mode)

    return changed


def _clause(mode: int, who: str, sign: str, what: str) -> int:
    reach = sum(_CLASSES[each] for each in set(who.replace("a", "ugo")))
    bits = sum(_BITS.get(each, 0) for each in set(what) - {"X"})
    if "X" in what and "x" not in what and (stat.S_ISDIR(mode) or mode & 0o111):
        bits |= 0o111
    bits &= reach & 0o777
    if "s" in what:
        bits |= reach & 0o6000
    if "t" in what:
        bits |= 0o1000
    if sign == "+":
        return mode | bits
    if sign == "-":
        return mode & ~bits
    return (mode & ~(reach & 0o777)) | bits
