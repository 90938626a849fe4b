"""BuildKit's client for dockerd 26.1: the plugin docker-buildx of Debian 13, taken out of its package."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.peers.tree import KEYRING, SUITE, cache, mirror
from tests.tools import unavailable


def buildx() -> Path:
    """The plugin; fetched once, with this machine's apt but with lists of its own."""
    folder = cache() / "buildx"
    path = folder / "usr/libexec/docker/cli-plugins/docker-buildx"
    if not path.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _fetch(folder)
    return path


def install(config: Path) -> None:
    """For a docker client with this DOCKER_CONFIG."""
    plugins = config / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    link = plugins / "docker-buildx"
    if not link.exists():
        link.symlink_to(buildx())


def _fetch(folder: Path) -> None:
    (folder / "lists/partial").mkdir(parents=True)
    (folder / "cache/archives/partial").mkdir(parents=True)
    base = next(iter(mirror()), "http://deb.debian.org/debian")
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {base} {SUITE} main\n")
    options = [f"Dir::Etc::sourcelist={folder}/sources.list", "Dir::Etc::sourceparts=-"]
    options += [f"Dir::State::lists={folder}/lists", f"Dir::Cache={folder}/cache", "APT::Sandbox::User=root"]
    command = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    subprocess.run([*command, "update"], cwd=folder, check=False, capture_output=True)
    subprocess.run([*command, "download", "docker-buildx"], cwd=folder, check=False, capture_output=True)
    packages = list(folder.glob("docker-buildx_*.deb"))
    if not packages:
        unavailable("no docker-buildx: this machine's apt does not reach the Debian 13 package of that name")
    subprocess.run(["dpkg-deb", "-x", str(packages[0]), str(folder)], check=True)


if __name__ == "__main__":
    print(buildx())
