"""Images for the tests, small and with everything a layer can have."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.servers.image import Entry, archive, layer


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    """A tar header; `fields` are attributes of TarInfo."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar of headers and contents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def two_layers() -> list[bytes]:
    """Files, links, owners, set-ID bits, attributes and devices; then whiteouts and an opaque directory."""
    base = layer(
        [
            Entry("etc", tarfile.DIRTYPE, 0o755),
            Entry("etc/passwd", data=b"root:x:0:0::/:/bin/sh\n"),
            Entry("etc/old", data=b"old"),
            Entry("data", tarfile.DIRTYPE, 0o1777),
            Entry("data/gone", data=b"x" * 5000),
            Entry("bin/su", mode=0o4755, data=b"#!", uid=0, gid=7),
            Entry("bin/su2", tarfile.LNKTYPE, 0o4755, link="bin/su", gid=7),
            Entry("sh", tarfile.SYMTYPE, 0o777, link="bin/su", uid=5, gid=6),
            Entry("owned", data=b"y", mode=0o640, uid=1000, gid=1001, xattrs={"user.note": "kept"}),
            Entry("fifo", tarfile.FIFOTYPE, 0o600),
        ]
    )
    top = layer(
        [
            Entry("etc", tarfile.DIRTYPE, 0o755),
            Entry("etc/.wh.old"),
            Entry("data", tarfile.DIRTYPE, 0o755),
            Entry("data/.wh..wh..opq"),
            Entry("data/new", data=b"new"),
        ]
    )
    return [base, top]


def archived(
    path: Path, tags: list[str], layers: list[bytes], config: Mapping[str, object] | None = None
) -> bytes:
    """The bytes of a docker-archive."""
    archive(path, tags, layers, config or {"Cmd": ["sh"]})
    return path.read_bytes()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
