"""The files that a build was sent, and those that stand in its Dockerfile, as directories of this host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from msgspec.structs import replace

from hostagent.build import ops
from hostagent.build.results import Tar, Tree
from hostagent.build.urls import GIT_URL, git_origin
from hostagent.dockerfile.patterns import PathMatcher, ignore_lines
from hostagent.errors import Invalid
from hostagent.image.buildjobs import (
    Archive,
    Clone,
    Download,
    Downloaded,
    ReceiveContext,
    Received,
    UnpackContext,
)
from hostagent.image.crew import Crew
from hostagent.image.jobs import Done
from hostagent.image.store import Lease
from hostagent.kernel.fds import owned
from hostagent.kernel.rootpath import open_in_root
from hostagent.model.stream import Incoming

IGNORE = ".dockerignore"
_OTHER_CASE = "dockerfile"
_LIMIT = 16 << 20
"""Bytes of a Dockerfile or .dockerignore."""


@dataclass(frozen=True)
class Given:
    """A context that is on this host already: `directory` is not the build's to change, `id` is its name by content.
    `manifest` is the path of its list. The Dockerfile need not be part of it."""

    directory: str
    manifest: str
    id: str
    dockerfile: bytes


class Contexts:
    """One build's. Everything is in scratch directories of its lease."""

    def __init__(self, crew: Crew, lease: Lease) -> None:
        self._crew = crew
        self._lease = lease
        self._main: _Directory | _Sent
        self._unpacking = asyncio.Lock()
        self._unpacked: Tree | None = None

    async def receive(self, incoming: Incoming, dockerfile: str) -> None:
        """The tar of the build's context becomes the context; the crew has the socket. `dockerfile`: the path that will
        be asked for. Raises Invalid for what is no tar."""
        tar, index, named = (self._lease.scratch(kind) for kind in ("context-tar", "context-index", "named"))
        named.mkdir()
        wanted = [dockerfile, _OTHER_CASE, IGNORE]
        job = ReceiveContext(
            fd=incoming.fd,
            early=incoming.early,
            length=incoming.length,
            spool=str(tar),
            index=str(index),
            wanted=wanted,
            into=str(named),
        )
        received = await self._crew.run(job, Received)
        if not received.size:
            raise Invalid("the build has no context: its body is empty")
        if received.plain:
            self._main = _Sent(Archive(str(tar), str(index)), dict(zip(wanted, _paths(named), strict=False)))
        else:
            self._main = _Directory(await self._from_tar(str(tar)))
            tar.unlink()

    def give(self, given: Given) -> bytes:
        """A context of this host becomes the context; the Dockerfile."""
        if not given.dockerfile.strip():
            raise Invalid("the Dockerfile cannot be empty")
        self._main = _Directory(Tree(given.directory, given.id, given.manifest))
        return given.dockerfile

    async def fetch(self, url: str) -> None:
        """A repository, a tar, or else a Dockerfile alone, becomes the context."""
        origin = _origin(url)
        tree = await self.tree(origin)
        assert isinstance(tree, Tree)
        if isinstance(origin, ops.Git):
            directory = os.path.realpath(os.path.join(tree.directory, origin.subdirectory.strip("/")))
            if not os.path.isdir(directory) or not f"{directory}/".startswith(f"{tree.directory}/"):
                raise Invalid(f"{url}: there is no directory {origin.subdirectory} in the repository")
            self._main = _Directory(Tree(directory, ""))
            return
        (name,) = os.listdir(tree.directory)
        fetched = os.path.join(tree.directory, name)
        try:
            self._main = _Directory(await self._from_tar(fetched))
        except Invalid:
            directory = self._directory("context")
            os.rename(fetched, os.path.join(directory, "Dockerfile"))
            self._main = _Directory(Tree(directory, ""))

    def dockerfile(self, name: str) -> bytes:
        """The Dockerfile at this path of the context; afterwards what .dockerignore names of the two is gone."""
        found = self._main.read(name)
        if found is None and name == "Dockerfile":
            found = self._main.read(_OTHER_CASE)
        if found is None:
            raise Invalid(f"Cannot locate specified Dockerfile: {name}")
        if not found.strip():
            raise Invalid(f"the Dockerfile ({name}) cannot be empty")
        self._hide_ignored(name)
        return found

    def _hide_ignored(self, dockerfile: str) -> None:
        """Clients send these two although they are ignored: the engine needs them, but COPY shall not see them."""
        ignore = self._main.read(IGNORE)
        if ignore is None:
            return
        matcher = PathMatcher(ignore_lines(ignore.decode(errors="replace")))
        for name in (dockerfile, IGNORE):
            if matcher.excludes(os.path.normpath(name)):
                path = os.path.normpath(f"/{name}").lstrip("/")
                if "/" not in path:
                    self._main.hide(path)

    def close(self) -> None:
        """What nobody needs any more: a sync would write it to disk."""
        if isinstance(self._main, _Sent):
            Path(self._main.archive.path).unlink()

    async def unpacked(self, tar: Tar) -> Tree:
        """The context as a directory, for what cannot be done with the tar; once."""
        async with self._unpacking:
            if self._unpacked is None:
                tree = await self._from_tar(tar.archive.path)
                for name in tar.archive.without:
                    os.unlink(os.path.join(tree.directory, name))
                self._unpacked = tree
            return self._unpacked

    async def _from_tar(self, path: str) -> Tree:
        directory = self._directory("context")
        await self._crew.run(UnpackContext(path, directory), Done)
        return Tree(directory, "")

    async def tree(self, op: ops.Context | ops.Remote | ops.Git | ops.Inline) -> Tree | Tar:
        match op:
            case ops.Context():
                return self._main.result()
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


@dataclass(frozen=True)
class _Directory:
    """A context that is a directory."""

    tree: Tree

    def result(self) -> Tree:
        return self.tree

    def read(self, name: str) -> bytes | None:
        """A file of the context, through its own symlinks and nobody else's; None when it is not there."""
        with owned(os.open(self.tree.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as root:
            try:
                fd = open_in_root(root, name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
            except (FileNotFoundError, NotADirectoryError):
                return None
            with os.fdopen(fd, "rb") as file:
                return file.read(_LIMIT)

    def hide(self, name: str) -> None:
        Path(self.tree.directory, name).unlink(missing_ok=True)


@dataclass
class _Sent:
    """A context that is a tar; `named` are copies of files of it by their paths."""

    archive: Archive
    named: dict[str, str]

    def result(self) -> Tar:
        return Tar(self.archive)

    def read(self, name: str) -> bytes | None:
        try:
            return Path(self.named[name]).read_bytes()
        except FileNotFoundError:
            return None

    def hide(self, name: str) -> None:
        self.archive = replace(self.archive, without=[*self.archive.without, name])


def _paths(directory: Path) -> Iterator[str]:
    return (str(directory / str(number)) for number in count())
