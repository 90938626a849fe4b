"""What the laptop knows about a machine: how to reach it and how to be sure that it is the right one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from machine.errors import MachineError, Usage
from machine.model.bill import Bill

CURRENT_VERSION: Final = 1
ENGINE_SOCKET: Final = "/run/pymachine.sock"

# A host name label (RFC 1123), since the name becomes the host's own; 40 keeps socket paths short.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A host that we manage. Immutable: a change is a `replace` that the store then saves.

    `host_key` is the host's public key in OpenSSH's form ("ssh-ed25519 AAAA…", a comment may follow); a host
    that shows another is refused. `next_host_key` is accepted as well: it is written before the key is
    rotated on the host, so that a rotation cut off in the middle locks nobody out.
    `identity_file` is the path of our private key; None: the agent and the keys of ~/.ssh are tried.
    `driver_data` is the driver's own (instance ID, folders, …); `agent` names the installed engine.
    """

    name: str
    driver: str
    address: str
    port: int = 22
    user: str = "root"
    host_key: str = ""
    next_host_key: str | None = None
    identity_file: str | None = None
    engine_socket: str = ENGINE_SOCKET
    agent: str | None = None
    created: str = ""  # RFC 3339, UTC
    driver_data: dict[str, str] = field(default_factory=dict)
    registry_mirrors: tuple[str, ...] = ()  # as in machine.model.registries, here and below
    insecure_registries: tuple[str, ...] = ()
    bill: Bill | None = None  # None: it costs nothing, or nobody knows what
    ends: str = ""  # RFC 3339, UTC: when it powers itself off and is removed; empty: never
    version: int = CURRENT_VERSION

    @property
    def host_keys(self) -> tuple[str, ...]:
        """Public keys by which the host may prove itself, without comments; empty when none is known yet."""
        keys = (self.host_key, self.next_host_key or "")
        return tuple(" ".join(key.split()[:2]) for key in keys if key.strip())

    def with_address(self, address: str) -> Machine:
        return replace(self, address=address)

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Machine:
        """Reads what `to_json` wrote. Raises MachineError: damaged, or written by a newer pymachine."""
        try:
            machine = msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise MachineError(
                f"the machine's record is damaged ({error}): restore it or remove the machine"
            ) from error
        if machine.version > CURRENT_VERSION:
            raise MachineError(
                f'machine "{machine.name}" was written by a newer pymachine (format {machine.version}, this '
                f"one knows {CURRENT_VERSION}): upgrade pymachine"
            )
        return machine


def check_name(name: str) -> str:
    """The name itself if a machine may be called so; raises Usage."""
    if not _NAME.fullmatch(name):
        raise Usage(
            f'"{name}" cannot be a machine\'s name: use letters, digits and "-" (not first or last), at most '
            "40, since it becomes the host name"
        )
    return name
