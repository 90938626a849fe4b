"""Bytes and trees onto the host, over `cat` and `tar`: no SFTP server is needed, and the pieces stream."""

from __future__ import annotations

import io
import shlex
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from machine.ssh.connection import Connection


def put(connection: Connection, data: bytes, path: str, mode: int = 0o644) -> None:
    """Writes `path` on the host: temporary file, fsync, rename, so that no reader sees half of it."""
    target = shlex.quote(path)
    part = shlex.quote(f"{path}.part")
    connection.run(
        f"umask 077; cat > {part} && chmod {mode:o} {part} && sync {part} && mv -f {part} {target}",
        stdin=data,
    )


def put_tree(connection: Connection, local: Path, remote: str, *, timeout: float = 300.0) -> None:
    """Copies what is inside the folder `local` into the folder `remote` (made when missing)."""
    put_tar(connection, _tar(local), remote, timeout=timeout)


def put_tar(
    connection: Connection,
    pieces: Iterable[bytes],
    remote: str,
    *,
    gzipped: bool = False,
    timeout: float = 300.0,
) -> None:
    """Unpacks a tar archive, given in pieces, into the folder `remote` (made when missing)."""
    folder = shlex.quote(remote)
    flags = "-xzf" if gzipped else "-xf"
    connection.run(
        f"mkdir -p {folder} && tar --no-same-owner {flags} - -C {folder}", stdin=pieces, timeout=timeout
    )


def _tar(folder: Path) -> Iterator[bytes]:
    """A tar stream of what is in `folder`, a piece for each file, in the same order each time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, arcname=str(path.relative_to(folder)), recursive=False)
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()
