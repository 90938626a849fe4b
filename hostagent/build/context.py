"""The files that a build was sent, and those that stand in its Dockerfile, as directories of this host."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from hostagent.build import ops
from hostagent.build.results import Tree
from hostagent.dockerfile.patterns import PathMatcher, ignore_lines
from hostagent.errors import Invalid, Unsupported
from hostagent.image.buildjobs import UnpackContext
from hostagent.image.crew import Crew
from hostagent.image.jobs import Done
from hostagent.image.spool import spool
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
        archive, directory = self._lease.scratch("context-tar"), self._lease.scratch("context")
        size = await spool(stream, archive)
        if not size:
            raise Invalid("the build has no context: its body is empty")
        directory.mkdir()
        await self._crew.run(UnpackContext(str(archive), str(directory)), Done)
        archive.unlink()
        self._main = Tree(str(directory), "")

    def give(self, given: Given) -> bytes:
        """A context of this host becomes the context; the Dockerfile."""
        if not given.dockerfile.strip():
            raise Invalid("the Dockerfile cannot be empty")
        self._main = Tree(given.directory, given.id)
        return given.dockerfile

    def receive_dockerfile(self, text: bytes, name: str) -> None:
        """A build of nothing but a Dockerfile."""
        directory = self._lease.scratch("context")
        directory.mkdir()
        (directory / "Dockerfile").write_bytes(text)
        self._main = Tree(str(directory), "")

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
                raise Unsupported(f"ADD of a URL is not built yet: {op.url}")
            case ops.Git():
                raise Unsupported(f"ADD of a git repository is not built yet: {op.url}")

    def _inline(self, op: ops.Inline) -> Tree:
        directory = self._lease.scratch("inline")
        directory.mkdir()
        for text in op.texts:
            path = directory / text.name.replace("/", "_")
            path.write_text(text.content)
            path.chmod(op.mode)
            os.utime(path, (0, 0))
        return Tree(str(directory), "")


def _read(directory: str, name: str) -> bytes | None:
    """A file of the context, through its own symlinks and nobody else's; None when it is not there."""
    with owned(os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as root:
        try:
            fd = open_in_root(root, name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with os.fdopen(fd, "rb") as file:
            return file.read(_LIMIT)
