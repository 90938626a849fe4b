"""A virtual machine as a cloud would hand it over: qemu without KVM, cloud-init's NoCloud seed, sshd behind slirp.

Slow on purpose of nobody: every instruction is emulated (TCG), so a boot takes half a minute and a container
about a second. What it gives is a kernel of its own.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from machine.ssh.keys import KeyPair
from tests.tools import need
from tests.vm.image import Image

USER: Final = "admin"
MEMORY_MIB: Final = 2048
PROCESSORS: Final = 2
SSH_PORT: Final = 2222  # on 127.0.0.1 of the namespace that qemu runs in
PUBLISHED_PORT: Final = 18080  # the same in the guest


class Guest:
    """One virtual machine whose files are in `folder`; a context manager that pulls the plug at the end."""

    def __init__(self, image: Image, folder: Path, key: KeyPair, host_key: KeyPair) -> None:
        self._folder = folder
        self.console = folder / "console.log"
        disk, seed = folder / "disk.qcow2", folder / "seed.iso"
        _run("qemu-img", "qemu-utils", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image.disk, disk)
        _write_seed(folder, seed, key, host_key)
        self._command = [
            *(need("qemu-system-x86_64", "qemu-system-x86"), "-accel", "tcg,thread=multi", "-machine", "q35"),
            *(
                "-cpu",
                "max",
                "-smp",
                str(PROCESSORS),
                "-m",
                str(MEMORY_MIB),
                "-nodefaults",
                "-display",
                "none",
            ),
            *("-serial", f"file:{self.console}", "-kernel", str(image.kernel), "-initrd", str(image.initrd)),
            # Mitigations cost an emulated processor half of its speed and change nothing that is tested.
            *("-append", "root=/dev/vda rw console=ttyS0 mitigations=off"),
            *_disk("root", disk, "qcow2,cache=unsafe"),
            *_disk("seed", seed, "raw,readonly=on"),
            # restrict: the guest reaches nothing, only the two ports lead into it.
            *("-netdev", f"user,id=net,restrict=on,{_forward(SSH_PORT, 22)},{_forward(PUBLISHED_PORT)}"),
            *("-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Guest:
        self.console.touch()
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def boots(self) -> int:
        """How often its kernel has started."""
        return self.console.read_bytes().count(b"Linux version ")

    def wait_for_boot(self, number: int, patience: float = 300) -> None:
        """Until the kernel has started for the `number`th time; TimeoutError with the end of the console."""
        end = time.monotonic() + patience
        while self.boots() < number:
            if time.monotonic() > end:
                raise TimeoutError(self.console.read_text(errors="replace")[-2000:])
            time.sleep(0.5)


def speaks_ssh() -> bool:
    """Whether sshd is up: slirp takes every connection, and closes those that the guest does not take."""
    try:
        with socket.create_connection(("127.0.0.1", SSH_PORT), 5) as sock:
            return sock.recv(4) == b"SSH-"
    except OSError:
        return False


def _forward(port: int, inside: int | None = None) -> str:
    return f"hostfwd=tcp:127.0.0.1:{port}-:{inside or port}"


def _disk(name: str, path: Path, kind: str) -> list[str]:
    return [
        "-drive",
        f"if=none,id={name},file={path},format={kind}",
        "-device",
        f"virtio-blk-pci,drive={name}",
    ]


def _write_seed(folder: Path, seed: Path, key: KeyPair, host_key: KeyPair) -> None:
    """NoCloud's volume: what an administrator sets up who has never heard of us."""
    user_data = {
        # As Debian's own cloud images have it.
        "manage_etc_hosts": True,
        "locale": "C.UTF-8",
        "users": [
            {
                "name": USER,
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "shell": "/bin/bash",
                "ssh_authorized_keys": [key.public],
            }
        ],
        "ssh_keys": {"ed25519_private": host_key.private, "ed25519_public": host_key.public},
    }
    content = folder / "seed"
    content.mkdir()
    (content / "user-data").write_text(f"#cloud-config\n{json.dumps(user_data)}\n")
    (content / "meta-data").write_text(json.dumps({"instance-id": "i-1", "local-hostname": "customer"}))
    _run(
        "xorriso", "xorriso", "-as", "genisoimage", "-quiet", "-volid", "cidata", "-rock", "-o", seed, content
    )


def _run(command: str, package: str, *arguments: str | Path) -> None:
    subprocess.run(
        [need(command, package), *map(str, arguments)], check=True, capture_output=True, timeout=60
    )
