"""`RUN --mount=type=…,target=…` as a mount of an op. Source: the Dockerfile reference ("RUN --mount")."""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Callable
from typing import Literal, cast, get_args

from hostagent.build.ops import Mount, MountKind, Op
from hostagent.dockerfile.suggest import nearest
from hostagent.errors import Invalid

Expand = Callable[[str], str]
Find = Callable[[str], Op]
"""The op of a stage, an image or a context by its name; "" is the build's context."""

_ALIASES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "rw": "readwrite",
}
_FLAGS = frozenset({"readonly", "readwrite", "required"})
_KEYS: dict[str, frozenset[str]] = {
    "type": frozenset(get_args(MountKind)),
    "from": frozenset({"bind", "cache"}),
    "source": frozenset({"bind", "cache", "secret", "ssh"}),
    "target": frozenset(get_args(MountKind)),
    "readonly": frozenset(get_args(MountKind)),
    "readwrite": frozenset(get_args(MountKind)),
    "id": frozenset({"cache", "secret", "ssh"}),
    "sharing": frozenset({"cache"}),
    "required": frozenset({"secret", "ssh"}),
    "size": frozenset({"tmpfs"}),
    "mode": frozenset({"cache", "secret", "ssh"}),
    "uid": frozenset({"cache", "secret", "ssh"}),
    "gid": frozenset({"cache", "secret", "ssh"}),
    "env": frozenset({"secret"}),
}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_SIZE = re.compile(r"(\d+)([kmg]?)(i?b)?", re.IGNORECASE)
_SECRET_MODE = 0o400
_SOCKET_MODE = 0o600
_CACHE_MODE = 0o755


def mount_origin(text: str) -> str:
    """Its `from`, whose value has no variables: what it needs has to be known before anything is resolved."""
    for field in _fields(text):
        key, _, value = field.partition("=")
        if key.lower() == "from":
            if "$" in value:
                raise Invalid("'from' doesn't support variable expansion, define alias stage instead")
            return value
    return ""


def parse_mount(text: str, working_dir: str, expand: Expand, find: Find) -> Mount:
    """Invalid for an option that its type does not have."""
    given = _pairs(text, expand)
    kind = given.get("type", "bind").lower()
    if kind not in get_args(MountKind):
        raise Invalid(f'unsupported mount type "{kind}"{_hint(kind, _KEYS["type"])}')
    for key in given:
        if kind not in _KEYS[key]:
            raise Invalid(f"unexpected key '{key}' for mount type '{kind}'")
    identity, target = _identity(kind, given), _target(kind, given, working_dir)
    uses_files = kind == "bind" or (kind == "cache" and "from" in given)
    return Mount(
        kind=cast("MountKind", kind),
        target=target,
        source=find(given.get("from", "")) if uses_files else None,
        path=posixpath.join("/", given.get("source", "/")) if kind in ("bind", "cache") else "/",
        read_only=_read_only(kind, given),
        identity=identity,
        sharing=_sharing(given.get("sharing", "shared").lower()),
        size=_size(given.get("size", "0")),
        mode=_octal(given.get("mode"), kind),
        uid=_number(given.get("uid", "0"), "uid"),
        gid=_number(given.get("gid", "0"), "gid"),
        required=_truth(given.get("required", "false"), "required"),
        variable=given.get("env"),
    )


def _fields(text: str) -> list[str]:
    return next(csv.reader([text]), [])


def _pairs(text: str, expand: Expand) -> dict[str, str]:
    found: dict[str, str] = {}
    for field in _fields(text):
        key, equals, value = field.partition("=")
        key = _ALIASES.get(key.lower(), key.lower())
        if key not in _KEYS:
            raise Invalid(f"unexpected key '{key}' in '{field}'{_hint(key, _KEYS)}")
        if not equals and key not in _FLAGS:
            raise Invalid(f"invalid field '{field}' must be a key=value pair")
        found[key] = expand(value) if equals else "true"
    return found


def _hint(word: str, known: frozenset[str] | dict[str, frozenset[str]]) -> str:
    close = nearest(word, known)
    return f" (did you mean {close}?)" if close else ""


def _identity(kind: str, given: dict[str, str]) -> str:
    if kind == "cache":
        return given.get("id") or given.get("target", "")
    if kind == "ssh":
        return given.get("id") or given.get("source") or "default"
    if kind != "secret":
        return ""
    if "source" in given and "id" in given:
        raise Invalid("both source and id can't be set")
    found = given.get("id") or given.get("source") or posixpath.basename(given.get("target", ""))
    if not found:
        raise Invalid("invalid secret mount. one of source, target required")
    return found


def _target(kind: str, given: dict[str, str], working_dir: str) -> str:
    target = given.get("target", "")
    if not target:
        if kind == "secret":
            return "" if "env" in given else f"/run/secrets/{posixpath.basename(_identity(kind, given))}"
        if kind == "ssh":
            return ""  # the executor chooses a place, and says where in SSH_AUTH_SOCK
        raise Invalid(f"{kind} mount has no target: write target=/path")
    return posixpath.normpath(posixpath.join("/", working_dir, target))


def _read_only(kind: str, given: dict[str, str]) -> bool:
    if "readwrite" in given:
        return not _truth(given["readwrite"], "readwrite")
    if "readonly" in given:
        return _truth(given["readonly"], "readonly")
    return kind not in ("cache", "tmpfs")


def _truth(text: str, key: str) -> bool:
    if text.lower() not in _TRUTH:
        raise Invalid(f"invalid value for {key}: {text}")
    return _TRUTH[text.lower()]


def _sharing(text: str) -> Literal["shared", "private", "locked"]:
    if text not in ("shared", "private", "locked"):
        raise Invalid(f'unsupported sharing value "{text}": shared, private or locked')
    return cast('Literal["shared", "private", "locked"]', text)


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise Invalid(f"invalid value for size: {text}")
    return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2].lower()]


def _octal(text: str | None, kind: str) -> int | None:
    if text is None:
        return {"secret": _SECRET_MODE, "ssh": _SOCKET_MODE, "cache": _CACHE_MODE}.get(kind)
    try:
        return int(text, 8)
    except ValueError:
        raise Invalid(f"invalid value {text} for mode") from None


def _number(text: str, key: str) -> int:
    if not text.isdecimal():
        raise Invalid(f"invalid value {text} for {key}")
    return int(text)
