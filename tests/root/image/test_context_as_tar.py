"""A context that stays the tar that it came as: the same digests as unpacked; odd ones are unpacked."""

from __future__ import annotations

import gzip
import io
import os
import socket
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hostagent.dockerfile.patterns import PathMatcher
from hostagent.errors import NotFound
from hostagent.image.archived import Archived, open_archive, open_manifest
from hostagent.image.buildjobs import Archive, Directory, ReceiveContext, Received, Selection
from hostagent.image.receiving import receive
from hostagent.image.selection import FilesOnDisk, open_files
from hostagent.image.sources import digest, select
from hostagent.wire.context import encode_pieces
from machine.client import delta
from machine.client.build_context import walk

pytestmark = pytest.mark.root

SELECTIONS: tuple[tuple[list[str], list[str]], ...] = (
    (["."], []),
    (["src"], []),
    (["src/"], ["*.o", "deep"]),
    (["."], ["src", "!src/deep/*.txt"]),
    (["src/*.c", "README"], []),
    (["into/a.c"], []),
    (["absolute/b.c", "up"], []),
    (["hard"], []),
    (["s*/d*p"], []),
)


def _tar(*members: tuple[str, bytes, str]) -> bytes:
    """(name, kind, content or target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, text in members:
            member = tarfile.TarInfo(name)
            member.type, member.mtime = kind, 1_700_000_000
            member.mode = 0o750 if kind == tarfile.DIRTYPE else 0o644
            data = text.encode()
            if kind == tarfile.REGTYPE:
                member.size = len(data)
            else:
                member.linkname = text
            if name.endswith(".o"):
                member.pax_headers = {"SCHILY.xattr.user.note": "made"}
            tar.addfile(member, io.BytesIO(data) if kind == tarfile.REGTYPE else None)
    return out.getvalue()


D, F, L, H = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
CONTEXT = _tar(
    ("./", D, ""),
    ("README", F, "read"),
    ("absolute", L, "/src"),
    ("hard", H, "README"),
    ("into", L, "src/deep/../"),
    ("src", D, ""),
    ("src/a.c", F, "int a;"),
    ("src/a.o", F, "object"),
    ("src/b.c", F, ""),
    ("src/deep", D, ""),
    ("src/deep/große-" + "n" * 120 + ".txt", F, "x" * 5000),
    ("src/deep/gone", L, "nowhere"),
    ("up", L, "../../README"),
)


@pytest.fixture
def received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], tuple[Received, Path]]:
    monkeypatch.setenv("PYMACHINE_HOME", str(tmp_path / "home"))

    def send(body: bytes) -> tuple[Received, Path]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            job = ReceiveContext(
                fd=ours.fileno(),
                early=body[:100],
                length=len(body),
                spool=str(tmp_path / "tar"),
                index=str(tmp_path / "index"),
                wanted=["src/a.c", "into/a.c", "none", "src"],
                into=str(tmp_path),
            )
            theirs.sendall(body[100:])
            return receive(job), tmp_path

    return send


def _archived(folder: Path) -> Archived:
    return open_archive(Archive(str(folder / "tar"), str(folder / "index")))


def _unpacked(folder: Path) -> FilesOnDisk:
    place = folder / "files"
    place.mkdir(mode=0o755)
    subprocess.run(["tar", "-xPf", folder / "tar", "-C", place], check=True)
    os.setxattr(place / "src/a.o", "user.note", b"made")
    place.chmod(0o755)
    return open_files(Directory(str(place)), "")


@pytest.mark.parametrize("packed", [False, True])
def test_digests_are_those_of_the_unpacked_files(
    packed: bool, received: Callable[[bytes], tuple[Received, Path]]
) -> None:
    answer, folder = received(gzip.compress(CONTEXT) if packed else CONTEXT)
    assert answer.plain
    assert (folder / "tar").read_bytes() == CONTEXT
    with closing(_archived(folder)) as tar, closing(_unpacked(folder)) as disk:
        for paths, exclude in SELECTIONS:
            selection = Selection(Directory(""), paths, exclude)
            assert digest(tar, selection) == digest(disk, selection), paths


def test_digests_of_a_listed_directory_are_had_without_its_files(
    received: Callable[[bytes], tuple[Received, Path]],
) -> None:
    _, folder = received(CONTEXT)
    with closing(_unpacked(folder)) as disk:
        os.removexattr(folder / "files/src/a.o", "user.note")  # which a list does not know
        context = delta.read(str(folder / "files"), walk(str(folder / "files"), PathMatcher(())))
        (folder / "manifest").write_bytes(encode_pieces(context.pieces))
        with closing(open_manifest(str(folder / "manifest"))) as listed:
            for paths, exclude in SELECTIONS:
                selection = Selection(Directory(""), paths, exclude)
                assert digest(listed, selection) == digest(disk, selection), paths


def test_paths_that_lead_nowhere_are_said_in_the_same_words(
    received: Callable[[bytes], tuple[Received, Path]],
) -> None:
    _, folder = received(CONTEXT)
    with closing(_archived(folder)) as tar, closing(_unpacked(folder)) as disk:
        for path in ("none", "README/x", "src/deep/gone", "*.none", "src/none/*"):
            said = []
            for source in (tar, disk):
                with pytest.raises(NotFound) as error:
                    list(select(source, Selection(Directory(""), [path])))
                said.append(str(error.value))
            assert said[0] == said[1]


def test_files_that_the_daemon_reads_are_taken_out(
    received: Callable[[bytes], tuple[Received, Path]],
) -> None:
    _, folder = received(CONTEXT)
    assert [(folder / name).read_text() for name in ("0", "1")] == ["int a;", "int a;"]
    assert not (folder / "2").exists() and not (folder / "3").exists()


@pytest.mark.parametrize(
    "members",
    [
        (("a", F, "1"), ("a", F, "2")),
        (("a/b", F, "no directory"),),
        (("d", D, ""), ("l", L, "d"), ("l/b", F, "through a link")),
        (("../a", F, "outside"),),
        (("/a", F, "absolute"),),
        (("p", tarfile.FIFOTYPE, ""),),
        (("c", tarfile.CHRTYPE, ""),),
        (("h", H, "nothing"),),
        (("d", D, ""), ("d/../a", F, "")),
        (("..", F, ""),),
    ],
)
def test_an_odd_tar_is_kept_to_be_unpacked(
    members: tuple[tuple[str, bytes, str], ...], received: Callable[[bytes], tuple[Received, Path]]
) -> None:
    answer, folder = received(_tar(*members))
    assert not answer.plain
    assert not (folder / "index").exists()
    assert (folder / "tar").stat().st_size == answer.size


def test_an_empty_body_makes_nothing(received: Callable[[bytes], tuple[Received, Path]]) -> None:
    answer, folder = received(b"")
    assert answer == Received(0, False)
    assert not (folder / "tar").exists()
