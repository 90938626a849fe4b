"""Files of a keeper. All are in one folder that belongs to the user alone."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from machine.errors import Denied
from machine.model.paths import run_directory


@dataclass(frozen=True)
class KeeperPaths:
    """`engine` is the socket for Docker clients; `life` is locked while a keeper lives, `start` while one starts."""

    directory: Path
    machine: str

    @property
    def engine(self) -> Path:
        return self.directory / f"{self.machine}.sock"

    @property
    def control(self) -> Path:
        return self.directory / f"{self.machine}.control.sock"

    @property
    def life(self) -> Path:
        return self.directory / f"{self.machine}.lock"

    @property
    def start(self) -> Path:
        return self.directory / f"{self.machine}.start"

    @property
    def log(self) -> Path:
        return self.directory / f"{self.machine}.log"


def keeper_paths(machine_name: str) -> KeeperPaths:
    """Raises Denied when its folder is there but not ours alone: somebody else could answer on those sockets."""
    directory = run_directory(machine_name)
    for folder in (directory.parent, directory):
        if os.path.lexists(folder):
            _check(folder)
    return KeeperPaths(directory, machine_name)


def make_directory(directory: Path) -> None:
    """Makes it (0700). Raises Denied when somebody else could write there: who may connect is root on the host."""
    for folder in (directory.parent, directory):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(folder)  # before anything is made in it
    if stat.S_IMODE(os.lstat(directory).st_mode) != 0o700:
        directory.chmod(0o700)


def _check(folder: Path) -> None:
    status = os.lstat(folder)
    writable = stat.S_IMODE(status.st_mode) & 0o022
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or writable:
        raise Denied(
            f"{folder} must be a folder of yours that nobody else can write to: remove it or chmod 700 it"
        )
