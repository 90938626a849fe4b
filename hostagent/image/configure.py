"""Dockerfile instructions that change an image's configuration and no files, for builds and for `--change`.

Source: the Dockerfile reference; OCI image-spec 1.1, config.md.
"""

from __future__ import annotations

import posixpath
import re
import signal
from collections.abc import Callable
from dataclasses import replace

from hostagent.dockerfile import instructions as it
from hostagent.dockerfile.words import Expanded
from hostagent.errors import Invalid
from hostagent.model.duration import parse_duration
from hostagent.model.image import Healthcheck, ImageConfig

Expand = Callable[[str], Expanded]
"""Resolves the variables of a text."""

SHELL = ("/bin/sh", "-c")
_PORT = re.compile(r"(?:\d+(?:-\d+)?:)?(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_SHORTEST = 1_000_000  # nanoseconds, of the times of a health check


def configure(config: ImageConfig, step: it.Instruction, expand: Expand) -> ImageConfig:
    """The configuration after one instruction, which is one of `CHANGING`. Invalid for a bad value."""
    return _CHANGES[type(step)](config, step, expand)


def command(step: it.Command, config: ImageConfig) -> tuple[str, ...]:
    """What is executed: the exec form as it is, a text by the image's shell."""
    return (*(config.shell or SHELL), *step.arguments) if step.shell else step.arguments


def pairs(step: it.Env | it.Label, expand: Expand) -> list[tuple[str, str]]:
    """Names and values, resolved with what was set before the instruction."""
    return [(expand(pair.name).text, expand(pair.value).text) for pair in step.pairs]


def working_directory(config: ImageConfig, path: str) -> str:
    """Absolute: a relative one goes on from the one before."""
    joined = posixpath.join("/", config.working_dir, path)
    return "/" + posixpath.normpath(joined).lstrip("/")


def _cmd(config: ImageConfig, step: it.Cmd, expand: Expand) -> ImageConfig:
    return replace(config, cmd=command(step, config))


def _entrypoint(config: ImageConfig, step: it.Entrypoint, expand: Expand) -> ImageConfig:
    return replace(config, entrypoint=command(step, config) if step.arguments else None)


def _env(config: ImageConfig, step: it.Env, expand: Expand) -> ImageConfig:
    merged = dict(entry.partition("=")[::2] for entry in config.env)
    merged.update(pairs(step, expand))
    return replace(config, env=tuple(f"{name}={value}" for name, value in merged.items()))


def _label(config: ImageConfig, step: it.Label, expand: Expand) -> ImageConfig:
    return replace(config, labels={**config.labels, **dict(pairs(step, expand))})


def _expose(config: ImageConfig, step: it.Expose, expand: Expand) -> ImageConfig:
    ports = list(config.exposed_ports)
    for word in (part for text in step.words for part in expand(text).words):
        match = _PORT.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if match is None or not 0 < first <= last < 65536:
            raise Invalid(f"invalid containerPort: {word}: write PORT, FIRST-LAST or PORT/udp")
        ports += [f"{port}/{(match[3] or 'tcp').lower()}" for port in range(first, last + 1)]
    return replace(config, exposed_ports=tuple(dict.fromkeys(ports)))


def _healthcheck(config: ImageConfig, step: it.Healthcheck, expand: Expand) -> ImageConfig:
    check = Healthcheck(
        test=step.test,
        interval=_time("interval", step.interval),
        timeout=_time("timeout", step.timeout),
        start_period=_time("start-period", step.start_period),
        start_interval=_time("start-interval", step.start_interval),
        retries=step.retries,
    )
    return replace(config, healthcheck=check)


def _time(name: str, text: str) -> int:
    try:
        value = parse_duration(text or "0")
    except ValueError as error:
        raise Invalid(str(error)) from None
    if value and value < _SHORTEST:
        raise Invalid(f'Interval "{name}" cannot be less than 1ms')
    return value


def _on_build(config: ImageConfig, step: it.OnBuild, expand: Expand) -> ImageConfig:
    return replace(config, on_build=(*config.on_build, step.trigger))


def _shell(config: ImageConfig, step: it.Shell, expand: Expand) -> ImageConfig:
    return replace(config, shell=step.words)


def _stop_signal(config: ImageConfig, step: it.StopSignal, expand: Expand) -> ImageConfig:
    name = expand(step.value).text
    bare = name.upper().removeprefix("SIG")
    known = bare in {each.name.removeprefix("SIG") for each in signal.Signals}
    if not (known or re.fullmatch(r"RTM(IN|AX)([+-]\d+)?", bare) or (name.isdigit() and 0 < int(name) < 65)):
        raise Invalid(f"invalid signal: {name}")
    return replace(config, stop_signal=name)


def _user(config: ImageConfig, step: it.User, expand: Expand) -> ImageConfig:
    return replace(config, user=expand(step.value).text)


def _volume(config: ImageConfig, step: it.Volume, expand: Expand) -> ImageConfig:
    paths = [expand(word).text for word in step.words]
    if not all(path.strip() for path in paths):
        raise Invalid("VOLUME specified can not be an empty string")
    return replace(config, volumes=tuple(dict.fromkeys((*config.volumes, *paths))))


def _workdir(config: ImageConfig, step: it.Workdir, expand: Expand) -> ImageConfig:
    return replace(config, working_dir=working_directory(config, expand(step.value).text))


_CHANGES: dict[type[it.Instruction], Callable[..., ImageConfig]] = {
    it.Cmd: _cmd,
    it.Entrypoint: _entrypoint,
    it.Env: _env,
    it.Expose: _expose,
    it.Healthcheck: _healthcheck,
    it.Label: _label,
    it.OnBuild: _on_build,
    it.Shell: _shell,
    it.StopSignal: _stop_signal,
    it.User: _user,
    it.Volume: _volume,
    it.Workdir: _workdir,
}
CHANGING = tuple(_CHANGES)
