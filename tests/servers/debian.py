"""Debian 12 with the packages of examples/stack, as a tar: what the example's image begins with where there is no
internet. Made once, kept in the peers' cache; packages come from wherever this machine's own apt gets them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.peers.tree import BUILD_SECONDS, KEYRING, cache, lock, mirror
from tests.tools import need, unavailable

PACKAGES = "postgresql,redis-server,python3-psycopg2,python3-redis"
# Half of it: manuals, and what PostgreSQL compiles queries with.
_LEFT_OUT = (
    "share/doc/*",
    "share/locale/*",
    "share/man/*",
    "share/i18n/*",
    "lib/*/libLLVM-*",
    "lib/*/libz3.*",
    "lib/postgresql/15/lib/bitcode/*",
)


def stack_tar() -> Path:
    """The file system, about 250 MB; a minute to make."""
    path = cache() / "debian-12-stack.tar"
    with lock():
        if not path.exists():
            _build(path)
    return path


def _build(path: Path) -> None:
    making = path.with_name(f"making-{path.name}")  # its ending says what mmdebstrap makes
    # PostgreSQL's packages put links among the manual pages, which are left out.
    folders = [f'mkdir -p "$1"/usr/share/man/{name}' for name in ("man1", "man7")]
    command = [need("mmdebstrap", "mmdebstrap"), "--variant=minbase", "--mode=root", f"--keyring={KEYRING}"]
    command += ['--aptopt=APT::Install-Recommends "false"', f"--setup-hook={' && '.join(folders)}"]
    command += [f"--dpkgopt=path-exclude=/usr/{name}" for name in _LEFT_OUT]
    command += [f"--include={PACKAGES}", "bookworm", str(making), *mirror()]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=BUILD_SECONDS)
    if done.returncode:
        making.unlink(missing_ok=True)
        unavailable(f"no Debian 12 with {PACKAGES}; mmdebstrap said:\n{done.stderr[-2000:]}")
    making.rename(path)


if __name__ == "__main__":  # scripts/test fills the cache with it before it cuts the network off
    print(stack_tar())
