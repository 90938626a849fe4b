"""`--add-host`: further lines of a container's /etc/hosts."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from hostagent.errors import Invalid

HOST_GATEWAY = "host-gateway"
"""Stands for the bridge's address."""


def check(entries: Sequence[str]) -> None:
    """What can be said of `--add-host` before the gateway is known, at create."""
    for entry in entries:
        name, found, address = entry.partition(":")
        if not name or not found:
            raise Invalid(f'bad format for add-host: "{entry}"')
        if address == HOST_GATEWAY:
            continue
        try:
            ipaddress.ip_address(address.strip())
        except ValueError:
            raise Invalid(f'invalid IP address in add-host: "{address}"') from None


def parse(entries: Sequence[str], gateway: str | None) -> list[tuple[str, str]]:
    """`--add-host name:address`, checked before, as (name, address); "host-gateway" is the bridge's address."""
    parsed = []
    for entry in entries:
        name, _, address = entry.partition(":")
        if address == HOST_GATEWAY:
            if gateway is None:
                raise Invalid(f"--add-host {entry}: host-gateway needs a container on the bridge network")
            address = gateway
        parsed.append((name, address.strip()))
    return parsed
