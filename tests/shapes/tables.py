"""Answers checked against the field tables in tests/data/api: unknown, missing and ill-typed fields are violations.

A table maps a type's fields to their types. `Name?` may be left out (Go's omitempty); `Name 1.24-1.43` is there only
in those API versions. Types: string, int, bool, any, null, `id` (64 hex digits), `digest` (sha256:...), `time`
(RFC 3339), `=a|b` (one of these), `[T]` (list), `[T]+` (list, never empty), `{T}` (object with any keys), a table's
name; `?` behind a type means that null may stand there instead. `stream T` is a body of many T.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "data" / "api"
Version = tuple[int, int]
OLDEST: Version = (1, 24)
NEWEST: Version = (1, 47)

_KEY = re.compile(r"(?P<name>[ .\w]*?\w)(?P<optional>\?)?(?: (?P<since>1\.\d\d)-(?P<until>1\.\d\d)?)?")
_ID = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_PATH = re.compile(r"(?:/v(1)\.(\d+))?(/[^?]*)")


@dataclass(frozen=True)
class Field:
    """One field of a table, in the versions in which it exists."""

    name: str
    type: str
    optional: bool
    since: Version
    until: Version

    def exists(self, version: Version) -> bool:
        return self.since <= version <= self.until


@dataclass(frozen=True)
class Tables:
    """All types, and the calls: (method, path as segments) -> status -> type."""

    types: dict[str, tuple[Field, ...]]
    calls: tuple[tuple[str, re.Pattern[str], dict[str, str]], ...]

    def answer_type(self, method: str, path: str, status: int) -> str | None:
        """The type of an answer's JSON body; None when it has no table (no JSON there)."""
        if status >= 400:
            return "Error"
        for known, pattern, answers in self.calls:
            if known == method and pattern.fullmatch(path):
                return answers.get(str(status))
        return None


def violations(method: str, target: str, status: int, body: bytes) -> list[str]:
    """What is wrong with the JSON body of an answer. `target` is the request's, with version and query."""
    version, path = split_target(target)
    kind = tables().answer_type(method, path, status)
    if kind is None or not body.strip():
        return []
    streamed = kind.startswith("stream ")
    found: list[str] = []
    for value in _values(body) if streamed else [json.loads(body)]:
        found += check(value, kind.removeprefix("stream "), version)
    return [f"{method} {target} ({status}): {each}" for each in found]


def check(value: object, kind: str, version: Version, at: str = "") -> list[str]:
    """What is wrong with a decoded value of a type."""
    return list(_check(value, kind, version, at))


def split_target(target: str) -> tuple[Version, str]:
    """API version (the newest without one, the nearest to one that nobody has) and path of a request's target."""
    match = _PATH.match(re.sub(r"^http://[^/]*", "", target))
    assert match, target
    version = min(max((1, int(match[2])), OLDEST), NEWEST) if match[2] else NEWEST
    return version, re.sub("/+", "/", match[3])


@cache
def tables() -> Tables:
    """Read once."""
    types: dict[str, tuple[Field, ...]] = {}
    for file in sorted(FOLDER.glob("*.json")):
        content = json.loads(file.read_text())
        if file.stem == "calls":
            calls = tuple(_call(key, answers) for key, answers in content.items())
        else:
            for name, fields in content.items():
                assert name not in types, f"{name} is there twice"
                types[name] = tuple(_field(key, kind) for key, kind in fields.items())
    return Tables(types, calls)


def _call(key: str, answers: dict[str, str]) -> tuple[str, re.Pattern[str], dict[str, str]]:
    method, _, path = key.partition(" ")
    pattern = path.replace("{id}", "[^/]+").replace("{name}", ".+")
    return method, re.compile(pattern), answers


def _field(key: str, kind: str) -> Field:
    match = _KEY.fullmatch(key)
    assert match, f"not a field: {key!r}"
    since, until = (
        (1, int(text[2:])) if text else default
        for text, default in ((match["since"], OLDEST), (match["until"], NEWEST))
    )
    return Field(match["name"], kind, match["optional"] is not None, since, until)


def _values(body: bytes) -> Iterator[object]:
    decoder, text, at = json.JSONDecoder(), body.decode(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        yield value


def _check(value: object, kind: str, version: Version, at: str) -> Iterator[str]:
    here = at or "the answer"
    if kind.endswith("?"):
        if value is not None:
            yield from _check(value, kind[:-1], version, at)
    elif kind.endswith("]+"):
        yield from _check(value, kind[:-1], version, at)
        if value == []:
            yield f"{here} is an empty list"
    elif kind.startswith("["):
        if isinstance(value, list):
            for each in value:
                yield from _check(each, kind[1:-1], version, f"{at}[]")
        else:
            yield f"{here} is {_shown(value)}, not a list"
    elif kind.startswith("{"):
        if isinstance(value, dict):
            for each in value.values():
                yield from _check(each, kind[1:-1], version, f"{at}{{}}")
        else:
            yield f"{here} is {_shown(value)}, not an object"
    elif kind.startswith("="):
        if str(value) not in kind[1:].split("|") or value is None:
            yield f"{here} is {_shown(value)}, not one of {kind[1:]}"
    elif kind in tables().types:
        yield from _check_fields(value, kind, version, at)
    elif not _is(value, kind):
        yield f"{here} is {_shown(value)}, not {kind}"


def _check_fields(value: object, kind: str, version: Version, at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{at or 'the answer'} is {_shown(value)}, not a {kind}"
        return
    fields = {field.name: field for field in tables().types[kind] if field.exists(version)}
    for name in value.keys() - fields.keys():
        yield f"{at}.{name} is unknown in {kind} of API {version[0]}.{version[1]}"
    for name, field in fields.items():
        if name in value:
            yield from _check(value[name], field.type, version, f"{at}.{name}")
        elif not field.optional:
            yield f"{at}.{name} is missing"


def _is(value: object, kind: str) -> bool:
    match kind:
        case "any":
            return True
        case "null":
            return value is None
        case "bool":
            return isinstance(value, bool)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "id":
            return isinstance(value, str) and _ID.fullmatch(value) is not None
        case "digest":
            return isinstance(value, str) and _DIGEST.fullmatch(value) is not None
        case "time":
            return isinstance(value, str) and _TIME.fullmatch(value) is not None
    raise AssertionError(f"no such type: {kind}")


def _shown(value: object) -> str:
    return json.dumps(value)[:80]
