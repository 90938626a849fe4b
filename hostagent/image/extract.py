"""Unpack a tar into the files that a container has already, by the rules of `docker cp`.

Runs in the container's root (hostagent.image.containerroot). Unlike a layer's (hostagent.image.unpack), the archive
meets existing files, has no whiteouts, and its errors are told in Docker's words.
"""

from __future__ import annotations

import os
import posixpath
import stat

from hostagent.errors import EngineError, Invalid
from hostagent.image.tar_reader import (
    CHARACTER,
    DIRECTORY,
    FIFO,
    HARDLINK,
    REGULAR,
    SYMLINK,
    Entry,
    TarReader,
)
from hostagent.image.trees import remove_tree

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Extractor:
    """One archive into `directory` (an absolute path without symlinks). `owner`: uid and gid that all files get;
    `keep_kinds`: refuse a file in a directory's place, and the other way round; `with_top`: what the archive says of
    its top, "./", is done to `directory`."""

    def __init__(
        self, directory: bytes, owner: tuple[int, int] | None, keep_kinds: bool, with_top: bool = False
    ) -> None:
        self._directory = directory
        self._owner = owner
        self._keep_kinds = keep_kinds
        self._with_top = with_top
        self._times: list[tuple[bytes, int]] = []
        self._doing = ""

    def run(self, reader: TarReader) -> None:
        """All members, then the directories' times. The umask must be 0. NotFound's OSError passes."""
        try:
            for entry in reader:
                self._member(reader, entry)
            for path, mtime in self._times:
                self._doing = f"chtimes {_text(path)}"
                os.utime(path, ns=(mtime, mtime))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise EngineError(f"{self._doing}: {reason(error)}") from error
        except (OverflowError, ValueError) as error:
            raise Invalid(
                f"{self._doing}: a name or a number in the archive's header is none: {error}"
            ) from error

    def _member(self, reader: TarReader, entry: Entry) -> None:
        name = b"/" + posixpath.normpath(entry.name).lstrip(b"/") if entry.name[:1] == b"/" else entry.name
        path = self._joined(self._directory, name)
        if not self._is_inside(path):
            name = posixpath.normpath(name)
            raise EngineError(f"{_quoted(name)} is outside of {_quoted(self._directory)}")
        if path == self._directory:
            if entry.kind != DIRECTORY:
                raise EngineError(
                    f"{_quoted(entry.name)} of the archive would replace the directory it goes to"
                )
            if not self._with_top:
                return  # the place itself stays as it is
        self._make_parents(posixpath.dirname(path))
        if self._make_room(path, entry.kind):
            self._create(reader, entry, path)
        if entry.kind == HARDLINK:
            return
        owner = self._owner or (entry.uid, entry.gid)
        self._doing = (
            f"failed to Lchown {_quoted(path)} for UID {owner[0]}, GID {owner[1]}: lchown {_text(path)}"
        )
        os.chown(path, *owner, follow_symlinks=False)
        for key, value in entry.xattrs.items():
            self._doing = f"lsetxattr {_text(path)}"
            os.setxattr(path, key, value, follow_symlinks=False)
        if entry.kind != SYMLINK:
            self._doing = f"chmod {_text(path)}"
            os.chmod(path, entry.mode)
        if entry.kind == DIRECTORY:
            self._times.append((path, entry.mtime))
        else:
            self._doing = f"chtimes {_text(path)}"
            os.utime(path, ns=(entry.mtime, entry.mtime), follow_symlinks=False)

    @staticmethod
    def _joined(directory: bytes, name: bytes) -> bytes:
        """Go's filepath.Join of an absolute path with anything."""
        return b"/" + posixpath.normpath(directory + b"/" + name).lstrip(b"/")

    def _is_inside(self, path: bytes) -> bool:
        return path == self._directory or path.startswith(self._directory.rstrip(b"/") + b"/")

    def _make_parents(self, directory: bytes) -> None:
        try:
            os.lstat(directory)
            return
        except NotADirectoryError:
            return  # told in the name of the member itself
        except FileNotFoundError:
            pass
        self._make_parents(posixpath.dirname(directory))
        self._doing = f"mkdir {_text(directory)}"
        os.mkdir(directory, 0o755)

    def _make_room(self, path: bytes, kind: bytes) -> bool:
        """Remove what is in the way; False when there is a directory that stays for a directory."""
        try:
            is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return True
        if self._keep_kinds and is_directory != (kind == DIRECTORY):
            was, new = ("directory", "non-directory") if is_directory else ("non-directory", "directory")
            raise EngineError(f"cannot overwrite {was} {_quoted(path)} with {new} {_quoted(self._directory)}")
        if is_directory and kind == DIRECTORY:
            return False
        self._doing = f"unlinkat {_text(path)}"
        if is_directory:
            remove_tree(path)
        else:
            os.unlink(path)
        return True

    def _create(self, reader: TarReader, entry: Entry, path: bytes) -> None:
        if entry.kind == REGULAR:
            self._doing = f"open {_text(path)}"
            fd = os.open(path, _CREATE, entry.mode)
            try:
                self._doing = f"write {_text(path)}"
                for piece in reader.payload():
                    view = piece
                    while view:
                        view = view[os.write(fd, view) :]
            finally:
                os.close(fd)
        elif entry.kind == DIRECTORY:
            self._doing = f"mkdir {_text(path)}"
            os.mkdir(path, entry.mode)
        elif entry.kind == HARDLINK:
            target = self._joined(self._directory, entry.link)
            if not self._is_inside(target):
                raise EngineError(f"invalid hardlink {_quoted(target)} -> {_quoted(entry.link)}")
            self._doing = f"link {_text(target)} {_text(path)}"
            os.link(target, path, follow_symlinks=False)
        elif entry.kind == SYMLINK:
            # Docker refuses a relative one that leads above the place of the copy; it could not do harm here.
            if not self._is_inside(self._joined(posixpath.dirname(path), entry.link)):
                raise EngineError(f"invalid symlink {_quoted(path)} -> {_quoted(entry.link)}")
            self._doing = f"symlink {_text(entry.link)} {_text(path)}"
            os.symlink(entry.link, path)
        else:
            self._doing = f"mknod {_text(path)}"
            kind = (
                stat.S_IFIFO
                if entry.kind == FIFO
                else stat.S_IFCHR
                if entry.kind == CHARACTER
                else stat.S_IFBLK
            )
            os.mknod(
                path, kind | entry.mode, os.makedev(entry.major, entry.minor) if entry.kind != FIFO else 0
            )


def reason(error: OSError) -> str:
    """The kernel's error as Go words it, without capitals."""
    return (os.strerror(error.errno) if error.errno else str(error)).lower()


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _quoted(path: bytes) -> str:
    return '"' + _text(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
