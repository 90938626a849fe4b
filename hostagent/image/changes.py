"""`--change` of import and commit: Dockerfile instructions that alter a configuration.

Source: Docker's reference of `docker commit` and of the Dockerfile instructions named in `_INSTRUCTIONS`.
"""

from __future__ import annotations

import posixpath
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from hostagent.errors import Invalid
from hostagent.image import dockerwords
from hostagent.model.duration import parse_duration
from hostagent.model.image import Healthcheck, ImageConfig

_PORT = re.compile(r"(?:\d+(?:-\d+)?:)?(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_FLAG = re.compile(r"--([a-z-]+)=(\S*)\s*")
_MINIMUM = 1_000_000  # nanoseconds, of the times of a health check


@dataclass
class _State:
    """A configuration on its way through the instructions."""

    config: ImageConfig
    cmd_set: bool = False
    """An entrypoint drops the command that it finds, unless it is one of these instructions'."""

    def word(self, text: str) -> str:
        """With quotes and variables resolved."""
        return dockerwords.expand(text, dict(entry.partition("=")[::2] for entry in self.config.env))

    def set(self, **fields: object) -> None:
        self.config = replace(self.config, **fields)  # type: ignore[arg-type]  # names and types are _INSTRUCTIONS' duty


def apply_changes(config: ImageConfig, changes: Sequence[str]) -> ImageConfig:
    """The configuration after all `changes`, each of one line or more. Raises Invalid naming the one that is wrong."""
    state = _State(config)
    for line in _lines(changes):
        word, _, rest = line.partition(" ")
        instruction = _INSTRUCTIONS.get(word.upper())
        if instruction is None:
            raise Invalid(
                f"{word.lower()} is not a valid change command: use one of {', '.join(sorted(_INSTRUCTIONS))}"
            )
        if not rest.strip() and instruction not in (_cmd, _entrypoint):
            raise Invalid(f"{word.upper()} requires at least one argument")
        instruction(state, rest.strip())
    return state.config


def _lines(changes: Sequence[str]) -> list[str]:
    """Logical lines: comments and blank ones go, one that ends in a backslash takes the next along."""
    lines: list[str] = []
    begun = ""
    for line in "\n".join(changes).split("\n"):
        text = line.strip() if not begun else line.rstrip()
        if text.lstrip().startswith("#") or not text.strip():
            continue
        if text.endswith("\\"):
            begun += text[:-1]
            continue
        lines.append(re.sub(r"^(\S+)\s+", r"\1 ", begun + text))
        begun = ""
    if begun.strip():
        lines.append(begun)
    if changes and not lines:
        raise Invalid("file with no instructions: a change is a Dockerfile's line, as CMD or ENV")
    return lines


def _command(state: _State, text: str) -> tuple[str, ...] | None:
    """The exec form (a JSON list of strings) or a line for the shell; None for nothing, in either form."""
    words = _json_list(text)
    if words is None and text:
        return (*(state.config.shell or ("/bin/sh", "-c")), text)
    return words or None


def _json_list(text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return None
    try:
        return tuple(msgspec.json.decode(text, type=list[str]))
    except msgspec.DecodeError:
        return None  # Docker takes what is no list of strings as plain text


def _pairs(state: _State, text: str, what: str) -> list[tuple[str, str]]:
    """`a=b c="d e"`, or the old `a b c` (one pair)."""
    words = dockerwords.split(text)
    if "=" not in words[0]:
        key, *rest = text.split(None, 1)
        if not rest:
            raise Invalid(f"{what} must have two arguments")
        return [(key, state.word(rest[0]))]
    pairs: list[tuple[str, str]] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise Invalid(f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value')
        if not key:
            raise Invalid(f"{what} names can not be blank")
        pairs.append((state.word(key), state.word(value)))
    return pairs


def _cmd(state: _State, text: str) -> None:
    command = _command(state, text)
    state.set(cmd=command)
    state.cmd_set |= command is not None


def _entrypoint(state: _State, text: str) -> None:
    state.set(entrypoint=_command(state, text))
    if not state.cmd_set:
        state.set(cmd=None)


def _env(state: _State, text: str) -> None:
    merged = dict(entry.partition("=")[::2] for entry in state.config.env)
    merged.update(_pairs(state, text, "ENV"))
    state.set(env=tuple(f"{key}={value}" for key, value in merged.items()))


def _label(state: _State, text: str) -> None:
    state.set(labels={**state.config.labels, **dict(_pairs(state, text, "LABEL"))})


def _expose(state: _State, text: str) -> None:
    ports = list(state.config.exposed_ports)
    for word in state.word(text).split():
        match = _PORT.fullmatch(word)
        first = int(match[1]) if match else 0
        last = int(match[2] or first) if match else 0
        if match is None or not 0 < first <= last < 65536:
            raise Invalid(f"invalid containerPort: {word}: write PORT, FIRST-LAST or PORT/udp")
        ports += [f"{port}/{(match[3] or 'tcp').lower()}" for port in range(first, last + 1)]
    state.set(exposed_ports=tuple(dict.fromkeys(ports)))


def _healthcheck(state: _State, text: str) -> None:
    flags: dict[str, str] = {}
    while match := _FLAG.match(text):
        flags[match[1]] = match[2]
        text = text[match.end() :]
    if unknown := flags.keys() - {"interval", "timeout", "start-period", "start-interval", "retries"}:
        raise Invalid(f"unknown flag: {min(unknown)}")
    kind, _, rest = text.partition(" ")
    rest = rest.strip()
    if kind.upper() == "NONE":
        if rest:
            raise Invalid("HEALTHCHECK NONE takes no arguments")
        state.set(healthcheck=Healthcheck(("NONE",)))
        return
    if kind.upper() != "CMD":
        raise Invalid(f'Unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)')
    if not rest:
        raise Invalid("Missing command after HEALTHCHECK CMD")
    words = _json_list(rest)
    retries = flags.get("retries") or "0"
    if not retries.isdigit():
        raise Invalid(f"--retries cannot be {retries}: write a number from 0 on")
    check = Healthcheck(
        test=("CMD", *words) if words is not None else ("CMD-SHELL", rest),
        interval=_time(flags, "interval"),
        timeout=_time(flags, "timeout"),
        start_period=_time(flags, "start-period"),
        start_interval=_time(flags, "start-interval"),
        retries=int(retries),
    )
    state.set(healthcheck=check)


def _time(flags: dict[str, str], name: str) -> int:
    try:
        value = parse_duration(flags.get(name) or "0")
    except ValueError as error:
        raise Invalid(str(error)) from None
    if value and value < _MINIMUM:
        raise Invalid(f'Interval "{name}" cannot be less than 1ms')
    return value


def _onbuild(state: _State, text: str) -> None:
    trigger = text.split(maxsplit=1)[0].upper()
    if trigger == "ONBUILD":
        raise Invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise Invalid(f"{trigger} isn't allowed as an ONBUILD trigger")
    state.set(on_build=(*state.config.on_build, text))


def _stop_signal(state: _State, text: str) -> None:
    name = state.word(text)
    bare = name.upper().removeprefix("SIG")
    known = bare in {each.name.removeprefix("SIG") for each in signal.Signals}
    if not (known or re.fullmatch(r"RTM(IN|AX)([+-]\d+)?", bare) or (name.isdigit() and 0 < int(name) < 65)):
        raise Invalid(f"invalid signal: {name}")
    state.set(stop_signal=name)


def _volume(state: _State, text: str) -> None:
    words = _json_list(text)
    paths = [state.word(path) for path in (words if words is not None else text.split())]
    if "" in (path.strip() for path in paths):
        raise Invalid("VOLUME specified can not be an empty string")
    state.set(volumes=tuple(dict.fromkeys((*state.config.volumes, *paths))))


def _workdir(state: _State, text: str) -> None:
    path = posixpath.join("/", state.config.working_dir, state.word(text))
    state.set(working_dir="/" + posixpath.normpath(path).lstrip("/"))


_INSTRUCTIONS: dict[str, Callable[[_State, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stop_signal,
    "USER": lambda state, text: state.set(user=state.word(text)),
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
