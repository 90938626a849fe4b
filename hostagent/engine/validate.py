"""What a create body may ask for: wrong values are Invalid, what Docker knows and we lack is Unsupported, by name.

Nothing is accepted and ignored: a field of HostConfig is built, or in the tables below.
"""

from __future__ import annotations

import re
import signal

from hostagent.engine.isolation import devices, namespaces, security
from hostagent.engine.watch import healthcheck
from hostagent.errors import EngineError, Invalid, Unsupported
from hostagent.wire import ContainerCreate, HostConfig, RestartPolicy

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")
_SIGNALS = {
    **{each.removeprefix("SIG"): number.value for each, number in signal.Signals.__members__.items()},
    **{f"RTMIN+{offset}": signal.SIGRTMIN + offset for offset in range(1, 16)},
    **{f"RTMAX-{offset}": signal.SIGRTMAX - offset for offset in range(1, 15)},
}
"""Names without SIG, as `kill -l` lists them."""
_NUMBERS = frozenset(_SIGNALS.values())

# field -> the option a person typed
UNSUPPORTED = {
    "cgroup": "HostConfig.Cgroup",
}
RUNTIMES = ("", "runc", "io.containerd.runc.v2")
"""What stands for the one runtime that there is."""


def check(body: ContainerCreate, host: HostConfig) -> None:
    """Raise for the first thing in the body that cannot be done; changes nothing."""
    namespaces.check(body, host)
    for entry in body.env or ():
        if not entry.partition("=")[0]:
            raise Invalid(f"invalid environment variable: {entry}")
    for field, option in UNSUPPORTED.items():
        if getattr(host, field):
            raise Unsupported(f"{option} is not supported yet (HostConfig field {field!r})")
    if body.working_dir and not body.working_dir.startswith("/"):
        raise Invalid(
            f"the working directory '{body.working_dir}' is invalid, it needs to be an absolute path"
        )
    healthcheck.check(body.healthcheck)
    _check_restart(host)
    _check_cgroup_parent(host.cgroup_parent)
    security.check(host)
    devices.check(host)
    _check_platform(host)
    signal_number(body.stop_signal or "SIGTERM")


def check_name(name: str) -> str:
    """The name without its slash. Invalid in Docker's words."""
    bare = name.removeprefix("/")
    if not NAME.match(bare):
        raise Invalid(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return bare


def network_mode(host: HostConfig) -> str:
    """bridge for the default; whether a user's network is there is found out by joining.py."""
    return "bridge" if host.network_mode in ("", "default") else host.network_mode


def signal_number(text: str) -> int:
    """`9`, `KILL`, `SIGKILL`, `SIGRTMIN+3` -> number. Invalid in Docker's words."""
    if text.isdigit():
        number = int(text)
        if number in _NUMBERS:
            return number
        if number:
            raise Invalid(f"the linux daemon does not support signal {number}")
        raise Invalid(f"invalid signal: {text}")
    try:
        return _SIGNALS[text.upper().removeprefix("SIG")]
    except KeyError:
        raise Invalid(f"invalid signal: {text}") from None


def _check_platform(host: HostConfig) -> None:
    """What other systems or runtimes would have."""
    if host.isolation.lower() not in ("", "default"):
        raise EngineError(f"Invalid isolation: \"{host.isolation}\" - linux only supports 'default'")
    if host.runtime not in RUNTIMES:
        raise Invalid(f"unknown or invalid runtime name: {host.runtime}")
    if "" in host.annotations:
        raise Invalid("invalid Annotations: the empty string is not permitted as an annotation key")
    for key in host.storage_opt:
        if key.lower() == "size":
            raise EngineError(
                "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
            )
        raise EngineError(f"Unknown option {key}")


def _check_cgroup_parent(path: str) -> None:
    if path.endswith(".slice") and "/" not in path:
        raise Invalid(
            f"cgroup-parent {path} is a systemd slice, and this engine makes cgroups by path (driver cgroupfs): "
            f"give the path of a cgroup, such as /{path}"
        )
    if path and any(part in {"", ".", ".."} for part in path.strip("/").split("/")):
        raise Invalid(
            f"invalid cgroup-parent {path!r}: it must name a cgroup below the root, without . and .."
        )


def check_restart(policy: RestartPolicy) -> None:
    """In Docker's words."""
    match policy.name:
        case "" | "always" | "unless-stopped" | "no":
            if policy.maximum_retry_count:
                negative = " and cannot be negative" if policy.maximum_retry_count < 0 else ""
                raise Invalid(
                    "invalid restart policy: maximum retry count can only be used with 'on-failure'"
                    + negative
                )
        case "on-failure":
            if policy.maximum_retry_count < 0:
                raise Invalid("invalid restart policy: maximum retry count cannot be negative")
        case _:
            raise Invalid(
                f"invalid restart policy: unknown policy '{policy.name}'; "
                "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
            )


def _check_restart(host: HostConfig) -> None:
    if host.auto_remove and host.restart_policy.name not in ("", "no"):
        raise Invalid("can't create 'AutoRemove' container with restart policy")
    check_restart(host.restart_policy)
