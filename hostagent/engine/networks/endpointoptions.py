"""Driver options of a container's endpoint (`--network name=NET,driver-opt=...`). Errors for people."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hostagent.errors import Invalid, Unsupported

SYSCTLS = "com.docker.network.endpoint.sysctls"
_NAME = re.compile(r"net\.[a-z0-9_]+(\.[a-z0-9_]+)*\.(IFNAME|ifname)\.[a-z0-9_]+(\.[a-z0-9_]+)*")


def check(options: Mapping[str, str]) -> None:
    """Raise for the first that cannot be; what is not Docker's is the user's own affair."""
    for option in options:
        if option.startswith("com.docker.network.") and option != SYSCTLS:
            raise Unsupported(f"the endpoint option {option} is not built in this engine: leave it out")
    sysctls(options, "eth0")


def sysctls(options: Mapping[str, str], interface: str) -> tuple[tuple[str, str], ...]:
    """(path below /proc/sys, value) of each, for an interface of that name."""
    found = []
    for text in filter(None, options.get(SYSCTLS, "").split(",")):
        name, equals, value = text.strip().partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise Invalid(
                f"{SYSCTLS}: {text!r} is not as net.ipv4.conf.IFNAME.log_martians=1 (IFNAME stands for the interface)"
            )
        # Slashes between its parts, as the interface's name may have dots. docker's client makes all letters small.
        parts = (interface if part.lower() == "ifname" else part for part in name.split("."))
        found.append(("/".join(parts), value))
    return tuple(found)
