"""The options of `run` as the body of POST /containers/create, exactly as the docker CLI would send it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hostagent.wire import (
    ContainerCreate,
    EndpointSettings,
    HostConfig,
    NetworkingConfig,
    PortBinding,
    RestartPolicy,
)
from machine.cli import values
from machine.errors import Usage


@dataclass(frozen=True)
class RunOptions:
    """What was written on the command line, unparsed. Empty or None: not given."""

    image: str
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    env_file: tuple[str, ...] = ()
    volume: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    entrypoint: str | None = None
    label: tuple[str, ...] = ()
    hostname: str = ""
    remove: bool = False
    interactive: bool = False
    tty: bool = False
    detach: bool = False
    publish: tuple[str, ...] = ()
    memory: str = ""
    cpus: str = ""
    pids_limit: int | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    read_only: bool = False
    init: bool = False
    stop_signal: str = ""
    stop_timeout: int | None = None
    network: str = ""
    restart: str = "no"


def container_create(
    options: RunOptions,
    environment: Mapping[str, str],
    directory: str,
    console: tuple[int, int] = (0, 0),
) -> ContainerCreate:
    """The request. `environment` and `directory` are the caller's own; `console` is its (height, width).

    Raises Usage for what cannot be parsed or contradicts itself.
    """
    policy, count = values.restart_policy(options.restart)
    if options.remove and policy not in ("", "no"):
        raise Usage("--rm and --restart contradict each other: leave one of them out")
    exposed, _ = values.ports(options.publish)
    _, anonymous = values.volumes(options.volume, directory)
    attached = not options.detach
    return ContainerCreate(
        hostname=options.hostname,
        user=options.user,
        attach_stdin=attached and options.interactive,
        attach_stdout=attached,
        attach_stderr=attached,
        exposed_ports={port: {} for port in sorted(exposed)},
        tty=options.tty,
        open_stdin=options.interactive,
        stdin_once=attached and options.interactive,
        env=values.environment(options.env_file, options.env, environment),
        cmd=list(options.command) or None,
        image=options.image,
        volumes={path: {} for path in anonymous},
        working_dir=options.workdir,
        entrypoint=None if options.entrypoint is None else [options.entrypoint],
        labels=values.pairs(options.label),
        stop_signal=options.stop_signal,
        stop_timeout=options.stop_timeout,
        host_config=_host_config(
            options, directory, console, RestartPolicy(name=policy, maximum_retry_count=count)
        ),
        networking_config=_networking(options.network),
    )


def _host_config(
    options: RunOptions, directory: str, console: tuple[int, int], restart: RestartPolicy
) -> HostConfig:
    _, bindings = values.ports(options.publish)
    binds, _ = values.volumes(options.volume, directory)
    added, dropped = values.capabilities(options.cap_add, options.cap_drop)
    tmpfs = {path: flags for path, _, flags in (word.partition(":") for word in options.tmpfs)}
    return HostConfig(
        binds=binds or None,
        network_mode=options.network or "default",
        port_bindings={
            port: [PortBinding(host_ip=address, host_port=number) for address, number in places]
            for port, places in bindings.items()
        },
        restart_policy=restart,
        auto_remove=options.remove,
        console_size=console,
        cap_add=added or None,
        cap_drop=dropped or None,
        readonly_rootfs=options.read_only,
        tmpfs=tmpfs,
        memory=values.size(options.memory) if options.memory else 0,
        memory_swappiness=-1,
        nano_cpus=values.nano_cpus(options.cpus) if options.cpus else 0,
        oom_kill_disable=False,
        pids_limit=options.pids_limit or 0,
        init=True if options.init else None,
    )


def _networking(network: str) -> NetworkingConfig:
    """The docker CLI names an endpoint for the network of no name only; host, none and bridge need none."""
    return NetworkingConfig(endpoints_config={} if network else {"default": EndpointSettings()})
