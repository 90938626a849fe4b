"""The files that a build was sent, and those that stand in its Dockerfile, as directories of this host."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from hostagent.build import ops
from hostagent.build.results import Tree
from hostagent.build.urls import GIT_URL, git_origin
from hostagent.dockerfile.patterns import PathMatcher, ignore_lines
from hostagent.errors import Invalid
from hostagent.image.buildjobs import Clone, Download, Downloaded, UnpackContext
from hostagent.image.crew import Crew
from hostagent.image.jobs import Done
from hostagent.image.pipe import unpack_stream
from hostagent.image.store import Lease
from hostagent.kernel.fds import owned
from hostagent.kernel.rootpath import open_in_root

IGNORE = ".dockerignore"
_LIMIT = 16 << 20
"""Bytes of a Dockerfile or .dockerignore."""


@dataclass(frozen=True)
class Given:
    """A context that is on this host already: `directory` is not the build's to change, `id` is its name by content.
    The Dockerfile need not be part of it."""

    directory: str
    id: str
    dockerfile: bytes


class Contexts:
    """One build's. Everything is in scratch directories of its lease."""

    def __init__(self, crew: Crew, lease: Lease) -> None:
        self._crew = crew
        self._lease = lease
        self._main: Tree | None = None

    async def receive(self, stream: AsyncIterator[bytes]) -> None:
        """The tar of the build's context becomes the context. Raises Invalid for what is no tar."""
        fifo, directory = self._lease.scratch("context-pipe"), self._lease.scratch("context")
        directory.mkdir()
        if not await unpack_stream(self._crew, stream, fifo, directory):
            raise Invalid("the build has no context: its body is empty")
        self._main = Tree(str(directory), "")

    def give(self, given: Given) -> bytes:
        """A context of this host becomes the context; the Dockerfile."""
        if not given.dockerfile.strip():
            raise Invalid("the Dockerfile cannot be empty")
        self._main = Tree(given.directory, given.id)
        return given.dockerfile

    async def fetch(self, url: str) -> None:
        """A repository, a tar, or else a Dockerfile alone, becomes the context."""
        origin = _origin(url)
        tree = await self.tree(origin)
        if isinstance(origin, ops.Git):
            directory = os.path.realpath(os.path.join(tree.directory, origin.subdirectory.strip("/")))
            if not os.path.isdir(directory) or not f"{directory}/".startswith(f"{tree.directory}/"):
                raise Invalid(f"{url}: there is no directory {origin.subdirectory} in the repository")
            self._main = Tree(directory, "")
            return
        (name,) = os.listdir(tree.directory)
        fetched, directory = os.path.join(tree.directory, name), self._directory("context")
        try:
            await self._crew.run(UnpackContext(fetched, directory), Done)
        except Invalid:
            directory = self._directory("context")
            os.rename(fetched, os.path.join(directory, "Dockerfile"))
        self._main = Tree(directory, "")

    def dockerfile(self, name: str) -> bytes:
        """The Dockerfile at this path of the context; afterwards what .dockerignore names of the two is gone."""
        assert self._main is not None
        found = _read(self._main.directory, name)
        if found is None and name == "Dockerfile":
            found = _read(self._main.directory, "dockerfile")
        if found is None:
            raise Invalid(f"Cannot locate specified Dockerfile: {name}")
        if not found.strip():
            raise Invalid(f"the Dockerfile ({name}) cannot be empty")
        self._remove_ignored(name)
        return found

    def _remove_ignored(self, dockerfile: str) -> None:
        """Clients send these two although they are ignored: the engine needs them, but COPY shall not see them."""
        assert self._main is not None
        ignore = _read(self._main.directory, IGNORE)
        if ignore is None:
            return
        matcher = PathMatcher(ignore_lines(ignore.decode(errors="replace")))
        for name in (dockerfile, IGNORE):
            path = Path(self._main.directory) / os.path.normpath(f"/{name}").lstrip("/")
            if matcher.excludes(os.path.normpath(name)) and path.parent == Path(self._main.directory):
                path.unlink(missing_ok=True)

    async def tree(self, op: ops.Context | ops.Remote | ops.Git | ops.Inline) -> Tree:
        match op:
            case ops.Context():
                assert self._main is not None
                return self._main
            case ops.Inline():
                return self._inline(op)
            case ops.Remote():
                directory = self._directory("download")
                await self._crew.run(Download(op.url, directory, op.checksum), Downloaded)
                return Tree(directory, "")
            case ops.Git():
                directory = self._directory("clone")
                await self._crew.run(Clone(op.url, directory, op.reference, op.keep_git, op.checksum), Done)
                return Tree(directory, "")

    def _directory(self, kind: str) -> str:
        directory = self._lease.scratch(kind)
        directory.mkdir()
        return str(directory)

    def _inline(self, op: ops.Inline) -> Tree:
        directory = Path(self._directory("inline"))
        for text in op.texts:
            path = directory / text.name.replace("/", "_")
            path.write_text(text.content)
            path.chmod(op.mode)
            os.utime(path, (0, 0))
        return Tree(str(directory), "")


def _origin(url: str) -> ops.Remote | ops.Git:
    """What `remote` names: `https://…/name.git#branch:folder` or a file by HTTP."""
    if GIT_URL.match(url):
        return git_origin(url)
    if not url.startswith(("http://", "https://")):
        raise Invalid(f"the context {url} is neither a git repository nor an http URL")
    return ops.Remote(url)


def _read(directory: str, name: str) -> bytes | None:
    """A file of the context, through its own symlinks and nobody else's; None when it is not there."""
    with owned(os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as root:
        try:
            fd = open_in_root(root, name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with os.fdopen(fd, "rb") as file:
            return file.read(_LIMIT)
