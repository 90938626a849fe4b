"""What a host should be like, before any cloud is chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

# A thousand containers on one bridge, each with a shim: what the kernel's defaults are too small for.
DEFAULT_SYSCTLS: Final = (
    ("fs.inotify.max_user_instances", "8192"),
    ("fs.inotify.max_user_watches", "1048576"),
    ("kernel.keys.maxkeys", "20000"),
    ("kernel.pid_max", "4194304"),
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv4.neigh.default.gc_thresh1", "4096"),
    ("net.ipv4.neigh.default.gc_thresh2", "8192"),
    ("net.ipv4.neigh.default.gc_thresh3", "16384"),
    ("net.unix.max_dgram_qlen", "512"),
)


@dataclass(frozen=True, kw_only=True)
class User:
    """An account with key-only access; `sudo` means every command without a password."""

    name: str
    keys: tuple[str, ...]  # public keys in OpenSSH's form
    groups: tuple[str, ...] = ()
    sudo: bool = True
    shell: str = "/bin/bash"


@dataclass(frozen=True, kw_only=True)
class HostKey:
    """The ed25519 key by which the host proves itself on the first connection (then rotated)."""

    private: str = field(repr=False)  # OpenSSH's PEM form, with its newlines
    public: str


@dataclass(frozen=True, kw_only=True)
class HostSpec:
    """Everything that the user-data says. Sizes are in journald's own units ("200M").

    `packages` are installed at first boot: empty for images that carry them already, which is what keeps
    a local host's start at seconds. An empty `time_servers` leaves the distribution's own.
    """

    hostname: str
    users: tuple[User, ...]
    host_key: HostKey
    packages: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = DEFAULT_SYSCTLS
    journal_max_use: str = "200M"
    journal_max_file: str = "25M"
    time_servers: tuple[str, ...] = ()
    ends: datetime | None = None  # when it powers itself off, also when it was off at that moment
