"""`-v` and `--volumes-from` as text: their parts and modes. Docker's words for what is wrong."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from hostagent.errors import Invalid

PROPAGATIONS = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
_MODES = (
    frozenset({"ro", "rw"}),
    frozenset({"z", "Z"}),
    PROPAGATIONS,
    frozenset({"nocopy"}),
    frozenset({"consistent", "cached", "delegated"}),
)


@dataclass(frozen=True)
class BindText:
    """`source:target:mode`; a source that is no absolute path names a volume, an empty one asks for a new one."""

    raw: str
    source: str
    target: str
    mode: str

    @property
    def volume(self) -> bool:
        return not self.source.startswith("/")

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.mode.split(",")) if self.mode else ()

    @property
    def read_only(self) -> bool:
        return "ro" in self.words

    @property
    def destination(self) -> str:
        """The target, checked and in its shortest form."""
        try:
            return destination("volume" if self.volume else "bind", self.target)
        except Invalid as error:
            raise self.wrong(str(error)) from None

    def wrong(self, reason: str = "") -> Invalid:
        return Invalid(f"invalid volume specification: '{self.raw}'{': ' if reason else ''}{reason}")


def split(raw: str) -> BindText:
    """Raises Invalid."""
    parts = raw.split(":")
    text = BindText(raw, "", "", "")
    if not parts[0] or len(parts) > 3:
        raise text.wrong()
    match parts:
        case [target]:
            return BindText(raw, "", target, "")
        case [source, target]:
            if valid_mode(target):  # "/path:ro": a volume cannot have a mode without a name
                raise text.wrong()
            return BindText(raw, source, target, "")
        case _:
            source, target, mode = parts
            if not valid_mode(mode):
                raise Invalid(f"invalid mode: {mode}")
            return BindText(raw, source, target, mode)


def valid_mode(mode: str) -> bool:
    """Known words, one of each kind at most."""
    if not mode:
        return True
    words = mode.split(",")
    kinds = [next((number for number, kind in enumerate(_MODES) if word in kind), -1) for word in words]
    return -1 not in kinds and len(set(kinds)) == len(kinds)


def destination(kind: str, target: str) -> str:
    """Where a mount of type `kind` goes. Raises Invalid."""
    prefix = f'invalid mount config for type "{kind}": '
    if not target:
        raise Invalid(f"{prefix}field Target must not be empty")
    clean = posixpath.normpath(target)
    if clean.strip("/") == "":
        raise Invalid(f"{prefix}invalid specification: destination can't be '/'")
    if not target.startswith("/"):
        raise Invalid(f"{prefix}invalid mount path: '{target}' mount path must be absolute")
    return f"/{clean.lstrip('/')}"


def split_volumes_from(raw: str) -> tuple[str, bool]:
    """`container[:mode]` -> (container, read only). Propagation and nocopy are the other's own. Raises Invalid."""
    if not raw:
        raise Invalid("volumes-from specification cannot be an empty string")
    container, _, mode = raw.partition(":")
    words = mode.split(",")
    if not valid_mode(mode) or "nocopy" in words or not PROPAGATIONS.isdisjoint(words):
        raise Invalid(f"invalid mode: {mode}")
    return container, "ro" in words
