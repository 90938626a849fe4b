"""Capability names, masks, and how a process takes exactly a given set (capabilities(7))."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from hostagent.kernel import constants as c
from hostagent.kernel import libc

NAMES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
"""Index = number in <linux/capability.h>."""

CAP_SYS_ADMIN = NAMES.index("CAP_SYS_ADMIN")
CAP_SYS_RESOURCE = NAMES.index("CAP_SYS_RESOURCE")


@dataclass(frozen=True)
class CapabilitySets:
    """Masks of the five sets (bit n = capability number n)."""

    bounding: int = 0
    effective: int = 0
    permitted: int = 0
    inheritable: int = 0
    ambient: int = 0

    def limited_to(self, available: int) -> CapabilitySets:
        """The same without what this host does not have."""
        return CapabilitySets(*(mask & available for mask in self.masks()))

    def masks(self) -> tuple[int, int, int, int, int]:
        return (self.bounding, self.effective, self.permitted, self.inheritable, self.ambient)


def mask(names: Iterable[str]) -> int:
    """The mask of some names; raises ValueError for a name that does not exist."""
    result = 0
    for name in names:
        try:
            result |= 1 << NAMES.index(name)
        except ValueError:
            raise ValueError(f"unknown capability {name!r}: see capabilities(7)") from None
    return result


def names(of: int) -> tuple[str, ...]:
    """The names in a mask; numbers newer than this table as "CAP_<n>"."""
    return tuple(
        NAMES[bit] if bit < len(NAMES) else f"CAP_{bit}" for bit in range(of.bit_length()) if of >> bit & 1
    )


@cache
def bounding() -> int:
    """The bounding set that this process was started with, as a mask; read once."""
    found = 0
    for bit in range(64):
        try:
            found |= libc.prctl(c.PR_CAPBSET_READ, bit) << bit
        except OSError:  # past the kernel's last capability
            break
    return found


def drop_bounding(keep: int) -> None:
    """Take everything but `keep` out of the bounding set; needs CAP_SETPCAP."""
    surplus = bounding() & ~keep
    for bit in range(surplus.bit_length()):
        if surplus >> bit & 1:
            libc.prctl(c.PR_CAPBSET_DROP, bit)


def raise_ambient(wanted: int) -> None:
    """Make the ambient set exactly `wanted`, which must be permitted and inheritable already."""
    libc.prctl(c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_CLEAR_ALL)
    for bit in range(wanted.bit_length()):
        if wanted >> bit & 1:
            libc.prctl(c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_RAISE, bit)
