"""Values as docker users write them: sizes, CPUs, environment, ports, volumes, times. Pure; errors are Usage."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from machine.errors import Usage

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?b)?", re.IGNORECASE)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)")
_NANOSECONDS: Final = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_PROTOCOLS: Final = ("tcp", "udp", "sctp")

Ports = tuple[set[str], dict[str, list[tuple[str, str]]]]


def size(text: str) -> int:
    """Bytes: `512m`, `1.5g`, `1000`; powers of 1024 (go-units RAMInBytes)."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise Usage(f'invalid size "{text}": write a number with b, k, m or g, for example 512m')
    power = "bkmgtp".index(match[2].lower() or "b")
    return int(float(match[1]) * 1024**power)


def nano_cpus(text: str) -> int:
    """Billionths of a CPU: `1.5` -> 1500000000."""
    try:
        value = Decimal(text) * 10**9
    except InvalidOperation:
        raise Usage(f'invalid number of CPUs "{text}": write for example 1.5') from None
    if not value.is_finite() or value != int(value) or value < 0:
        raise Usage(f'invalid number of CPUs "{text}": at most nine digits after the point')
    return int(value)


def pairs(words: Iterable[str]) -> dict[str, str]:
    """`a=b` and `a` (empty) as a map; the last one wins."""
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def lines(files: Iterable[str]) -> list[str]:
    """The lines of these files (`--label-file`), without comments and empty ones."""
    found: list[str] = []
    for path in files:
        found += [text.lstrip() for _, text in _read_lines(path)]
    return found


def environment(files: Iterable[str], words: Iterable[str], ours: Mapping[str, str]) -> list[str]:
    """The files' lines, then the words; a name without `=` takes our own value."""
    result: list[str] = []
    for path in files:
        result += _env_file(path, ours)
    for word in words:
        name, equals, _ = word.partition("=")
        if not name:
            raise Usage(f'invalid environment variable "{word}": write NAME=VALUE')
        # A name alone that we do not have takes the image's variable away (API: "without = removes").
        result.append(word if equals or name not in ours else f"{name}={ours[name]}")
    return result


