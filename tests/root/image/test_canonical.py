"""Pack and unpack are each other's inverse, whatever the tree: a local layer's diff ID can be had again."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent.image.pack import Packer
from hostagent.image.tar_reader import DIRECTORY, REGULAR, SYMLINK, TarReader
from hostagent.image.tar_writer import END, Header, encode, padding
from hostagent.image.unpack import Unpacker
from tests.root.image.samples import two_layers

pytestmark = pytest.mark.root

PARTS = st.sampled_from([b"a", b"b", b"\xff\xfe", b"long" * 40, b".wh.a", b".wh.b", b".wh..wh..opq", b"c d"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map(b"/".join)
MEMBERS = st.lists(
    st.builds(
        Header,
        name=NAMES,
        kind=st.sampled_from([REGULAR, DIRECTORY, SYMLINK]),
        mode=st.integers(0, 0o7777),
        uid=st.sampled_from([0, 5, 70000]),
        gid=st.sampled_from([0, 6]),
        mtime=st.integers(0, 2**33 * 10**9),
        link=st.just(b"a"),
        xattrs=st.sampled_from([{}, {b"user.x": b"\x00=\n"}]),
    ),
    max_size=12,
)


@contextmanager
def open_umask() -> Iterator[None]:
    """As a worker has it."""
    old = os.umask(0)
    try:
        yield
    finally:
        os.umask(old)


def unpack(data: bytes, directory: Path) -> None:
    directory.mkdir()
    stream = io.BytesIO(data)
    with open_umask():
        Unpacker(os.fsencode(directory)).run(TarReader(lambda: stream.read(65536)))


def pack(directory: Path) -> bytes:
    pieces: list[bytes] = []
    Packer(pieces.append, os.fsencode(directory)).run()
    return b"".join(pieces)


def marks(directory: Path) -> tuple[int, list[str]]:
    """What the root itself carries."""
    return os.lstat(directory).st_mode, os.listxattr(directory)


@given(MEMBERS)
@settings(max_examples=150, deadline=None)
def test_what_was_packed_unpacks_to_the_same(members: list[Header]) -> None:
    data = b""
    for header in members:
        if header.kind == REGULAR:
            header.size = len(header.name)
            data += encode(header) + header.name + padding(header.size)
        else:
            data += encode(header)
    with TemporaryDirectory(dir="/var/tmp") as folder:
        one, two = Path(folder, "one"), Path(folder, "two")
        try:
            unpack(data + END, one)
        except Exception as error:
            # A file where a directory is needed: refused, which other tests look at.
            assert "cannot apply" in str(error) or "below the whiteout" in str(error), error
            return
        packed = pack(one)
        unpack(packed, two)
        assert pack(two) == packed


def test_whiteouts_links_and_owners_survive(tmp_path: Path) -> None:
    for number, layer in enumerate(two_layers()):
        one, two = tmp_path / f"one{number}", tmp_path / f"two{number}"
        unpack(layer, one)
        unpack(pack(one), two)
        assert hashlib.sha256(pack(one)).digest() == hashlib.sha256(pack(two)).digest()
    status = os.lstat(tmp_path / "two1" / "etc" / "old")
    assert stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
    assert os.getxattr(tmp_path / "two1" / "data", "trusted.overlay.opaque") == b"y"
    assert os.lstat(tmp_path / "two0" / "bin" / "su").st_nlink == 2
