"""The local driver's root filesystem: Debian by mmdebstrap, made once per recipe and shared read-only."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from cloud_init.render import packages
from machine.drivers.base import Say
from machine.drivers.local_apt import source_lines
from machine.errors import MachineError
from machine.store.cache import cache_directory
from machine.store.lock import locked

RELEASE: Final = "debian-12"
PYTHON: Final = "3.11"
_SUITE: Final = "bookworm"
_OPTIONS: Final = (
    "--variant=minbase",
    "--format=directory",
    "--skip=check/empty",
    '--aptopt=Apt::Install-Recommends "false"',
    # A host nobody reads manuals on: 259 MB instead of 340.
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
)


def path() -> Path:
    """Where the root filesystem of the present recipe is, or would be."""
    return cache_directory() / "rootfs" / f"{RELEASE}-{_recipe_hash()}"


def ensure(say: Say) -> Path:
    """The root filesystem, built now (about half a minute, plus downloads) unless it is in the cache.

    Built beside and renamed, so that what is there is whole. Raises MachineError with the end of the log.
    """
    target = path()
    if target.is_dir():
        say("cached")
        return target
    # 0700: the tree holds setuid programs that only machines should be able to run.
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(target.with_suffix(".lock"), "another command is building it: wait", patience=600):
        if not target.is_dir():
            _build(target, say)
    return target


def _build(target: Path, say: Say) -> None:
    for left in target.parent.glob(f".new-{target.name}-*"):
        shutil.rmtree(left)  # of a build that was killed; ours is the only one, by the lock
    say("building, once (about a minute)")
    work = Path(tempfile.mkdtemp(prefix=f".new-{target.name}-", dir=target.parent))
    try:
        # Without mirrors of the laptop's own, mmdebstrap takes Debian's.
        sources: tuple[str, ...] = ()
        if lines := source_lines(_SUITE):
            (work / "sources.list").write_text("".join(f"{line}\n" for line in lines))
            sources = (str(work / "sources.list"),)
        with as_file(files("cloud_init") / "recipes" / "local-host.sh") as hook:
            _mmdebstrap(work / "root", sources, hook, work / "log")
        (work / "root").chmod(0o755)
        subprocess.run(["sync", "-f", work / "root"], check=True)
        os.rename(work / "root", target)
    finally:
        shutil.rmtree(work)


def _mmdebstrap(root: Path, sources: tuple[str, ...], hook: Path, log: Path) -> None:
    command = [
        # Whatever kills us also ends apt, dpkg and their mounts: their PID namespace dies with us.
        *("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--mount", "--fork", "--kill-child=KILL"),
        *("mmdebstrap", *_OPTIONS, f"--include={','.join(packages(RELEASE))}"),
        f'--customize-hook=sh "{hook}" "$1"',
        # apt reads the list as another user: it is opened by the shell here and read by mmdebstrap as root.
        *(_SUITE, str(root), *sources),
    ]
    with open(log, "wb") as output:
        # mmdebstrap wants a plain environment: LANG of the laptop is not installed in the new root.
        environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(log.parent)}
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, check=False
        ).returncode
    if status != 0:
        lines = log.read_text(errors="replace").strip().splitlines()
        raise MachineError(
            f"mmdebstrap could not build the root filesystem ({_reason(lines)}). Is the Debian mirror of "
            f"/etc/apt reachable (apt-get update), and is there 1 GB in {root.parent.parent}?"
        )


def _reason(lines: list[str]) -> str:
    errors = [line for line in lines if line.startswith("E: ")]
    return errors[0].removeprefix("E: ") if errors else lines[-1] if lines else "it said nothing"


def _recipe_hash() -> str:
    recipe = files("cloud_init") / "recipes"
    digest = hashlib.sha256(platform.machine().encode())
    digest.update("\0".join((_SUITE, *_OPTIONS, *packages(RELEASE))).encode())
    digest.update((recipe / "local-host.sh").read_bytes())
    return digest.hexdigest()[:12]
