"""A create body completed: from the image's configuration, and with the defaults that `inspect` shows."""

from __future__ import annotations

import posixpath

from msgspec.structs import replace

from hostagent.engine import oci, validate
from hostagent.engine.isolation import security
from hostagent.engine.watch import healthcheck
from hostagent.errors import Invalid
from hostagent.model.image import Image
from hostagent.wire import ContainerCreate, HostConfig, RestartPolicy


def complete(body: ContainerCreate, image: Image, container_id: str) -> ContainerCreate:
    """Docker's merge: the container's own words win; an own entrypoint drops the image's command.

    Raises Invalid when neither says what to run.
    """
    base = image.config
    host = body.host_config or HostConfig()
    entrypoint, cmd = body.entrypoint, body.cmd
    if not entrypoint:
        # [""] resets the image's entrypoint; null or [] inherits it (and its command, unless one is given).
        if not cmd:
            cmd = list(base.cmd) if base.cmd is not None else None
        entrypoint = list(base.entrypoint) if base.entrypoint is not None else None
    elif entrypoint == [""]:
        entrypoint = None
    if not entrypoint and not cmd:
        raise Invalid("no command specified")
    env = list(body.env or ())
    own = {entry.partition("=")[0] for entry in env}
    env += [entry for entry in base.env if entry.partition("=")[0] not in own]
    mode = validate.network_mode(host)
    return replace(
        body,
        hostname=body.hostname or ("" if mode == "host" else container_id[:12]),
        entrypoint=entrypoint,
        cmd=cmd,
        env=env,
        user=body.user or base.user,
        working_dir=_clean(body.working_dir or base.working_dir),
        volumes={**{path: {} for path in base.volumes}, **(body.volumes or {})} or None,
        labels={**base.labels, **(body.labels or {})},
        exposed_ports={**{key: {} for key in base.exposed_ports}, **body.exposed_ports, **_bound_ports(host)},
        healthcheck=healthcheck.merge(body.healthcheck, base.healthcheck),
        stop_signal=body.stop_signal or base.stop_signal,
        host_config=_complete_host(host, mode),
    )


def command(config: ContainerCreate) -> tuple[str, ...]:
    """What is executed: entrypoint and command joined."""
    return (*(config.entrypoint or ()), *(config.cmd or ()))


def _clean(path: str) -> str:
    return f"/{posixpath.normpath(path).lstrip('/')}" if path.startswith("/") else path


def _bound_ports(host: HostConfig) -> dict[str, dict[str, str] | None]:
    return {port: {} for port in host.port_bindings or {}}


def _complete_host(host: HostConfig, mode: str) -> HostConfig:
    return replace(
        host,
        network_mode=mode,
        shm_size=host.shm_size or oci.DEFAULT_SHM,
        runtime=host.runtime or "runc",
        restart_policy=host.restart_policy if host.restart_policy.name else RestartPolicy(name="no"),
        pids_limit=host.pids_limit if (host.pids_limit or 0) > 0 else None,
        memory_swap=host.memory_swap or host.memory * 2,
        oom_kill_disable=bool(host.oom_kill_disable),
        security_opt=security.completed_options(host),
        masked_paths=security.masked_paths(host),
        readonly_paths=security.readonly_paths(host),
    )
