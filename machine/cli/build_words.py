"""Options of `pymachine build` as docker users write them, as parameters of POST /build. Errors are Usage."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hostagent.wire import encode
from machine.cli import limit_words, values
from machine.errors import Usage

SECRET_LIMIT: Final = 500 * 1024
"""Bytes; BuildKit's own."""
_OUTPUTS: Final = ("image", "docker", "oci", "tar", "local")


@dataclass(frozen=True)
class Output:
    """Where the result goes besides the engine's images. `destination` "-" is stdout."""

    kind: str
    destination: str = ""
    name: str = ""


def arguments(words: Iterable[str]) -> str:
    """`--build-arg`: a name alone takes our own value, and says nothing when we have none."""
    found: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise Usage(f'invalid --build-arg "{word}": write NAME=VALUE')
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return json.dumps(found)


def labels(words: Iterable[str]) -> str:
    return json.dumps(values.pairs(words))


def hosts(words: Iterable[str]) -> list[str]:
    """`name:address` and `name=address`."""
    found = []
    for word in words:
        name, separator, address = word.partition("=") if "=" in word else word.partition(":")
        if not (name and separator and address):
            raise Usage(f'invalid --add-host "{word}": write NAME:ADDRESS')
        found.append(f"{name}:{address.strip('[]')}")
    return found


def ulimits(words: Sequence[str]) -> str | None:
    return encode(limit_words.ulimits(words)).decode() if words else None


def cache_from(words: Iterable[str]) -> str | None:
    """`image` and `type=registry,ref=image`, several with commas in one word."""
    found: list[str] = []
    for word in words:
        if "=" not in word:
            found += [each for each in word.split(",") if each]
            continue
        fields = _fields("--cache-from", word)
        if fields.get("type", "registry") != "registry" or not fields.get("ref"):
            raise Usage(f'invalid --cache-from "{word}": images serve as cache here: type=registry,ref=IMAGE')
        found.append(fields["ref"])
    return json.dumps(found) if found else None


def memory_swap(text: str | None) -> int | None:
    """Bytes; -1 for no limit."""
    return None if text is None else -1 if text == "-1" else values.size(text)


def secrets(words: Iterable[str]) -> dict[str, bytes]:
    """`id=NAME,src=FILE`, `id=NAME,env=VARIABLE`; with neither, the variable of that name, else the file."""
    found: dict[str, bytes] = {}
    for word in words:
        fields = _fields("--secret", word)
        name = fields.get("id", "")
        if unknown := fields.keys() - {"id", "src", "source", "env", "type"}:
            raise Usage(f'invalid --secret "{word}": "{min(unknown)}" is no key of it: id, src, env, type')
        kind = fields.get("type", "")
        if not name or kind not in ("", "file", "env"):
            raise Usage(f'invalid --secret "{word}": write id=NAME,src=FILE or id=NAME,env=VARIABLE')
        path = fields.get("src") or fields.get("source") or ""
        variable = fields.get("env", "")
        if kind == "env" and not variable:
            path, variable = "", path or name
        if not path and not variable:
            path, variable = ("", name) if name in os.environ and kind != "file" else (name, "")
        found[name] = _variable(word, variable) if variable else _file(word, path)
        if len(found[name]) > SECRET_LIMIT:
            raise Usage(f'invalid --secret "{word}": it is larger than {SECRET_LIMIT // 1024} KB')
    return found


def output(word: str | None) -> Output:
    """`type=local|tar|oci|docker|image[,dest=PATH][,name=NAME]`; a path alone is type=local, `-` a tar on stdout."""
    if word is None:
        return Output("image")
    if word == "-":
        return Output("tar", "-")
    if "=" not in word:
        return Output("local", word)
    fields = _fields("-o", word)
    kind = fields.get("type", "")
    if kind not in _OUTPUTS:
        raise Usage(f'invalid -o "{word}": type is one of {", ".join(_OUTPUTS)}')
    if unknown := fields.keys() - {"type", "dest", "name"}:
        raise Usage(f'invalid -o "{word}": "{min(unknown)}" is no key of it: type, dest, name')
    destination = fields.get("dest", "")
    if kind == "local" and destination in ("", "-"):
        raise Usage(f'invalid -o "{word}": type=local needs dest=DIRECTORY')
    if kind == "image" and destination:
        raise Usage(f'invalid -o "{word}": an image stays on the machine: leave dest out, or use type=oci')
    if kind in ("tar", "oci") and not destination:
        destination = "-"
    return Output(kind, destination, fields.get("name", ""))


def _fields(option: str, word: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for field in next(csv.reader([word])):
        key, equals, value = field.partition("=")
        if not equals:
            raise Usage(f'invalid {option} "{word}": write KEY=VALUE,…')
        found[key.strip().lower()] = value
    return found


def _variable(word: str, name: str) -> bytes:
    if name not in os.environ:
        raise Usage(f'invalid --secret "{word}": there is no environment variable {name}')
    return os.environb[os.fsencode(name)]


def _file(word: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(SECRET_LIMIT + 1)
    except OSError as error:
        raise Usage(f'invalid --secret "{word}": cannot read {path}: {error.strerror}') from error
