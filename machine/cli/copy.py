"""`pymachine cp`: files between this computer and a container, with docker's rules for names."""

from __future__ import annotations

import os
import posixpath
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from machine.cli.options import MachineOption

if TYPE_CHECKING:
    from hostagent.wire import PathStat
    from machine.client.docker_containers import Containers

_What = "What"
_PIECE: Final = 1024 * 1024
_LINKS_FOLLOWED: Final = 40  # as the kernel (path_resolution(7))


class _Place(NamedTuple):
    """One end of a copy: inside a container, or here ("")."""

    container: str
    path: str


def copy(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="SOURCE")],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION")],
    machine: MachineOption = None,
    archive: Annotated[
        bool, typer.Option("-a", "--archive", help="keep owners", rich_help_panel=_What)
    ] = False,
    follow: Annotated[
        bool, typer.Option("-L", "--follow-link", help="what a link leads to", rich_help_panel=_What)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="no progress", rich_help_panel="Output")
    ] = False,
) -> None:
    """Copy files between a container and this computer: PATH, CONTAINER:PATH, or - for a tar stream.

    pymachine cp web:/etc/nginx/nginx.conf .
    pymachine cp ./site/. web:/var/www
    """
    from machine.cli import target
    from machine.errors import Usage

    one, other = _place(source), _place(destination)
    if bool(one.container) == bool(other.container):
        raise Usage("one side of cp is CONTAINER:PATH, the other one a path of this computer, or -")
    with target.engine(ctx, machine) as client:
        if one.container:
            copied = _download(client.containers, one, other.path, follow=follow, owners=archive, quiet=quiet)
        else:
            copied = _upload(client.containers, one.path, other, follow=follow, owners=archive, quiet=quiet)
    if not quiet and sys.stderr.isatty() and "-" not in (one.path, other.path):
        from machine.cli import show
        from machine.cli.console import note

        note(f"copied {show.size(copied)} to {destination}")


def _place(word: str) -> _Place:
    """A path that begins with / or . is here, whatever colons it has."""
    name, colon, path = word.partition(":")
    if word.startswith(("/", ".")) or not colon or not name:
        return _Place("", word)
    return _Place(name, posixpath.join("/", path))


# -- into a container


def _upload(
    containers: Containers, source: str, there: _Place, *, follow: bool, owners: bool, quiet: bool
) -> int:
    from machine.client.archive import pack
    from machine.errors import NotFound, Usage

    found, path = _resolved(containers, there)
    if source == "-":
        if found is None or not _is_directory(found):
            raise Usage(f"{there.container}:{there.path} is no directory: a tar stream needs one")
        count = _Counted(_stdin(), "copying", quiet=True)
        containers.put_archive(there.container, path, count, owners=owners)
        return count.total
    if not os.path.lexists(source):
        raise NotFound(f"there is no {source}")
    local_directory = os.path.isdir(source) and (follow or not os.path.islink(source.rstrip("/")))
    contents = local_directory and os.path.basename(source.rstrip("/") or "/") == "."
    if found is not None and _is_directory(found):
        directory, name = path, "." if contents else os.path.basename(os.path.abspath(source))
    elif found is not None and local_directory:
        raise Usage(f"cannot copy a directory over the file {there.container}:{there.path}")
    elif found is None and there.path.endswith("/") and not local_directory:
        raise NotFound(f"there is no directory {there.container}:{there.path}")
    else:
        directory, name = posixpath.split(path.rstrip("/"))
    count = _Counted(pack(source, name, follow=follow, owners=owners), f"copying {source}", quiet=quiet)
    containers.put_archive(there.container, directory or "/", count, owners=owners)
    return count.total


def _resolved(containers: Containers, there: _Place) -> tuple[PathStat | None, str]:
    """What is there, and its path with the links at its end followed (the engine follows those on the way)."""
    from machine.errors import DaemonError, NotFound

    path = there.path
    for _ in range(_LINKS_FOLLOWED):
        try:
            found = containers.path_stat(there.container, path)
        except DaemonError as error:
            if error.status != 404 or "No such container" in str(error):
                raise
            return None, path
        if not _is_link(found):
            return found, path
        path = posixpath.join(posixpath.dirname(path.rstrip("/")), found.link_target)
    raise NotFound(f"{there.container}:{there.path} is a loop of symbolic links")


def _stdin() -> Iterator[bytes]:
    from machine.errors import Usage

    if sys.stdin.isatty():
        raise Usage("there is no tar stream on a terminal: redirect stdin")
    return iter(lambda: sys.stdin.buffer.read(_PIECE), b"")


# -- out of a container


def _download(
    containers: Containers, there: _Place, destination: str, *, follow: bool, owners: bool, quiet: bool
) -> int:
    from machine.client.archive import unpack
    from machine.errors import NotFound, Usage

    path = _resolved(containers, there)[1] if follow else there.path
    if destination == "-" and sys.stdout.isatty():
        raise Usage("a tar stream does not belong on a terminal: redirect stdout")
    found, pieces = containers.archive(there.container, path)
    count = _Counted(pieces, f"copying {there.container}:{there.path}", quiet=quiet or destination == "-")
    if destination == "-":
        for piece in count:
            sys.stdout.buffer.write(piece)
        sys.stdout.flush()
        return count.total
    contents = posixpath.basename(path.rstrip("/") or "/") == "."
    here_directory = os.path.isdir(destination)
    if here_directory:
        into, name = destination, None if contents else posixpath.basename(there.path.rstrip("/")) or None
    elif os.path.lexists(destination) and _is_directory(found):
        raise Usage(f"cannot copy a directory over the file {destination}")
    elif destination.endswith("/") and not _is_directory(found):
        raise NotFound(f"there is no directory {destination}")
    elif contents:
        os.mkdir(destination)
        into, name = destination, None
    else:
        into, name = os.path.split(os.path.abspath(destination))
    if not os.path.isdir(into):
        raise NotFound(f"there is no directory {into}")
    unpack(count, into, rename=name, owners=owners)
    return count.total


class _Counted:
    """Pieces that pass by, counted and shown on one live line."""

    def __init__(self, pieces: Iterator[bytes], title: str, *, quiet: bool) -> None:
        from machine.cli.transfer_progress import LiveLine

        self._pieces = pieces
        self._title = title
        self._live = None if quiet else LiveLine(sys.stderr)
        self.total = 0

    def __iter__(self) -> Iterator[bytes]:
        from machine.cli import show

        try:
            for piece in self._pieces:
                self.total += len(piece)
                if self._live is not None:
                    self._live.show(f"{self._title}  {show.size(self.total)}")
                yield piece
        finally:
            if self._live is not None:
                self._live.clear()


def _is_directory(found: PathStat) -> bool:
    return bool(found.mode & 1 << 31)  # Go's os.ModeDir


def _is_link(found: PathStat) -> bool:
    return bool(found.mode & 1 << 27)  # Go's os.ModeSymlink
