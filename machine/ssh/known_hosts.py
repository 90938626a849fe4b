"""The person's own known_hosts: read as sshd(8), SSH_KNOWN_HOSTS FILE FORMAT, says; never written."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

# Those that paramiko verifies, the best first.
KEY_TYPES: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)
_SYSTEM: Final = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")


@dataclass(frozen=True)
class Target:
    """What ~/.ssh/config makes of a name. `known_as` is its name in known_hosts; `proxied`: not reached directly."""

    hostname: str
    port: int
    user: str
    known_as: str
    known_hosts: tuple[Path, ...]
    proxied: bool


def resolve(host: str, user: str | None = None, port: int | None = None) -> Target:
    """`host` as ssh would understand it; a user and a port that were given are stronger than the file's."""
    import getpass

    import fabric

    config = fabric.Config(lazy=True)
    config.load_ssh_config()
    found: dict[str, Any] = config.base_ssh_config.lookup(host)
    hostname = str(found.get("hostname", host))
    port = port or int(found.get("port", 22))
    plain = str(found.get("hostkeyalias", hostname))
    own = str(found.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")).split()
    system = str(found.get("globalknownhostsfile", " ".join(_SYSTEM))).split()
    return Target(
        hostname=hostname,
        port=port,
        user=user or str(found.get("user", getpass.getuser())),
        known_as=plain if port == 22 or "hostkeyalias" in found else f"[{plain}]:{port}",
        known_hosts=tuple(Path(os.path.expanduser(name)) for name in (*own, *system)),
        proxied=bool(found.get("proxyjump") or found.get("proxycommand")),
    )


class KnownHosts:
    """The keys of all those files; a line that cannot be read says nothing, as with ssh."""

    def __init__(self, files: Iterable[Path]) -> None:
        lines = [
            line.split()
            for path in files
            if path.is_file()
            for line in path.read_text(errors="replace").splitlines()
        ]
        # @cert-authority: we cannot verify certificates, so such a line makes no host known.
        self._known = [line for line in lines if len(line) >= 3 and not line[0].startswith(("#", "@"))]
        self._revoked = [line[1:] for line in lines if len(line) >= 4 and line[0] == "@revoked"]

    def keys(self, name: str) -> tuple[str, ...]:
        """Public keys ("ssh-ed25519 AAAA…") of the host, the best type first; none when it is not known."""
        found = [(line[1], line[2]) for line in self._known if _names(line[0], name)]
        usable = [key for key in dict.fromkeys(found) if key[0] in KEY_TYPES]
        return tuple(" ".join(key) for key in sorted(usable, key=lambda key: KEY_TYPES.index(key[0])))

    def revoked(self, name: str, key: str) -> bool:
        return any(key.split() == line[1:3] and _names(line[0], name) for line in self._revoked)


def _names(patterns: str, name: str) -> bool:
    """Whether the first field of a line means the host: patterns with * and ?, `!` for "not", or one hashed name."""
    if patterns.startswith("|1|"):
        return _hashed(patterns, name)
    means = False
    for pattern in patterns.lower().split(","):
        # ssh's patterns have no character sets, and "[host]:port" is meant literally.
        if fnmatchcase(name.lower(), pattern.removeprefix("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            means = True
    return means


def _hashed(field: str, name: str) -> bool:
    """`|1|SALT|HASH`, base64: HMAC-SHA1 of the name."""
    parts = field.split("|")
    if len(parts) != 4:
        return False
    try:
        salt, digest = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except binascii.Error:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)
