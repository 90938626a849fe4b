"""The tar reader and writer against each other and against the standard library's."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.errors import Invalid, Unsupported
from hostagent.image.tar_reader import DIRECTORY, HARDLINK, REGULAR, SYMLINK, Entry, TarReader
from hostagent.image.tar_writer import END, Header, encode, padding

NAMES = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name and not name.endswith(b"/"))
TIMES = st.integers(-(1 << 40) * 10**9, (1 << 40) * 10**9)
HEADERS = st.builds(
    Header,
    name=NAMES,
    kind=st.sampled_from([REGULAR, HARDLINK, SYMLINK, DIRECTORY, b"3", b"6"]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, (1 << 32) - 2),
    gid=st.integers(0, (1 << 32) - 2),
    mtime=TIMES,
    link=st.just(b"") | NAMES,
    xattrs=st.dictionaries(
        st.binary(min_size=1, max_size=40).map(
            lambda key: b"user." + key.replace(b"=", b"e").replace(b"\0", b"z")
        ),
        st.binary(max_size=200),
        max_size=3,
    ),
)


def reader_of(data: bytes, piece: int = 1 << 20) -> TarReader:
    stream = io.BytesIO(data)
    return TarReader(lambda: stream.read(piece))


def contents(data: bytes, piece: int = 1 << 20) -> list[tuple[Entry, bytes]]:
    reader = reader_of(data, piece)
    return [(entry, b"".join(bytes(view) for view in reader.payload())) for entry in reader]


@given(
    st.lists(st.tuples(HEADERS, st.binary(max_size=2000)), max_size=6),
    st.sampled_from([1, 511, 512, 700, 1 << 20]),
)
def test_what_is_written_is_read(members: list[tuple[Header, bytes]], piece: int) -> None:
    data = b""
    for header, payload in members:
        if header.kind == REGULAR:
            header.size = len(payload)
            data += encode(header) + payload + padding(len(payload))
        else:
            data += encode(header)
    for (header, payload), (entry, content) in zip(members, contents(data + END, piece), strict=True):
        assert (entry.name, entry.kind, entry.mode, entry.uid, entry.gid, entry.mtime, entry.link, entry.xattrs) == (
            header.name, header.kind, header.mode, header.uid, header.gid, header.mtime, header.link, header.xattrs,
        )  # fmt: skip
        assert content == (payload if header.kind == REGULAR else b"")


@given(
    st.text(min_size=1, max_size=300).filter(lambda t: "\0" not in t and t.strip("/")),
    TIMES,
    st.integers(0, 1 << 31),
)
def test_the_standard_library_reads_what_is_written(name: str, mtime: int, uid: int) -> None:
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        return  # tarfile has no text for it
    data = encode(Header(raw, REGULAR, 0o640, uid, size=3, mtime=mtime)) + b"abc" + padding(3) + END
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        (info,) = tar.getmembers()
        file = tar.extractfile(info)
        assert file is not None and file.read() == b"abc"
    assert (info.name, info.mode, info.uid) == (name.rstrip("/"), 0o640, uid)
    assert abs(info.mtime - mtime / 1e9) <= max(1, abs(mtime / 1e9) * 1e-9)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@given(names=st.lists(st.text("abcä/.", min_size=1, max_size=250).filter(lambda t: t.strip("/")), max_size=4))
def test_what_the_standard_library_writes_is_read(form: int, names: list[str]) -> None:
    out = io.BytesIO()
    written: list[str] = []
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            try:
                tar.addfile(info, io.BytesIO(b"." * len(name)))
            except ValueError:
                continue  # too long for ustar
            written.append(name)
    found = contents(out.getvalue(), 700)
    assert [(entry.name.decode(), len(content)) for entry, content in found] == [
        (name, len(name)) for name in written
    ]


def test_large_numbers_in_gnu_form() -> None:
    out = io.BytesIO()
    info = tarfile.TarInfo("x")
    info.uid, info.mtime = 1 << 24, -5
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(info)
    ((entry, _),) = contents(out.getvalue())
    assert (entry.uid, entry.mtime) == (1 << 24, -5 * 10**9)


def test_every_truncation_is_noticed() -> None:
    data = encode(Header(b"\xff" * 200, REGULAR, size=600)) + b"x" * 600 + padding(600)
    for length in range(1, len(data)):
        with pytest.raises(Invalid, match="the archive ends in the middle"):
            contents(data[:length])
    assert len(contents(data)) == 1, "the end mark may be missing"


def test_payload_not_taken_is_skipped() -> None:
    data = (
        encode(Header(b"a", REGULAR, size=5000))
        + b"x" * 5000
        + padding(5000)
        + encode(Header(b"b", DIRECTORY))
    )
    assert [entry.name for entry in reader_of(data, 512)] == [b"a", b"b"]


@given(st.binary(min_size=512, max_size=2000))
def test_noise_is_refused(data: bytes) -> None:
    if data[:512] != bytes(512):
        with pytest.raises((Invalid, Unsupported)):
            contents(data)
