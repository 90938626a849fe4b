"""`--change` of import: Dockerfile instructions that alter a configuration.

Source: Docker's reference of `docker import` and of the Dockerfile instructions named in `_INSTRUCTIONS`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from hostagent.errors import Invalid
from hostagent.model.image import ImageConfig

_PORT = re.compile(r"(\d{1,5})(?:/(tcp|udp|sctp))?")


def apply_changes(config: ImageConfig, changes: Sequence[str]) -> ImageConfig:
    """The configuration after all `changes`. Raises Invalid naming the one that is wrong."""
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        instruction = _INSTRUCTIONS.get(word.upper())
        if instruction is None:
            raise Invalid(
                f"{word or 'an empty line'} is not a valid change: use one of {', '.join(sorted(_INSTRUCTIONS))}"
            )
        if not rest.strip():
            raise Invalid(f"{word.upper()} requires at least one argument")
        config = instruction(config, rest.strip())
    return config


def _command(text: str) -> tuple[str, ...]:
    """The exec form (a JSON list of strings) or a line for the shell."""
    if text.startswith("["):
        try:
            return tuple(msgspec.json.decode(text, type=list[str]))
        except msgspec.DecodeError:
            pass  # Docker takes what is no list of strings as a line for the shell
    return ("/bin/sh", "-c", text)


def _pairs(text: str, what: str) -> list[tuple[str, str]]:
    """`a=b c="d e"`, or the old `a b c` (one pair)."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Invalid(f"{what} {text}: {error}") from error
    if "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value:
            raise Invalid(f"{what} must have two arguments")
        return [(key, value.strip())]
    pairs = [word.partition("=") for word in words]
    if not all(key and equals for key, equals, _ in pairs):
        raise Invalid(f"{what} {text}: write NAME=VALUE")
    return [(key, value) for key, _, value in pairs]


def _env(config: ImageConfig, text: str) -> ImageConfig:
    merged = dict(entry.partition("=")[::2] for entry in config.env)
    merged.update(_pairs(text, "ENV"))
    return replace(config, env=tuple(f"{key}={value}" for key, value in merged.items()))


def _label(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, labels={**config.labels, **dict(_pairs(text, "LABEL"))})


def _expose(config: ImageConfig, text: str) -> ImageConfig:
    ports = list(config.exposed_ports)
    for word in text.split():
        match = _PORT.fullmatch(word)
        if match is None or not 0 < int(match[1]) < 65536:
            raise Invalid(f"EXPOSE {word}: write PORT or PORT/tcp")
        ports.append(f"{match[1]}/{match[2] or 'tcp'}")
    return replace(config, exposed_ports=tuple(dict.fromkeys(ports)))


def _volume(config: ImageConfig, text: str) -> ImageConfig:
    try:
        paths = msgspec.json.decode(text, type=list[str]) if text.startswith("[") else text.split()
    except msgspec.DecodeError as error:
        raise Invalid(f"VOLUME {text}: {error}") from error
    return replace(config, volumes=tuple(dict.fromkeys((*config.volumes, *paths))))


_INSTRUCTIONS: dict[str, Callable[[ImageConfig, str], ImageConfig]] = {
    "CMD": lambda config, text: replace(config, cmd=_command(text)),
    "ENTRYPOINT": lambda config, text: replace(config, entrypoint=_command(text)),
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "ONBUILD": lambda config, text: replace(config, on_build=(*config.on_build, text)),
    "STOPSIGNAL": lambda config, text: replace(config, stop_signal=text),
    "USER": lambda config, text: replace(config, user=text),
    "VOLUME": _volume,
    "WORKDIR": lambda config, text: replace(config, working_dir=text),
}
