"""A reader of tar streams for layers: ustar, PAX and GNU names, forward only, bytes throughout.

Why not `tarfile`: it spends about 100 µs of Python per member (objects, dictionaries, text decoding, checks of
sparse formats); a layer has tens of thousands. Formats: POSIX.1-2017 pax, tar(5) of libarchive, GNU tar manual.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from hostagent.errors import Invalid, Unsupported

BLOCK = 512
SPECIAL_LIMIT = 1 << 20  # bytes of a PAX header or a GNU long name; Go's archive/tar has the same limit

REGULAR, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = (
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"6",
)
_HAS_PAYLOAD = frozenset((b"0", b"7", b"\0"))

_HEADER = struct.Struct("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12x")
_ZEROS = bytes(BLOCK)
_XATTR = b"SCHILY.xattr."

Chunks = Callable[[], bytes]
"""Gives the next piece of a stream, b"" at its end."""


class Entry:
    """One member. Names are as in the archive, not yet checked; `mtime` in nanoseconds, `size` in bytes."""

    __slots__ = ("gid", "kind", "link", "major", "minor", "mode", "mtime", "name", "size", "uid", "xattrs")

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: bytes
    major: int
    minor: int
    xattrs: dict[bytes, bytes]


_NO_XATTRS: dict[bytes, bytes] = {}


class TarReader:
    """Iterate for entries; between two steps `payload()` gives the current one's content (skipped if not taken).

    `position` = bytes of the stream before the current payload. Raises Invalid for what is no tar or ends early.
    """

    def __init__(self, chunks: Chunks, *, open_ended: bool = False) -> None:
        """`open_ended`: it may end without the padding of the last member, as what docker's CLI sends for `build -f`
        with a file from outside of the context."""
        self._chunks = chunks
        self._open_ended = open_ended
        self._buffer = b""
        self._offset = 0
        self._before = 0  # stream position of the buffer's first byte
        self._left = 0  # payload of the current entry not yet taken
        self._padding = 0
        self._globals: dict[bytes, bytes] = {}

    @property
    def position(self) -> int:
        return self._before + self._offset

    def _need(self, count: int) -> bool:
        """Have `count` bytes in the buffer; False at the end of the stream."""
        if len(self._buffer) - self._offset >= count:
            return True
        parts = [self._buffer[self._offset :]]
        have = len(parts[0])
        self._before += self._offset
        self._offset = 0
        while have < count:
            chunk = self._chunks()
            if not chunk:
                self._buffer = b"".join(parts)
                return False
            parts.append(chunk)
            have += len(chunk)
        self._buffer = b"".join(parts) if len(parts) > 2 or parts[0] else parts[1]
        return True

    def payload(self) -> Iterator[memoryview]:
        """The content of the current entry in pieces, to be written before the next step of any iterator."""
        while self._left:
            available = len(self._buffer) - self._offset
            if not available:
                if not self._need(1):
                    raise Invalid(f"the archive ends in the middle of a file: {self._left} bytes are missing")
                available = len(self._buffer) - self._offset
            count = min(available, self._left)
            piece = memoryview(self._buffer)[self._offset : self._offset + count]
            self._offset += count
            self._left -= count
            yield piece

    def _skip(self) -> None:
        """Pass over the rest of the current payload and its padding."""
        count, padding = self._left + self._padding, self._padding
        self._left = self._padding = 0
        while count:
            available = len(self._buffer) - self._offset
            if available >= count:
                self._offset += count
                return
            count -= available
            self._before += len(self._buffer)
            self._offset = 0
            self._buffer = self._chunks()
            if not self._buffer and self._open_ended and count <= padding:
                return
            if not self._buffer:
                raise Invalid(f"the archive ends in the middle of a file: {count} bytes are missing")

    def _special(self, size: int) -> bytes:
        """The whole payload of a header that describes the next member."""
        if size > SPECIAL_LIMIT:
            raise Invalid(f"the archive has an extended header of {size} bytes: the limit is {SPECIAL_LIMIT}")
        padded = -(-size // BLOCK) * BLOCK
        if not self._need(padded):
            raise Invalid("the archive ends in the middle of an extended header")
        data = self._buffer[self._offset : self._offset + size]
        self._offset += padded
        return data

    def __iter__(self) -> Iterator[Entry]:
        records: dict[bytes, bytes] = {}
        long_name = long_link = b""
        while True:
            self._skip()
            if not self._need(BLOCK):
                if len(self._buffer) - self._offset or records or long_name or long_link:
                    raise Invalid("the archive ends in the middle of a header")
                return
            start = self._offset
            block = self._buffer[start : start + BLOCK]
            self._offset = start + BLOCK
            if block == _ZEROS:
                return
            entry, magic, prefix = _parse(block)
            kind = entry.kind
            if kind == b"x":
                records = _records(self._special(entry.size))
                continue
            if kind == b"g":
                self._globals.update(_records(self._special(entry.size)))
                continue
            if kind == b"L":
                long_name = self._special(entry.size).split(b"\0", 1)[0]
                continue
            if kind == b"K":
                long_link = self._special(entry.size).split(b"\0", 1)[0]
                continue
            if prefix[0] and magic == b"ustar\0":
                entry.name = prefix.split(b"\0", 1)[0] + b"/" + entry.name
            if long_name or long_link:
                entry.name = long_name or entry.name
                entry.link = long_link or entry.link
                long_name = long_link = b""
            if self._globals:
                records = {**self._globals, **records}
            if records:
                _extend(entry, records)
                records = {}
            if kind == b"S":
                raise Unsupported(
                    f"{_show(entry.name)} is a sparse member: write the archive without --sparse"
                )
            if kind in _HAS_PAYLOAD:
                # Old archives mark a directory by the slash at the end of its name only.
                entry.kind = DIRECTORY if kind != b"7" and entry.name.endswith(b"/") else REGULAR
                if entry.size < 0:
                    raise Invalid(f"{_show(entry.name)} has a negative size")
                self._left = entry.size
                self._padding = -entry.size % BLOCK
            elif kind not in (b"1", b"2", b"3", b"4", b"5", b"6"):
                raise Unsupported(f"{_show(entry.name)} is a member of the unknown kind {_show(kind)}")
            yield entry


def _show(name: bytes) -> str:
    return repr(name.decode("utf-8", "backslashreplace"))


def _number(field: bytes) -> int:
    """Octal text, or GNU's base-256 when the top bit is set."""
    try:
        return int(field.rstrip(b" \0") or b"0", 8)
    except ValueError:
        if field[0] & 0x80:
            return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big") - (
                1 << (8 * len(field) - 1) if field[0] & 0x40 else 0
            )
        text = field.split(b"\0", 1)[0].strip()
        try:
            return int(text or b"0", 8)
        except ValueError:
            raise Invalid(f"the archive has a header with the malformed number {_show(field)}") from None


