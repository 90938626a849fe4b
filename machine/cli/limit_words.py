"""Limits, devices and rights of `run` as docker users write them. Errors are Usage. Reads no file but a profile."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from hostagent.wire import DeviceMapping, DeviceRequest, ThrottleDevice, Ulimit, WeightDevice
from machine.cli import values
from machine.errors import Usage

# getrlimit(2), without the prefix; docker's names.
_ULIMITS: Final = frozenset(
    {"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc"}
    | {"rss", "rtprio", "rttime", "sigpending", "stack"}
)
_RULE: Final = re.compile(r"[abc] (\d+|\*):(\d+|\*) [rwm]{1,3}")
_UNCONFINED_PATHS: Final = "systempaths=unconfined"


def ulimits(words: Iterable[str]) -> list[Ulimit]:
    """`nofile=1024`, `nofile=1024:2048`, -1 for no limit; sorted by name, the last of a name wins."""
    found: dict[str, Ulimit] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in _ULIMITS:
            raise Usage(f'invalid --ulimit "{word}": there is no limit "{name}" (nofile, nproc, core, …)')
        soft_text, colon, hard_text = text.partition(":")
        try:
            soft = int(soft_text)
            hard = int(hard_text) if colon else soft
        except ValueError:
            raise Usage(f'invalid --ulimit "{word}": write {name}=SOFT[:HARD], whole numbers') from None
        if hard != -1 and (soft > hard or soft == -1):
            raise Usage(f'invalid --ulimit "{word}": the soft limit is above the hard one')
        found[name] = Ulimit(name=name, soft=soft, hard=hard)
    return [found[name] for name in sorted(found)]


def devices(words: Iterable[str]) -> list[DeviceMapping]:
    """`/dev/sda`, `/dev/sda:rw`, `/dev/sda:/dev/xvda`, `/dev/sda:/dev/xvda:r`."""
    found: list[DeviceMapping] = []
    for word in words:
        parts = word.split(":")
        source, inside, access = parts[0], parts[0], "rwm"
        if len(parts) == 3:
            inside, access = parts[1], parts[2]
        elif len(parts) == 2 and _is_access(parts[1]):
            access = parts[1]
        elif len(parts) == 2:
            inside = parts[1]
        if len(parts) > 3 or not source or not inside or not _is_access(access):
            raise Usage(f'invalid --device "{word}": write DEVICE[:PATH INSIDE][:rwm]')
        found.append(DeviceMapping(path_on_host=source, path_in_container=inside, cgroup_permissions=access))
    return found


def _is_access(text: str) -> bool:
    return bool(text) and len(set(text)) == len(text) and set(text) <= set("rwm")


def device_rules(words: Iterable[str]) -> list[str]:
    """`c 1:3 rwm`, `a *:* r`."""
    found = list(words)
    for word in found:
        if not _RULE.fullmatch(word):
            raise Usage(f"invalid --device-cgroup-rule \"{word}\": write for example 'c 1:3 rwm'")
    return found


def weights(words: Iterable[str]) -> list[WeightDevice]:
    """`/dev/sda:200`."""
    found: list[WeightDevice] = []
    for word in words:
        path, number = _of_device(word, "--blkio-weight-device", "WEIGHT")
        if not number.isdecimal() or (int(number) and not 10 <= int(number) <= 1000):
            raise Usage(f'invalid --blkio-weight-device "{word}": the weight is 10 to 1000')
        found.append(WeightDevice(path=path, weight=int(number)))
    return found


def byte_rates(words: Iterable[str], option: str) -> list[ThrottleDevice]:
    """`/dev/sda:1mb`, a second."""
    pairs = [_of_device(word, option, "RATE") for word in words]
    return [ThrottleDevice(path=path, rate=values.size(rate)) for path, rate in pairs]


def operation_rates(words: Iterable[str], option: str) -> list[ThrottleDevice]:
    """`/dev/sda:100`, a second."""
    found: list[ThrottleDevice] = []
    for word in words:
        path, rate = _of_device(word, option, "RATE")
        if not rate.isdecimal():
            raise Usage(f'invalid {option} "{word}": the rate is a whole number of operations a second')
        found.append(ThrottleDevice(path=path, rate=int(rate)))
    return found


def _of_device(word: str, option: str, what: str) -> tuple[str, str]:
    path, colon, number = word.partition(":")
    if not path.startswith("/dev/") or not colon or not number:
        raise Usage(f'invalid {option} "{word}": write /dev/NAME:{what}')
    return path, number


def gpus(text: str) -> list[DeviceRequest]:
    """`all`, `2`, `device=0`, `driver=nvidia,"capabilities=compute,utility"`."""
    if not text:
        return []
    driver, count, ids, options = "", None, None, {}
    capabilities = ["gpu"]
    for piece in next(csv.reader([text])):
        key, equals, value = piece.partition("=")
        match key if equals else "count":
            case "driver":
                driver = value
            case "count":
                count = _count(value if equals else piece, text)
            case "device":
                ids = value.split(",")
            case "capabilities":
                capabilities = [*value.split(","), *([] if "gpu" in value.split(",") else ["gpu"])]
            case "options":
                options = values.pairs(value.split(","))
            case _:
                raise Usage(
                    f'invalid --gpus "{text}": "{key}" is none of driver, count, device, capabilities, options'
                )
    if count is None:
        count = 0 if ids else 1
    return [
        DeviceRequest(
            driver=driver, count=count, device_ids=ids, capabilities=[capabilities], options=options
        )
    ]


def _count(text: str, word: str) -> int:
    if text == "all":
        return -1
    if not text.isdecimal():
        raise Usage(f'invalid --gpus "{word}": a number of GPUs or "all"')
    return int(text)


class Security(NamedTuple):
    """`--security-opt`: what the engine is told, and the paths that it masks else (None: its own list)."""

    options: list[str]
    masked_paths: list[str] | None
    readonly_paths: list[str] | None


def security(words: Iterable[str]) -> Security:
    """`seccomp=FILE` is read here: the file is the laptop's."""
    given = list(words)
    shown = _UNCONFINED_PATHS in given
    options = [_security_option(word) for word in given if word != _UNCONFINED_PATHS]
    return Security(options, [] if shown else None, [] if shown else None)


def _security_option(word: str) -> str:
    key, separator, value = re.match(r"([^=:]*)([=:]?)(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]  # matches anything
    if not separator and key != "no-new-privileges":
        raise Usage(f'invalid --security-opt "{word}": write OPTION=VALUE')
    if key != "seccomp" or value in ("unconfined", "builtin"):
        return word
    try:
        with open(value, encoding="utf-8") as file:
            profile = json.load(file)
    except (OSError, ValueError) as error:
        raise Usage(f"cannot read the seccomp profile {value}: {error}") from error
    return f"seccomp={json.dumps(profile, separators=(',', ':'), ensure_ascii=False)}"
