"""Dockerfiles of real shape (tests/data/dockerfiles): dockerd and ours make the same image of each, and both take the
second build from the cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.servers.engine import Engine

pytestmark = pytest.mark.root

CORPUS = Path(__file__).parents[2] / "data" / "dockerfiles"
NAMES = sorted(path.name for path in CORPUS.iterdir())
QUICK = frozenset(
    {"compiled-service", "copy-places", "copy-owners-of-stage", "ignore-exceptions", "whiteouts"}
)
"""Run every time; the others are in the long run."""
MOMENT = 1_000_000_000
"""When the files of every context were changed last, seconds since 1970. Directories of the image are not compared:
dockerd gives a new one that a COPY fills the time of the build, BuildKit and ours that of its source."""
DOCKERD_MISSES = frozenset({"args-used-before"})
"""Where its own second build does a step again: an ARG was used before it was declared."""

Tree = dict[str, tuple[object, ...]]


def context_of(name: str, share: Path) -> Path:
    """A copy with times of its own that are the same every time."""
    top = share / "context"
    shutil.rmtree(top, ignore_errors=True)
    shutil.copytree(CORPUS / name, top, symlinks=True)
    for path in [top, *top.rglob("*")]:
        os.utime(path, (MOMENT, MOMENT), follow_symlinks=False)
    return top


def tree_of(engine: Engine, image: str) -> Tree:
    """What `docker save` says that the image's files are: kind, mode, owners, content, attributes; of files that come
    from the context also that their time was kept."""
    path = engine.share / "saved.tar"
    with open(path, "wb") as file:
        subprocess.run([engine.cli, "save", image], env=engine.environment, check=True, stdout=file)
    found: Tree = {}
    with tarfile.open(path) as outer:
        manifest = outer.extractfile("manifest.json")
        assert manifest is not None
        for layer in json.load(manifest)[0]["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer)) as tar:
                _apply(tar, found)
    path.unlink()
    return found


def _apply(tar: tarfile.TarFile, tree: Tree) -> None:
    new: Tree = {}
    for member in tar:
        name = os.path.normpath(member.name)
        folder, base = os.path.split(name)
        if base == ".wh..wh..opq":
            _drop(tree, folder, itself=False)
        elif base.startswith(".wh."):
            _drop(tree, os.path.join(folder, base.removeprefix(".wh.")), itself=True)
        elif name != ".":
            new[name] = _entry(tar, member, new)
    for name, entry in new.items():
        if tree.get(name, (tarfile.DIRTYPE,))[0] != entry[0]:
            _drop(tree, name, itself=True)
        tree[name] = entry


def _drop(tree: Tree, top: str, *, itself: bool) -> None:
    for name in [name for name in tree if name.startswith(f"{top}/") or (itself and name == top)]:
        del tree[name]


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo, before: Tree) -> tuple[object, ...]:
    if member.islnk():  # which of the names comes first is the writer's affair: all say what the file is
        return before[os.path.normpath(member.linkname)]
    content = ""
    if member.isfile():
        file = tar.extractfile(member)
        assert file is not None
        content = hashlib.sha256(file.read()).hexdigest()
    xattrs = sorted(
        (key, value) for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr.")
    )
    return (
        member.type,
        oct(member.mode),
        member.uid,
        member.gid,
        content,
        member.linkname,
        (member.devmajor, member.devminor) if member.isdev() else (),
        tuple(xattrs),
        not member.isdir() and int(member.mtime) == MOMENT,
    )


def config_of(engine: Engine, image: str) -> dict[str, Any]:
    """Without what names the build."""
    config = json.loads(engine.ok("image", "inspect", "-f", "{{json .Config}}", image))
    return {
        key: value
        for key, value in config.items()
        if key not in ("Image", "Hostname", "Domainname") and value
    }


def steps_done(told: str) -> list[str]:
    """The instructions (but FROM and the ARGs before it) that were not taken from the cache."""
    done: list[str] = []
    for step in re.split(r"^Step \d+/\d+ : ", told, flags=re.MULTILINE)[1:]:
        word = step.split(maxsplit=1)[0].upper()
        if word not in ("FROM", "ARG") and "---> Using cache" not in step:
            done.append(step.splitlines()[0])
    return done


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in NAMES]
)
def test_same_image(both: tuple[Engine, Engine], name: str) -> None:
    trees, configs, layers = [], [], []
    for engine in both:
        context = context_of(name, engine.share)
        image = engine.ok("build", "-q", "-t", "first", str(context)).splitlines()[-1]
        again = engine.docker("build", "-t", "second", str(context))
        assert again.code == 0, again
        if engine.name != "dockerd" or name not in DOCKERD_MISSES:
            assert steps_done(again.out) == [], engine.name
            assert engine.ok("image", "inspect", "-f", "{{.Id}}", "second") == image, engine.name
        trees.append(tree_of(engine, image))
        configs.append(config_of(engine, image))
        layers.append(engine.ok("image", "inspect", "-f", "{{len .RootFS.Layers}} {{.Author}}", image))
    theirs, ours = trees
    differing = {path: (theirs.get(path), ours.get(path)) for path in theirs.keys() | ours.keys()}
    assert {path: pair for path, pair in differing.items() if pair[0] != pair[1]} == {}
    assert configs[1] == configs[0]
    assert layers[1] == layers[0]
