"""What we compare with: dockerd 26.1 in a Debian 13 tree, and the docker CLIs that Debian 12 and 13 ship.

Everything is kept in a cache folder outside the repository (PYMACHINE_PEER_CACHE or /var/cache/pymachine-peers),
nothing is installed. Packages come from wherever this machine's own apt gets them.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools import need, unavailable

SUITE = "trixie"
PACKAGES = (
    "ca-certificates,docker.io,docker-cli,docker-compose,containerd,runc,iptables,nftables,iproute2,procps,mount,"
    "python3"
)
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
BUILD_SECONDS = 900


def cache() -> Path:
    """The cache folder; made when missing."""
    folder = Path(os.environ.get("PYMACHINE_PEER_CACHE", "/var/cache/pymachine-peers"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def tree() -> Path:
    """Root of the Debian 13 tree; built once with mmdebstrap (about 30 s and 200 MB of packages)."""
    path = cache() / SUITE
    with lock():
        if not path.is_dir():
            _build(path)
    return path


def cli_20_10() -> Path:
    """The docker CLI of Debian 12 (20.10), taken out of its package."""
    path = cache() / "docker-20.10" / "usr/bin/docker"
    with lock():
        if not path.exists():
            _extract_cli(path)
    return path


def cli_newest() -> Path:
    """The newest docker CLI at hand: the one on PATH (28.x on a developer's machine), else the tree's."""
    found = shutil.which("docker")
    inside = tree() / "usr/bin/docker"
    if found is None:
        return inside
    return max(Path(found), inside, key=_version)


def compose_v1() -> Path:
    """Debian 12's docker-compose, 1.29."""
    path = Path(need("docker-compose", "docker-compose (of Debian 12)"))
    if "1.29" not in version_text(path):
        unavailable(f"{path} is not Compose 1.29, as the package docker-compose of Debian 12 has it")
    return path


def compose_v2() -> Path:
    """The tree's Compose, 2.26, as a program of its own."""
    path = tree() / "usr/libexec/docker/cli-plugins/docker-compose"
    if not path.exists():
        unavailable(f"the tree has no Compose: remove {tree()}, and it is made anew")
    return path


def version_text(binary: Path) -> str:
    """What `docker --version` says."""
    done = subprocess.run([str(binary), "--version"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _version(binary: Path) -> tuple[int, ...]:
    match = re.search(r"version (\d+)\.(\d+)\.(\d+)", version_text(binary))
    return tuple(int(part) for part in match.groups()) if match else (0,)


def _build(path: Path) -> None:
    making = path.with_name(f"{path.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    command = [need("mmdebstrap", "mmdebstrap"), "--variant=apt", "--mode=root", "--components=main"]
    command += [f"--keyring={KEYRING}", '--aptopt=APT::Install-Recommends "false"']
    command += [f"--include={PACKAGES}", SUITE, str(making), *mirror()]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=BUILD_SECONDS)
    if done.returncode:
        shutil.rmtree(making, ignore_errors=True)
        unavailable(f"no Debian 13 tree for dockerd 26.1; mmdebstrap said:\n{done.stderr[-2000:]}")
    making.rename(path)


def mirror() -> list[str]:
    """Where this machine's apt gets Debian's own main archive from; nothing when it does not use one."""
    listing = [
        "apt-get",
        "indextargets",
        "--format",
        "$(ORIGIN) $(LABEL) $(REPO_URI)",
        "Created-By: Packages",
    ]
    lines = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.split()[2] for line in lines if line.startswith("Debian Debian ")][:1]


def _extract_cli(path: Path) -> None:
    folder = path.parents[2]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    subprocess.run(["apt-get", "download", "-q", "docker.io"], cwd=folder, check=False, capture_output=True)
    packages = list(folder.glob("docker.io_20.10*.deb"))
    if not packages:
        unavailable("no docker CLI 20.10: this machine's apt has no Debian 12 package docker.io 20.10")
    subprocess.run(["dpkg-deb", "-x", str(packages[0]), str(folder)], check=True)
    packages[0].unlink()


@contextmanager
def lock() -> Iterator[None]:
    with (cache() / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":  # scripts/test fills the cache with it before it cuts the network off
    for made in (tree(), cli_20_10(), cli_newest()):
        print(made)
