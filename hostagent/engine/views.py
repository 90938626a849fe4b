"""Containers as the API shows them: `inspect` and the list. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hostagent.engine import merge
from hostagent.engine.container import Container
from hostagent.engine.logs import logdrivers
from hostagent.engine.networks import joined, ports
from hostagent.engine.state import State
from hostagent.engine.timestamps import timestamp
from hostagent.wire import (
    Config,
    ContainerInspect,
    ContainerSummary,
    DriverData,
    EndpointSettings,
    NetworkSettings,
    Port,
    PortMap,
    SummaryHostConfig,
    SummaryNetworkSettings,
)


def inspect(container: Container, lowerdirs: tuple[str, ...]) -> ContainerInspect:
    """Answer of GET /containers/{id}/json, without sizes."""
    config, state, directory = container.config, container.state, container.directory
    path, *args = merge.command(config)
    return ContainerInspect(
        id=container.id,
        created=timestamp(container.created_ns),
        path=path,
        args=args,
        state=state.wire(),
        image=container.image_id,
        resolv_conf_path=f"{directory}/resolv.conf",
        hostname_path=f"{directory}/hostname",
        hosts_path=f"{directory}/hosts",
        log_path=logdrivers.path(container) if container.host.log_config.type == "json-file" else "",
        name=f"/{container.name}",
        restart_count=state.restarts,
        driver="overlay2",
        platform="linux",
        exec_ids=[each.id for each in container.execs.values() if each.running] or None,
        host_config=container.host,
        graph_driver=DriverData(
            name="overlay2",
            data={
                "LowerDir": ":".join(lowerdirs),
                "UpperDir": f"{directory}/upper",
                "WorkDir": f"{directory}/work",
                "MergedDir": f"{directory}/rootfs",
            },
        ),
        mounts=container.mounts.points(container.host),
        config=Config(**{name: getattr(config, name) for name in Config.__struct_fields__}),
        network_settings=_network(container),
    )


def summary(
    container: Container,
    named_image: str | None,
    links: Sequence[str] = (),
) -> ContainerSummary:
    """Entry of GET /containers/json; `links` are its names as another's linked one.

    `named_image` = ID of what its image's name means now, which may be another than its own.
    """
    config, state = container.config, container.state
    return ContainerSummary(
        id=container.id,
        names=[f"/{container.name}", *links],
        image=config.image if named_image == container.image_id else container.image_id,
        image_id=container.image_id,
        command=_shown_command(*merge.command(config)),
        created=container.created_ns // 1_000_000_000,
        ports=ports_of(container),
        labels=container.labels,
        state=state.status,
        status=status(state),
        host_config=SummaryHostConfig(
            network_mode=container.host.network_mode, annotations=container.host.annotations
        ),
        network_settings=SummaryNetworkSettings(networks=joined.listed(container)),
        mounts=container.mounts.points(container.host),
    )


def ports_of(container: Container) -> list[Port]:
    """The PORTS column of a list; empty while nothing runs."""
    state = container.state
    return ports.port_list(container.config.exposed_ports, state.ports) if state.running else []


def _shown_command(path: str, *arguments: str) -> str:
    """Words with spaces in quotes, as `docker ps` shows them."""
    words = [f"'{word}'" if " " in word else word for word in arguments]
    return " ".join([path, *words])


def status(state: State) -> str:
    """The phrase of `docker ps`: "Up 3 minutes", "Exited (0) 2 hours ago"."""
    now = time.time_ns()
    match state.phase:
        case "running":
            if state.paused:
                return f"Up {ago(now - state.started_ns)} (Paused)"
            health = f" ({state.health.phrase})" if state.health else ""
            return f"Up {ago(now - state.started_ns)}{health}"
        case "restarting":
            return f"Restarting ({state.exit_code}) {ago(now - state.finished_ns)} ago"
        case "exited":
            return f"Exited ({state.exit_code}) {ago(now - state.finished_ns)} ago"
        case "dead":
            return "Dead"
        case _:
            return "Created"


def ago(nanoseconds: int) -> str:
    """A duration as docker words it."""
    seconds = max(0, nanoseconds // 1_000_000_000)
    if seconds < 1:
        return "Less than a second"
    if seconds == 1:
        return "1 second"
    if seconds < 60:
        return f"{seconds} seconds"
    minutes = seconds // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = (seconds + 1800) // 3600
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"


def _network(container: Container) -> NetworkSettings:
    networks = joined.shown(container)
    state = container.state
    endpoint = networks.get(joined.BRIDGE) or EndpointSettings()
    running = state.phase == "running"
    return NetworkSettings(
        sandbox_id=container.id if running else "",
        sandbox_key=f"/proc/{state.pid}/ns/net" if running else "",
        ports=_ports(container) if running else {},
        endpoint_id=endpoint.endpoint_id,
        gateway=endpoint.gateway,
        ip_address=endpoint.ip_address,
        ip_prefix_len=endpoint.ip_prefix_len,
        mac_address=endpoint.mac_address,
        networks=networks,
    )


def _ports(container: Container) -> PortMap:
    """Only a bridge knows of ports, exposed or published."""
    if not any(each.driver == "bridge" for each in joined.of(container)):
        return {}
    return ports.port_map(container.config.exposed_ports, container.state.ports)
