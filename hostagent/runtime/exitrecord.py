"""The exit record: how a container ended, on disk before anybody is told, for daemons that were not there."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from functools import lru_cache

from hostagent.runtime.protocol import Exit

NAME = "exit.json"


@lru_cache(maxsize=1)
def boot_id() -> str:
    """The kernel's random ID of this boot (proc(5))."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def write(bundle: str, record: Exit, durable: bool) -> None:
    """`<bundle>/exit.json`; with `durable` it survives a power cut."""
    temporary = f"{bundle}/.{NAME}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(asdict(record)).encode())
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, f"{bundle}/{NAME}")
    if durable:
        folder = os.open(bundle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(bundle: str) -> Exit | None:
    """None when the container has not ended (or never started)."""
    try:
        with open(f"{bundle}/{NAME}") as file:
            return Exit(**json.load(file))
    except FileNotFoundError:
        return None


def remove(bundle: str) -> None:
    """Before another start."""
    try:
        os.unlink(f"{bundle}/{NAME}")
    except FileNotFoundError:
        pass
