"""Which users and groups of a user namespace are which of the host's (user_namespaces(7))."""

from __future__ import annotations

from dataclasses import dataclass

from hostagent.errors import Invalid


@dataclass(frozen=True)
class Range:
    """`size` IDs from `inside` on are those of the host from `outside` on."""

    inside: int
    outside: int
    size: int


@dataclass(frozen=True)
class IdMappings:
    uids: tuple[Range, ...]
    gids: tuple[Range, ...]

    @property
    def root(self) -> tuple[int, int]:
        """The host's (uid, gid) of the namespace's root. Invalid when it has none: nobody could build a container."""
        return _outside(self.uids, "uidMappings"), _outside(self.gids, "gidMappings")


NO_MAPPINGS = IdMappings((), ())


def _outside(ranges: tuple[Range, ...], name: str) -> int:
    found = next((each.outside for each in ranges if each.inside == 0 and each.size > 0), None)
    if found is None:
        raise Invalid(f"config.json: linux.{name} must map 0, the root of the container")
    return found


def written(ranges: tuple[Range, ...]) -> bytes:
    """The content of /proc/PID/uid_map or gid_map."""
    return "".join(f"{each.inside} {each.outside} {each.size}\n" for each in ranges).encode()


def parse(text: str) -> tuple[Range, ...]:
    """What /proc/PID/uid_map shows."""
    return tuple(Range(*map(int, line.split())) for line in text.splitlines())
