"""`--security-opt` as the engine takes it, and which seccomp filter, AppArmor profile and masks follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hostagent.engine import oci
from hostagent.engine.container import Container
from hostagent.engine.isolation import apparmor
from hostagent.errors import EngineError, Unsupported
from hostagent.kernel import lsm
from hostagent.wire import HostConfig

UNCONFINED = "unconfined"
BUILTIN = "builtin"
LABEL_DISABLED = "label=disable"

# What Go's strconv.ParseBool takes, and so every boolean in Docker's options.
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


@dataclass(frozen=True)
class SecurityOptions:
    """`seccomp` is "" (the default profile), "unconfined" or the JSON text of a profile; `apparmor` a profile's name or
    "" for the default; `labels` are SELinux's, as given."""

    no_new_privileges: bool = False
    seccomp: str = ""
    apparmor: str = ""
    labels: tuple[str, ...] = ()


def parse(options: Sequence[str] | None) -> SecurityOptions:
    """EngineError in Docker's words for an option that it does not know (dockerd answers 500 there)."""
    no_new_privileges, seccomp, profile, labels = False, "", "", list[str]()
    for option in options or ():
        if option == "no-new-privileges":
            no_new_privileges = True
            continue
        if option == "disable":
            labels.append(option)
            continue
        key, found, value = option.partition("=" if "=" in option else ":")
        if not found:
            raise EngineError(f'invalid --security-opt 1: "{option}"')
        match key:
            case "label":
                labels.append(value)
            case "apparmor":
                profile = value
            case "seccomp":
                seccomp = "" if value == BUILTIN else value
            case "no-new-privileges" if value in _TRUE | _FALSE:
                no_new_privileges = value in _TRUE
            case _:
                raise EngineError(f'invalid --security-opt 2: "{option}"')
    return SecurityOptions(no_new_privileges, seccomp, profile, tuple(labels))


def of(host: HostConfig) -> SecurityOptions:
    """As `parse`, with what `--privileged` switches off."""
    options = parse(host.security_opt)
    if not host.privileged:
        return options
    return SecurityOptions(
        options.no_new_privileges, UNCONFINED, options.apparmor or UNCONFINED, options.labels
    )


def check(host: HostConfig) -> None:
    """At create. Labels mean nothing without SELinux, as with dockerd; with it they are not built."""
    options = parse(host.security_opt)
    if set(options.labels) - {"disable"} and lsm.selinux_enabled():
        raise Unsupported("--security-opt label=... is not supported yet on a host with SELinux")


def apparmor_profile(host: HostConfig) -> str | None:
    """What the first process and every exec run under; None on a host without AppArmor, whatever was asked for."""
    if not lsm.apparmor_enabled():
        return None
    return of(host).apparmor or apparmor.ensure_default()


def shown_profile(container: Container) -> str:
    """`AppArmorProfile` of inspect: what was asked for until the first start tells what the host has."""
    host = container.host
    if lsm.apparmor_enabled():
        return of(host).apparmor or apparmor.PROFILE
    return "" if container.state.started_ns else parse(host.security_opt).apparmor


def completed_options(host: HostConfig) -> list[str] | None:
    """`SecurityOpt` as `inspect` shows it: a container that shares much with the host has no label."""
    given = host.security_opt
    if any(option.partition("=")[0] == "label" for option in given or ()):
        return given
    if host.privileged or host.ipc_mode == "host" or host.pid_mode == "host":
        return [*(given or ()), LABEL_DISABLED]
    return given


def masked_paths(host: HostConfig) -> list[str] | None:
    """Hidden paths: Docker's own unless named; [] hides nothing (`systempaths=unconfined`)."""
    if host.masked_paths is None and not host.privileged:
        return list(oci.MASKED_PATHS)
    return host.masked_paths


def readonly_paths(host: HostConfig) -> list[str] | None:
    """The same for paths that can be read only."""
    if host.readonly_paths is None and not host.privileged:
        return list(oci.READONLY_PATHS)
    return host.readonly_paths
