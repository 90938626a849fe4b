"""Contents of files by their SHA-256, on disk: what contexts of builds are made of.

    <files>/<first two digits>/<hex>                    as it came
    <files>/<first two digits>/<hex>.<mode>.<mtime ns>  dressed for trees that hard-link it

A link shares its mode and times with all others, hence a file for each; one content is stored twice only when two trees
disagree about these. Used in a worker's process.
"""

from __future__ import annotations

import errno
import hashlib
import os

from hostagent.errors import Conflict, Invalid
from hostagent.kernel import libc
from hostagent.wire.context import ContextEntry

CHUNK = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Contents:
    """Those below the directory `files`; looked up a bucket at a time."""

    def __init__(self, files: str) -> None:
        self._files = files
        self._buckets: dict[str, dict[str, str]] = {}

    def find(self, digest: str) -> str | None:
        """The name of a file with this content, in its bucket."""
        return self._bucket(digest[:2]).get(digest)

    def adopt(self, parts: list[tuple[str, str]]) -> None:
        """Files (path, digest) become contents: whole on disk before they have their names."""
        if not parts:
            return
        fd = os.open(self._files, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            libc.syncfs(fd)
        finally:
            os.close(fd)
        for path, digest in parts:
            try:
                os.rename(path, f"{self._files}/{digest[:2]}/{digest}")
            except FileNotFoundError:
                os.mkdir(f"{self._files}/{digest[:2]}", 0o700)
                os.rename(path, f"{self._files}/{digest[:2]}/{digest}")

    def link(self, entry: ContextEntry, target: bytes) -> None:
        """The file of an entry as another name of the stored one; a copy when that has no room for more names."""
        path = self._dressed(entry)
        try:
            os.link(path, target)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            _copy(path, os.fsdecode(target), entry)

    def copy(self, entry: ContextEntry, target: bytes) -> None:
        """A file of its own: two equal files of one tree are not one file."""
        _copy(self._dressed(entry), os.fsdecode(target), entry)

    def _dressed(self, entry: ContextEntry) -> str:
        digest = entry.content.hex()
        name = f"{digest}.{entry.mode:o}.{entry.mtime_ns}"
        directory = f"{self._files}/{digest[:2]}"
        path = f"{directory}/{name}"
        bucket = self._bucket(digest[:2])
        if name in bucket:
            return path
        source = bucket.get(digest)
        if source is None:
            raise Conflict("the host lacks contents of this context: send it again")
        if source == digest:
            plain = f"{directory}/{digest}"
            os.chmod(plain, entry.mode)
            os.utime(plain, ns=(entry.mtime_ns, entry.mtime_ns))
            os.rename(plain, path)
        else:
            temporary = f"{directory}/.new"
            if os.path.lexists(temporary):
                os.unlink(temporary)
            _copy(f"{directory}/{source}", temporary, entry)
            os.rename(temporary, path)
        bucket[name] = bucket[digest] = name
        return path

    def _bucket(self, key: str) -> dict[str, str]:
        """By digest some file with it, the plain one if there is one; by full name itself."""
        found = self._buckets.get(key)
        if found is None:
            found = self._buckets[key] = {}
            try:
                names = os.listdir(f"{self._files}/{key}")
            except FileNotFoundError:
                names = []
            for name in names:
                digest = name.partition(".")[0]
                if digest:
                    found[name] = name
                    if found.get(digest) != digest:
                        found[digest] = name
        return found


def check(path: str, digest: str, found: str | None = None) -> None:
    """Raises Invalid, and deletes the file, when it is not what it is called. `found`: what it is, if that is known."""
    if found is None:
        with open(path, "rb", buffering=0) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        os.unlink(path)
        raise Invalid(
            f"the content {digest[:12]} came as {found[:12]}: the file was changed while it was sent; again"
        )


def _copy(source: str, target: str, entry: ContextEntry) -> None:
    """Shares the blocks where the file system can (copy_file_range(2))."""
    with open(source, "rb", buffering=0) as read:
        fd = os.open(target, _NEW, 0o600)
        try:
            left = entry.size
            while left:
                count = os.copy_file_range(read.fileno(), fd, left)
                if not count:
                    raise Conflict(
                        f"the content {entry.content.hex()[:12]} on the host is damaged: prune, and again"
                    )
                left -= count
            os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
