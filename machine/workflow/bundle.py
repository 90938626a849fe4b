"""The agent as one archive: an unpacked tree for the host's own Python, resolved here, so that the host needs no pip.

    hostagent/      our code
    <packages>      its few dependencies, from wheels whose hashes are locked in hostagent/requirements.lock
    host/           unit files and the `docker` shim

The same inputs give the same bytes, so the hash is the version's name and a cached bundle needs no network.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from hostagent import VERSION
from machine.drivers.base import Say
from machine.errors import MachineError, Unavailable
from machine.store.cache import cache_directory
from machine.store.lock import locked

_FORMAT: Final = "1"  # part of the key: a change in how bundles are made makes new ones
# Never used by CPython (it takes the C extension), and half of the bundle.
_DROPPED: Final = ("zstandard/_cffi", "zstandard/backend_cffi.py")
_NOT_CODE: Final = (".pyi", ".pyc", ".pyx", ".pxd", ".h", ".c")


@dataclass(frozen=True)
class Target:
    """What a bundle is for: `python` is "3.11", `arch` as `uname -m` says."""

    python: str
    arch: str


@dataclass(frozen=True)
class Bundle:
    """`version` names it on the host ("0.1.0-1f2e3d4c5b6a"); `sha256` is of the archive at `path` (tar.gz)."""

    version: str
    sha256: str
    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size


def ensure(target: Target, say: Say) -> Bundle:
    """The bundle of this very code for `target`: from the cache, or made now.

    Raises Unavailable: the package index cannot be reached; MachineError: no wheels for that target.
    """
    folder = cache_directory() / "agent"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{_key(target)}.tar.gz"
    with locked(
        path.with_suffix(".lock"), "another command is making the agent's bundle: wait", patience=600
    ):
        if path.exists():
            os.utime(path)  # still in use: what prunes the cache goes by age
        else:
            _make(path, _wheels(folder, target, say))
            _prune(folder)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Bundle(f"{VERSION}-{digest[:12]}", digest, path)


def _key(target: Target) -> str:
    digest = hashlib.sha256("\0".join((_FORMAT, VERSION, target.python, target.arch)).encode())
    for name, data in (*_code(), *_host_files(), ("lock", _lock_file().read_bytes())):
        digest.update(f"\0{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:24]


def _agent_directory() -> Path:
    found = importlib.util.find_spec("hostagent")
    if found is None or not found.submodule_search_locations:
        raise MachineError("the hostagent package is missing from this installation: install pymachine again")
    return Path(found.submodule_search_locations[0])


def _lock_file() -> Path:
    return _agent_directory() / "requirements.lock"


def _code() -> Iterator[tuple[str, bytes]]:
    """(name in the bundle, content) of our own files, in order."""
    top = _agent_directory()
    for path in sorted(top.rglob("*")):
        if path.is_file() and not path.name.endswith(_NOT_CODE):
            yield f"hostagent/{path.relative_to(top)}", path.read_bytes()


def _host_files() -> Iterator[tuple[str, bytes]]:
    for entry in sorted(files("machine.workflow").joinpath("host").iterdir(), key=lambda entry: entry.name):
        if entry.name == "docker" or entry.name.startswith("pymachine"):
            yield f"host/{entry.name}", entry.read_bytes()


def _wheels(folder: Path, target: Target, say: Say) -> list[Path]:
    """The locked wheels for `target`; downloaded once."""
    lock = _lock_file()
    key = hashlib.sha256(f"{target.python}\0{target.arch}\0".encode() + lock.read_bytes()).hexdigest()[:24]
    wheels = folder / f"wheels-{key}"
    if not wheels.is_dir():
        say("downloading its packages, once")
        work = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        try:
            _download(lock, target, work)
            os.rename(work, wheels)
        except BaseException:
            shutil.rmtree(work)
            raise
    return sorted(wheels.glob("*.whl"))


def _download(lock: Path, target: Target, into: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--only-binary=:all:", "--requirement", str(lock), "--dest", str(into)),
        *("--python-version", target.python, "--platform", f"manylinux2014_{target.arch}"),
    ]
    done = subprocess.run(
        # Whatever kills us ends pip too.
        ["setpriv", "--pdeathsig", "KILL", *command] if shutil.which("setpriv") else command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise MachineError(f"pip is needed to fetch the agent's packages:  {sys.executable} -m ensurepip")
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    said = (errors or done.stderr.splitlines() or ["it said nothing"])[0].removeprefix("ERROR: ")
    if "No matching distribution" in done.stderr and "connect" not in done.stderr.lower():
        raise MachineError(f"there is no agent for Python {target.python} on {target.arch}: {said}")
    raise Unavailable(
        f"the agent's packages could not be fetched ({said}): is the package index reachable (pip config list)?"
    )


def _make(path: Path, wheels: list[Path]) -> None:
    """Writes the archive: names in order, no times, no owners, so that the same input gives the same hash."""
    content = dict((*_code(), *_host_files()))
    for wheel in wheels:
        content.update(_unpacked(wheel))
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
        try:
            with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
                with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
                    for name in sorted(content):
                        info = tarfile.TarInfo(name)
                        info.size, info.mode = len(content[name]), 0o644
                        archive.addfile(info, io.BytesIO(content[name]))
            file.flush()
            os.fsync(file.fileno())
            os.rename(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _unpacked(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of what an installed wheel would put on sys.path (PEP 427, without scripts and data)."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            top, _, rest = info.filename.partition("/")
            name = info.filename
            if top.endswith(".data"):
                kind, _, rest = rest.partition("/")
                if kind not in {"purelib", "platlib"}:
                    continue
                name = rest
            if info.is_dir() or name.endswith(_NOT_CODE) or name.startswith(_DROPPED):
                continue
            yield name, archive.read(info)


def _prune(folder: Path) -> None:
    """Keeps the eight bundles used last: a developer makes one with every change."""
    bundles = sorted(folder.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime, reverse=True)
    left = [path for path in folder.glob(".new-*") if path.stat().st_mtime < time.time() - 3600]  # of a kill
    for path in (*bundles[8:], *left):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
