"""What a volume is, and the rules of the local driver for names and options.

Source: Docker's reference of `docker volume create`, and what dockerd 26.1 answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hostagent.errors import Invalid, NotFound

ANONYMOUS_LABEL = "com.docker.volume.anonymous"
LOCAL = "local"

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")
_ALLOWED = "[a-zA-Z0-9][a-zA-Z0-9_.-]"
_SIZE = re.compile(r"\d+(\.\d+)? ?([kKmMgGtTpP]?[iI]?[bB]?)\Z")
_NEEDS = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
_OPTIONS = frozenset({*_NEEDS, "size"})


@dataclass(frozen=True)
class Volume:
    """A volume of the local driver. `labels` and `options` are None when none were given, which the API tells apart."""

    name: str
    created_ns: int
    labels: Mapping[str, str] | None = None
    options: Mapping[str, str] | None = None

    @property
    def anonymous(self) -> bool:
        """Made without a name; `volume prune` takes only these by itself."""
        return ANONYMOUS_LABEL in (self.labels or {})

    @property
    def filesystem(self) -> Filesystem | None:
        """What its options say to mount; None for a plain directory."""
        options = self.options or {}
        if not options.get("type") and not options.get("device"):
            return None
        return Filesystem(options.get("type", ""), options.get("device", ""), options.get("o", ""))


@dataclass(frozen=True)
class Filesystem:
    """The options `type`, `device` and `o` of a volume: arguments of mount(8)."""

    kind: str
    device: str
    options: str

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word for word in self.options.split(",") if word)

    @property
    def bind(self) -> bool:
        """A directory of the host's, under another name."""
        return "bind" in self.words or "rbind" in self.words


def check_name(name: str) -> None:
    """Invalid in Docker's words."""
    if len(name) == 1:
        raise Invalid(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not _NAME.match(name):
        raise Invalid(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only "{_ALLOWED}" are '
            "allowed. If you intended to pass a host directory, use absolute path"
        )


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Invalid in Docker's words. Sizes need project quotas, which this engine does not set."""
    for option in sorted(options):
        if option not in _OPTIONS:
            raise Invalid(f'create {name}: invalid option: "{option}"')
    size = options.get("size")
    if size is not None:
        if not _SIZE.match(size):
            raise Invalid(f"create {name}: invalid size: '{size}'")
        if size.strip("0. bBiIkKmMgGtTpP"):
            raise Invalid(f"create {name}: quota size requested but no quota support")
    for option, needed in _NEEDS.items():
        if option in options:
            for other in needed:
                if other not in options:
                    raise Invalid(f'create {name}: missing required option: "{other}"')


def check_driver(name: str, driver: str) -> None:
    """NotFound in Docker's words for a driver that is not there; "" is the local one."""
    if driver not in ("", LOCAL):
        raise NotFound(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found')