def _read_lines(path: str) -> list[tuple[int, str]]:
    """(number, line without leading blanks) of all but comments and empty ones."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            numbered = enumerate(file.read().splitlines(), 1)
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"cannot read {path}: {error}") from error
    stripped = ((number, line.lstrip()) for number, line in numbered)
    return [(number, text) for number, text in stripped if text and not text.startswith("#")]


def _env_file(path: str, ours: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    for number, text in _read_lines(path):
        name, equals, _ = text.partition("=")
        if not name or re.search(r"\s", name):
            raise Usage(f'{path}, line {number}: "{name}" is no variable name: write NAME=VALUE')
        if equals:
            found.append(text)
        elif name in ours:
            found.append(f"{name}={ours[name]}")
    return found


def ports(published: Iterable[str]) -> Ports:
    """`-p` words as (exposed, bindings by container port: (host address, host port or "")).

    `80`, `8080:80`, `127.0.0.1:8080:80/udp`, `[::1]::80`, ranges `8000-8002:80-82`; a host range on one
    container port stays a range, of which the engine takes a free one.
    """
    exposed: set[str] = set()
    bindings: dict[str, list[tuple[str, str]]] = {}
    for word in published:
        spec, slash, protocol = word.partition("/")
        protocol = protocol.lower() if slash else "tcp"
        if protocol not in _PROTOCOLS:
            raise Usage(f'invalid protocol in -p "{word}": tcp, udp or sctp')
        address, host, inside = _split_port(spec, word)
        first, last = _range(inside, word)
        for number in range(first, last + 1):
            key = f"{number}/{protocol}"
            exposed.add(key)
            bindings.setdefault(key, []).append(
                (address, _host_port(host, number - first, last - first, word))
            )
    return exposed, bindings


def _split_port(spec: str, word: str) -> tuple[str, str, str]:
    bracketed = re.fullmatch(r"\[([0-9a-fA-F:.%\w]*)\]:(.*)", spec)
    if bracketed:
        address, rest = bracketed[1], bracketed[2].split(":")
        parts = [address, *rest] if len(rest) == 2 else []
    else:
        parts = spec.split(":")
        parts = [""] * (3 - len(parts)) + parts
    if len(parts) != 3 or not parts[2]:
        raise Usage(f'invalid port "{word}": write [ADDRESS:][HOST:]CONTAINER[/udp], for example 8080:80')
    return parts[0], parts[1], parts[2]


def _range(text: str, word: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    try:
        low, high = int(first), int(last if dash else first)
    except ValueError:
        raise Usage(f'invalid port "{word}": "{text}" is no number') from None
    if not 0 < low <= high <= 65535:
        raise Usage(f'invalid port "{word}": ports are 1 to 65535, the smaller one first')
    return low, high


def _host_port(host: str, index: int, span: int, word: str) -> str:
    if not host:
        return ""
    if host == "0":
        return "0"
    low, high = _range(host, word)
    if span == 0:
        return host
    if high - low != span:
        raise Usage(f'invalid port "{word}": both ranges must have the same length')
    return str(low + index)


def volumes(words: Iterable[str], directory: str) -> tuple[list[str], list[str]]:
    """`-v` words as (binds, anonymous volumes). A relative source (`./x`) is taken from `directory`."""
    binds: list[str] = []
    anonymous: list[str] = []
    for word in words:
        source, colon, rest = word.partition(":")
        if not colon:
            if not word.startswith("/"):
                raise Usage(
                    f'invalid volume "{word}": write SOURCE:TARGET[:ro], the target as an absolute path'
                )
            anonymous.append(word)
            continue
        if not source or not rest.startswith("/") or rest.count(":") > 1:
            raise Usage(f'invalid volume "{word}": write SOURCE:TARGET[:ro], the target as an absolute path')
        if source.startswith("."):
            source = os.path.normpath(os.path.join(directory, source))
        binds.append(f"{source}:{rest}")
    return binds, anonymous


def restart_policy(text: str) -> tuple[str, int]:
    """`no`, `always`, `unless-stopped`, `on-failure[:N]` as (name, count)."""
    name, colon, count = text.partition(":")
    if name not in ("", "no", "always", "unless-stopped", "on-failure") or (colon and not count.isdigit()):
        raise Usage(f'invalid restart policy "{text}": no, always, unless-stopped, or on-failure[:COUNT]')
    return name, int(count or 0)


def moment(text: str, now: float) -> str:
    """Unix seconds as the API takes them: from `10m` or `1h30m` ago, RFC 3339, or Unix seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return text
    if _is_duration(text):
        return f"{now - nanoseconds(text) / 1e9:.9f}"
    try:
        return f"{datetime.fromisoformat(text).timestamp():.9f}"
    except ValueError:
        raise Usage(f'invalid time "{text}": write 10m, 2026-01-31T12:00:00Z, or Unix seconds') from None


def nanoseconds(text: str) -> int:
    """A duration: `30s`, `1m30s`, `500ms`, `1.5h` (Go's time.ParseDuration); "" is 0."""
    if not text:
        return 0
    if not _is_duration(text):
        raise Usage(f'invalid duration "{text}": write for example 30s, 1m30s or 500ms')
    return sum(int(Decimal(number) * _NANOSECONDS[unit]) for number, unit in _DURATION.findall(text))


def _is_duration(text: str) -> bool:
    return re.fullmatch(rf"(?:{_DURATION.pattern})+", text) is not None


def filters(words: Iterable[str]) -> dict[str, list[str]]:
    """`-f key=value` words as the API's filters."""
    result: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise Usage(f'invalid filter "{word}": write KEY=VALUE, for example status=exited')
        result.setdefault(key.strip().lower(), []).append(value.strip())
    return result


def capabilities(added: Iterable[str], dropped: Iterable[str]) -> tuple[list[str], list[str]]:
    """`--cap-add` and `--cap-drop` in the kernel's spelling, sorted; what is added is not dropped."""
    give = {_capability(word) for word in added}
    take = {_capability(word) for word in dropped}
    return sorted(give), sorted(take - give)


def _capability(word: str) -> str:
    name = word.strip().upper()
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"
