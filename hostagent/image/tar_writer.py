"""Canonical tar headers: the same file always gives the same bytes, so a layer's diff ID can be had from its directory.

ustar where it suffices, one PAX header where it does not (long or non-ASCII names, numbers over the octal fields,
fractions of a second, xattrs); PAX records sorted; no user names, no access or change times.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hostagent.image.tar_reader import BLOCK

END = bytes(2 * BLOCK)
_OCTAL_SIZE = 0o77777777777
_OCTAL_ID = 0o7777777


@dataclass(slots=True)
class Header:
    """One member to write; `mtime` in nanoseconds, `size` in bytes."""

    name: bytes
    kind: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[bytes, bytes] = field(default_factory=dict)


def encode(header: Header) -> bytes:
    """The member's header block, with a PAX header in front when it needs one."""
    seconds, fraction = divmod(header.mtime, 1_000_000_000)
    records: dict[bytes, bytes] = {b"SCHILY.xattr." + key: value for key, value in header.xattrs.items()}
    name, prefix = _split(header.name)
    if len(name) > 100 or not header.name.isascii():
        records[b"path"] = header.name
        name, prefix = header.name[:100], b""
    if len(header.link) > 100 or not header.link.isascii():
        records[b"linkpath"] = header.link
    if header.size > _OCTAL_SIZE:
        records[b"size"] = b"%d" % header.size
    if header.uid > _OCTAL_ID:
        records[b"uid"] = b"%d" % header.uid
    if header.gid > _OCTAL_ID:
        records[b"gid"] = b"%d" % header.gid
    if fraction or not 0 <= seconds <= _OCTAL_SIZE:
        sign, (whole, part) = (
            (b"-", divmod(-header.mtime, 10**9)) if header.mtime < 0 else (b"", (seconds, fraction))
        )
        records[b"mtime"] = sign + (b"%d.%09d" % (whole, part)).rstrip(b"0").rstrip(b".")
    block = _block(header, name, prefix, header.kind)
    if not records:
        return block
    body = b"".join(_record(key, records[key]) for key in sorted(records))
    extended = Header(b"PaxHeaders.0/" + header.name.rpartition(b"/")[2][:80], b"x", size=len(body))
    return _block(extended, extended.name, b"", b"x") + body + bytes(-len(body) % BLOCK) + block


def padding(size: int) -> bytes:
    """What follows a payload of `size` bytes."""
    return bytes(-size % BLOCK)


def _split(name: bytes) -> tuple[bytes, bytes]:
    """ustar's name and prefix; a name that does not fit comes back longer than 100."""
    if len(name) <= 100:
        return name, b""
    slash = name.rfind(b"/", 0, 156)
    if slash > 0 and 0 < len(name) - slash - 1 <= 100:
        return name[slash + 1 :], name[:slash]
    return name, b""


def _record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while length != len(body) + len(b"%d" % length):
        length = len(body) + len(b"%d" % length)
    return b"%d" % length + body


def _octal(value: int, width: int) -> bytes:
    """Zero-padded with a final NUL; what does not fit is in a PAX record and 0 here."""
    text = b"%0*o" % (width - 1, value) if value >= 0 else b""
    return (text if 0 < len(text) < width else b"0" * (width - 1)) + b"\0"


def _block(header: Header, name: bytes, prefix: bytes, kind: bytes) -> bytes:
    parts = [
        name.ljust(100, b"\0"),
        _octal(header.mode, 8),
        _octal(header.uid, 8),
        _octal(header.gid, 8),
        _octal(header.size, 12),
        _octal(header.mtime // 1_000_000_000, 12),
        b" " * 8,
        kind,
        header.link[:100].ljust(100, b"\0"),
        b"ustar\x0000",
        bytes(64),
        _octal(header.major, 8),
        _octal(header.minor, 8),
        prefix.ljust(155, b"\0"),
        bytes(12),
    ]
    block = b"".join(parts)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
