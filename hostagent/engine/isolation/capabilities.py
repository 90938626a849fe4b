"""Which capabilities a container gets: Docker's default set, `--cap-add` and `--cap-drop`."""

from __future__ import annotations

from collections.abc import Sequence

from hostagent.errors import Invalid
from hostagent.kernel import capabilities as kernel
from hostagent.wire import HostConfig

DEFAULT = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)


def effective(add: Sequence[str] | None, drop: Sequence[str] | None) -> tuple[str, ...]:
    """The set in Docker's order: ALL dropped leaves what was added; ALL added leaves out what was dropped.

    Invalid for a name that the kernel does not know. What the engine itself lacks is left out.
    """
    added = [_name(cap, "CapAdd") for cap in add or ()]
    dropped = [_name(cap, "CapDrop") for cap in drop or ()]
    held = set(kernel.names(kernel.bounding()))
    if "ALL" in added:
        chosen = [cap for cap in kernel.NAMES if cap not in dropped]
    elif "ALL" in dropped:
        chosen = [cap for cap in added if cap != "ALL"]
    else:
        chosen = [cap for cap in DEFAULT if cap not in dropped]
        chosen += [cap for cap in added if cap not in chosen]
    return tuple(cap for cap in chosen if cap in held)


def of(host: HostConfig) -> tuple[str, ...]:
    """Those of a container; `--privileged` has all that the engine itself has."""
    return everything() if host.privileged else effective(host.cap_add, host.cap_drop)


def everything() -> tuple[str, ...]:
    """All that this host may give."""
    return tuple(name for name in kernel.names(kernel.bounding()) if name in kernel.NAMES)


def _name(text: str, field: str) -> str:
    upper = text.upper()
    if upper == "ALL":
        return upper
    name = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if name not in kernel.NAMES:
        raise Invalid(f'invalid {field}: unknown capability: "{name}"')
    return name
