"""The daemon's `userns-remap`: every container's root is one of the host's ordinary users (user_namespaces(7)).

The IDs come from /etc/subuid and /etc/subgid (subuid(5)), as with dockerd.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hostagent.engine.oci import Json
from hostagent.errors import Invalid
from hostagent.wire import HostConfig

DEFAULT_USER = "dockremap"
"""Whom the value "default" stands for."""

_Entry = TypeVar("_Entry")

Range = tuple[int, int]
"""(first ID of the host, how many)."""


@dataclass(frozen=True)
class Remap:
    """Ranges follow on each other inside the container, beginning with 0."""

    uids: tuple[Range, ...]
    gids: tuple[Range, ...]

    @property
    def root(self) -> tuple[int, int]:
        """The host's (uid, gid) of root in containers."""
        return self.uids[0][0], self.gids[0][0]

    def linux(self) -> Json:
        """The fields of the spec's `linux` object."""
        return {"uidMappings": _mappings(self.uids), "gidMappings": _mappings(self.gids)}


def _mappings(ranges: tuple[Range, ...]) -> list[Json]:
    found: list[Json] = []
    inside = 0
    for first, size in ranges:
        found.append({"containerID": inside, "hostID": first, "size": size})
        inside += size
    return found


def configured(
    value: str, subuid: Path = Path("/etc/subuid"), subgid: Path = Path("/etc/subgid")
) -> Remap | None:
    """From "", "default", USER or USER:GROUP (names or numbers). Invalid says which line is missing where."""
    if not value:
        return None
    user, _, group = (DEFAULT_USER if value == "default" else value).partition(":")
    name, uid, own_group = _user(user)
    if uid == 0:
        raise Invalid("userns-remap: root cannot be remapped to itself: name another user")
    group_name, gid = _group(group) if group else own_group
    return Remap(_ranges(subuid, name, uid), _ranges(subgid, group_name, gid))


def _user(text: str) -> tuple[str, int, tuple[str, int]]:
    entry = _found(pwd.getpwnam, pwd.getpwuid, text)
    if entry is None:
        raise Invalid(
            f"userns-remap: there is no user {text!r} on this host: make it (useradd -r {text}), or name another one"
        )
    group = _found(grp.getgrnam, grp.getgrgid, str(entry.pw_gid))
    return entry.pw_name, entry.pw_uid, (group.gr_name if group else entry.pw_name, entry.pw_gid)


def _group(text: str) -> tuple[str, int]:
    entry = _found(grp.getgrnam, grp.getgrgid, text)
    if entry is None:
        raise Invalid(f"userns-remap: there is no group {text!r} on this host")
    return entry.gr_name, entry.gr_gid


def _found(by_name: Callable[[str], _Entry], by_id: Callable[[int], _Entry], text: str) -> _Entry | None:
    try:
        return by_name(text)
    except KeyError:
        pass
    try:
        return by_id(int(text)) if text.isdecimal() else None
    except KeyError:
        return None


def _ranges(path: Path, name: str, number: int) -> tuple[Range, ...]:
    """All lines of a name or a number, in the file's order."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        text = ""
    found = []
    for line in text.splitlines():
        fields = line.split(":")
        if (
            len(fields) == 3
            and fields[0] in (name, str(number))
            and fields[1].isdecimal()
            and fields[2].isdecimal()
        ):
            found.append((int(fields[1]), int(fields[2])))
    if not found:
        raise Invalid(f"userns-remap: {path} has no line for {name}: add one, as in {name}:100000:65536")
    return tuple(found)


def check(remap: Remap | None, host: HostConfig) -> None:
    """What a container cannot have while its root is nobody on the host: Invalid in Docker's words."""
    if remap is None or host.userns_mode == "host":
        return
    if host.privileged:
        raise Invalid(
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace "
            "when running privileged mode"
        )
    if host.network_mode == "host":
        raise Invalid("cannot share the host's network namespace when user namespaces are enabled")
    if host.pid_mode == "host":
        raise Invalid("cannot share the host PID namespace when user namespaces are enabled")