def _parse(block: bytes) -> tuple[Entry, bytes, bytes]:
    """The entry of a header block, its magic and its ustar name prefix."""
    name, mode, uid, gid, size, mtime, checksum, kind, link, magic, _, _, _, major, minor, prefix = (
        _HEADER.unpack(block)
    )
    # The checksum is taken with its own field as spaces; without a number in it this is something else.
    digits = checksum.strip(b" \0")
    if not digits.isdigit() or sum(block) - sum(checksum) + 256 != int(digits, 8):
        raise Invalid("this is not a tar archive, or it is damaged: a header's checksum is wrong")
    entry = Entry()
    entry.name = name.split(b"\0", 1)[0]
    entry.kind = kind
    entry.mode = _number(mode) & 0o7777
    entry.uid = _number(uid)
    entry.gid = _number(gid)
    entry.size = _number(size)
    entry.mtime = _number(mtime) * 1_000_000_000
    entry.link = link.split(b"\0", 1)[0]
    if kind in (b"3", b"4"):
        entry.major = _number(major)
        entry.minor = _number(minor)
    else:
        entry.major = entry.minor = 0
    entry.xattrs = _NO_XATTRS
    return entry, magic, prefix


def _records(data: bytes) -> dict[bytes, bytes]:
    """PAX records: `LENGTH KEY=VALUE\\n`, LENGTH counting itself."""
    records: dict[bytes, bytes] = {}
    offset = 0
    while offset < len(data):
        space = data.find(b" ", offset, offset + 20)
        try:
            end = offset + int(data[offset:space]) if space > 0 else 0
        except ValueError:
            end = 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end <= space or end > len(data) or data[end - 1 : end] != b"\n" or not equals:
            raise Invalid("the archive has a malformed PAX header")
        records[key] = value
        offset = end
    return records


def _nanoseconds(text: bytes) -> int:
    """`-1.5` seconds -> nanoseconds, exactly (a float has no room for them)."""
    whole, _, fraction = text.partition(b".")
    result = int(whole or b"0") * 1_000_000_000
    part = int(fraction[:9].ljust(9, b"0")) if fraction else 0
    return result - part if whole.startswith(b"-") else result + part


def _extend(entry: Entry, records: dict[bytes, bytes]) -> None:
    """Let PAX records override the header."""
    try:
        for key, value in records.items():
            if key == b"path":
                entry.name = value
            elif key == b"linkpath":
                entry.link = value
            elif key == b"size":
                entry.size = int(value)
            elif key == b"uid":
                entry.uid = int(value)
            elif key == b"gid":
                entry.gid = int(value)
            elif key == b"mtime":
                entry.mtime = _nanoseconds(value)
            elif key.startswith(_XATTR):
                if entry.xattrs is _NO_XATTRS:
                    entry.xattrs = {}
                entry.xattrs[key[len(_XATTR) :]] = value
            elif key.startswith(b"GNU.sparse."):
                raise Unsupported(
                    f"{_show(entry.name)} is a sparse member: write the archive without --sparse"
                )
    except ValueError as error:
        raise Invalid(f"the archive has a malformed PAX header: {error}") from error
