"""Images made by our own few lines, in `docker load` format: busybox from busybox-static, and variants.

Nothing here uses pymachine's image code, so that both can be wrong only independently. Format: Docker image
specification v1.2 (manifest.json, one config, layers as tar).
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CREATED = "2024-01-01T00:00:00Z"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www:x:33:33:www:/var/www:/bin/sh
"""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Entry:
    """One tar member; `mode` is the permission bits, `link` the target when kind is a link."""

    name: str
    kind: bytes = tarfile.REGTYPE
    mode: int = 0o644
    data: bytes = b""
    link: str = ""
    uid: int = 0
    gid: int = 0
    xattrs: Mapping[str, str] = field(default_factory=dict)


def layer(entries: Iterable[Entry]) -> bytes:
    """An uncompressed layer; the same entries give the same bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.mode, info.linkname = entry.kind, entry.mode, entry.link
            info.uid, info.gid, info.size = entry.uid, entry.gid, len(entry.data)
            info.pax_headers = {f"SCHILY.xattr.{name}": value for name, value in entry.xattrs.items()}
            tar.addfile(info, io.BytesIO(entry.data))
    return out.getvalue()


def busybox_layer(binary: Path) -> bytes:
    """A root file system of one static binary, a link per applet, and the accounts that tests use."""
    listing = subprocess.run([str(binary), "--list"], check=True, capture_output=True, text=True)
    folders = {"root": 0o700, "tmp": 0o1777} | dict.fromkeys(
        ["bin", "etc", "home", "usr", "usr/bin", "var"], 0o755
    )
    entries = [Entry(name, tarfile.DIRTYPE, mode) for name, mode in folders.items()]
    entries.append(Entry("bin/busybox", mode=0o755, data=binary.read_bytes()))
    for name in sorted(set(listing.stdout.split()) - {"busybox"}):
        entries.append(Entry(f"bin/{name}", tarfile.LNKTYPE, 0o755, link="bin/busybox"))
    entries += [
        Entry("usr/bin/env", tarfile.SYMTYPE, 0o777, link="/bin/busybox"),
        Entry("etc/passwd", data=PASSWD),
        Entry("etc/group", data=b"root:x:0:\ndaemon:x:1:\nwww:x:33:\nstaff:x:50:www\n"),
    ]
    return layer(entries)


def archive(
    path: Path, tags: list[str], layers: list[bytes], config: Mapping[str, object], *, created: str = CREATED
) -> str:
    """Write a docker-archive and return the image ID (`sha256:…`). `config` is the member of that name."""
    document = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": created,
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha(data)}" for data in layers]},
        "history": [{"created": CREATED, "created_by": f"layer {n}"} for n in range(len(layers))],
    }
    body = json.dumps(document, sort_keys=True).encode()
    names = [f"{_sha(data)}/layer.tar" for data in layers]
    manifest = [{"Config": f"{_sha(body)}.json", "RepoTags": tags, "Layers": names}]
    with tarfile.open(path, "w") as tar:
        for name, data in [
            (f"{_sha(body)}.json", body),
            *dict(zip(names, layers, strict=True)).items(),
            ("manifest.json", json.dumps(manifest).encode()),
        ]:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return f"sha256:{_sha(body)}"


def busybox(path: Path, binary: Path, tag: str = "busybox:latest") -> str:
    """`busybox:latest` as the public one behaves: command sh, user root. Returns the image ID."""
    return archive(path, [tag], [busybox_layer(binary)], {"Cmd": ["sh"], "Env": [PATH]})


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":  # scripts/demo makes its image with it
    import sys

    print(busybox(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4]))
