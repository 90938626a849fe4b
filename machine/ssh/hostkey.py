"""Is this the host that we made? Its key is known beforehand: there is no trust-on-first-use."""

from __future__ import annotations

import base64
import hashlib

from machine.errors import HostKeyMismatch
from machine.model.machine import Machine


def fingerprint(public_key: str) -> str:
    """SHA256:… of a public key line, as `ssh-keygen -l` prints it (RFC 4648 base64 without padding)."""
    blob = base64.b64decode(public_key.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def key_types(machine: Machine) -> tuple[str, ...]:
    """Types of the keys on record; HostKeyMismatch when there is none: nothing could be verified."""
    types = tuple(dict.fromkeys(key.split()[0] for key in machine.host_keys))
    if not types:
        raise HostKeyMismatch(
            f'the host key of "{machine.name}" is not on record, so it cannot be told from an impostor: '
            f"nothing was sent. Make the record again:  pymachine rm {machine.name}"
        )
    return types


def verify(machine: Machine, shown: str) -> None:
    """Raises HostKeyMismatch unless `shown` ("ssh-ed25519 AAAA…") is one of the machine's keys."""
    if shown in machine.host_keys:
        return
    expected = ", ".join(fingerprint(key) for key in machine.host_keys)
    raise HostKeyMismatch(
        f"{machine.address} port {machine.port} is not {machine.name}: it shows the host key "
        f"{fingerprint(shown)}, the record says {expected}. Another host has this address, or someone is in "
        f"between: nothing was sent. If you replaced the host yourself:  pymachine rm {machine.name}"
    )


def missing_type(machine: Machine) -> HostKeyMismatch:
    """The error for a host that has no key of any type on record."""
    types = ", ".join(key_types(machine))
    return HostKeyMismatch(
        f"{machine.address} port {machine.port} is not {machine.name}: it has no host key of the type "
        f"on record ({types}). Another host has this address, or someone is in between: nothing was sent. "
        f"If you replaced the host yourself:  pymachine rm {machine.name}"
    )
