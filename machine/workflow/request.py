"""What `create` was asked for, as its journal keeps it: whoever finishes or undoes a machine reads it there."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from machine.drivers.base import SETTLED
from machine.model.registries import NONE, Registries

_OPTION = "option "
_MIRRORS = "registry mirrors"
_INSECURE = "insecure registries"
_ID = "id"
_KEYS = "authorized keys"
_TTL = "ttl"
_ENDS = "ends"


@dataclass(frozen=True)
class Request:
    """`options` are the driver's own; `keys` (OpenSSH's public form) may log in besides the one made for the machine.

    `id` is made with the order (Order.id); empty: not ordered yet. `ttl` is as it was typed (8h), `ends` what follows
    from it (RFC 3339, UTC).
    """

    driver: str
    options: dict[str, str] = field(default_factory=dict)
    registries: Registries = NONE
    keys: tuple[str, ...] = ()
    id: str = ""
    ttl: str = ""
    ends: str = ""

    def part_of(self, begun: Request) -> bool:
        """Whether it asks for what was begun, or leaves out some of it: the driver's name is enough.

        What a driver adds to an order when it settles it is nothing that anybody would type again.
        """
        return (
            self.driver == begun.driver
            and self.options.items() <= begun.options.items()
            and self.registries in (NONE, begun.registries)
            and self.ttl in ("", begun.ttl)
        )

    def values(self) -> dict[str, str]:
        """For the journal. Registries are joined by blanks, which none of them can hold."""
        values = {"driver": self.driver, **{f"{_OPTION}{key}": value for key, value in self.options.items()}}
        for key, value in ((_ID, self.id), (_TTL, self.ttl), (_ENDS, self.ends)):
            if value:
                values[key] = value
        if self.keys:
            values[_KEYS] = "\n".join(self.keys)
        if self.registries.mirrors:
            values[_MIRRORS] = " ".join(self.registries.mirrors)
        if self.registries.insecure:
            values[_INSECURE] = " ".join(self.registries.insecure)
        return values

    @classmethod
    def of(cls, values: Mapping[str, str], driver: str) -> Request:
        """From the journal; `driver` when it does not say."""
        return cls(
            values.get("driver", driver),
            {key.removeprefix(_OPTION): value for key, value in values.items() if key.startswith(_OPTION)},
            Registries(
                tuple(values.get(_MIRRORS, "").split()),
                tuple(values.get(_INSECURE, "").split()),
            ),
            tuple(values.get(_KEYS, "").splitlines()),
            values.get(_ID, ""),
            values.get(_TTL, ""),
            values.get(_ENDS, ""),
        )

    def command(self, name: str) -> str:
        """The command line that asks for it."""
        words = ["pymachine", "create", self.driver, name]
        typed = {key: value for key, value in self.options.items() if not key.startswith(SETTLED)}
        for key, value in sorted(typed.items()):
            words += ["-o", f"{key}={value}"]
        if self.ttl:
            words += ["--ttl", self.ttl]
        for mirror in self.registries.mirrors:
            words += ["--registry-mirror", mirror]
        for registry in self.registries.insecure:
            words += ["--insecure-registry", registry]
        return shlex.join(words)
