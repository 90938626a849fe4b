"""The customer's host as a disk image: a stock Debian 12 with the distribution's kernel 6.1, cloud-init and sshd.

Made once per recipe by mmdebstrap and kept in a cache folder outside the repository (PYMACHINE_VM_CACHE or
/var/cache/pymachine-vm). Nothing of ours is in it: `pymachine create ssh` has to cope with what is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from machine.drivers.local_apt import source_lines
from tests.tools import need, unavailable

SUITE: Final = "bookworm"
# What Debian's own genericcloud image has beyond priority "important" (which brings iproute2 and nftables).
PACKAGES: Final = (
    *("linux-image-cloud-amd64", "systemd-sysv", "dbus", "cloud-init", "openssh-server", "python3", "sudo"),
    *("ca-certificates", "netbase", "apparmor"),
)
_OPTIONS: Final = (
    *("--variant=important", "--mode=root", "--format=directory", "--skip=check/empty", "--components=main"),
    '--aptopt=APT::Install-Recommends "false"',
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")),
)
# No identity in the image; DHCP is set up by cloud-init, for the ifupdown of priority "important".
_CUSTOMIZE: Final = r"""
root=$1
: > "$root/etc/machine-id"
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/var/lib/dbus/machine-id"
chroot "$root" passwd -q -l root
printf '/dev/vda / ext4 defaults 0 1\n' > "$root/etc/fstab"
chroot "$root" systemctl -q enable ssh.service
"""
DISK_BYTES: Final = 6 * 1024**3  # sparse
BUILD_SECONDS: Final = 900


@dataclass(frozen=True)
class Image:
    """Absolute paths; `disk` is a qcow2 that is only ever a backing file."""

    kernel: Path
    initrd: Path
    disk: Path


def cache() -> Path:
    """The cache folder; made when missing."""
    folder = Path(os.environ.get("PYMACHINE_VM_CACHE", "/var/cache/pymachine-vm"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def image() -> Image:
    """The image of the present recipe, built now (two minutes, plus downloads) unless it is in the cache."""
    folder = cache() / f"{SUITE}-{_recipe_hash()}"
    with _lock():
        if not folder.is_dir():
            _build(folder)
    return Image(folder / "vmlinuz", folder / "initrd.img", folder / "disk.qcow2")


def _build(folder: Path) -> None:
    making = folder.with_name(f"{folder.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    root = making / "root"
    (making / "customize").write_text(_CUSTOMIZE)
    sources = source_lines(SUITE)
    (making / "sources.list").write_text("".join(f"{line}\n" for line in sources))
    _run(
        [
            *(need("mmdebstrap", "mmdebstrap"), *_OPTIONS, f"--include={','.join(PACKAGES)}"),
            f'--customize-hook=sh -eu "{making}/customize" "$1"',
            *(SUITE, str(root), *([str(making / "sources.list")] if sources else [])),
        ]
    )
    for name in ("vmlinuz", "initrd.img"):
        (found,) = (root / "boot").glob(f"{name}-*")
        shutil.copyfile(found, making / name)
    raw = making / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(DISK_BYTES)
    _run([need("mkfs.ext4", "e2fsprogs"), "-q", "-d", str(root), "-L", "root", str(raw)])
    _run([need("qemu-img", "qemu-utils"), "convert", "-O", "qcow2", str(raw), str(making / "disk.qcow2")])
    raw.unlink()
    shutil.rmtree(root)
    for old in folder.parent.glob(f"{SUITE}-*"):
        if old != making:
            shutil.rmtree(old)  # of an older recipe
    making.rename(folder)


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode:
        unavailable(f"no image of a virtual machine: {command[0]} said:\n{done.stderr[-2000:]}")


def _recipe_hash() -> str:
    text = "\0".join((SUITE, *PACKAGES, *_OPTIONS, _CUSTOMIZE, str(DISK_BYTES)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextmanager
def _lock() -> Iterator[None]:
    with (cache() / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":  # scripts/test makes it while there is a network
    print(image(), file=sys.stderr)
