"""The resolvers of all containers on users' networks, on sockets that their shims hand over."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from ipaddress import ip_address

from hostagent.engine.container import Container
from hostagent.engine.life.bundles import host_resolv_conf
from hostagent.engine.networks.naming import Naming
from hostagent.errors import EngineError
from hostagent.network import files
from hostagent.network.bridges import Bridges
from hostagent.network.resolver import Resolver


class Resolvers:
    """By container. What no container has for a name goes to the servers of `--dns`, or of the host."""

    def __init__(self, naming: Naming, bridges: Bridges) -> None:
        self._naming = naming
        self._bridges = bridges
        self._serving: dict[str, Resolver] = {}
        self._held: dict[str, Sequence[int]] = {}
        """Sockets of containers that have not started yet: what is asked before their networks are known waits."""

    def take(self, container: Container, sockets: Sequence[int]) -> None:
        """Its sockets, ours to close."""
        self.stop(container)
        self._held[container.id] = sockets
        if container.state.phase == "running":
            self.serve(container)

    def serve(self, container: Container) -> None:
        """It runs: answer, if it has given sockets."""
        if sockets := self._held.pop(container.id, None):
            udp, tcp = sockets
            lookup = partial(self._naming.answer, container)
            self._serving[container.id] = Resolver(udp, tcp, lookup, partial(self._servers, container))

    def stop(self, container: Container) -> None:
        """It does not run any more."""
        for fd in self._held.pop(container.id, ()):
            os.close(fd)
        if resolver := self._serving.pop(container.id, None):
            resolver.close()

    def close(self) -> None:
        """The daemon ends; questions wait for the next one."""
        for resolver in self._serving.values():
            resolver.close()
        self._serving.clear()

    def _servers(self, container: Container) -> Sequence[str]:
        """None for a container that is on internal networks only: names would be a way out (CVE-2024-29018)."""
        if not container.state.ip and all(
            self._internal(each.network_id) for each in container.state.attached
        ):
            return ()
        if own := container.host.dns:
            # A loopback address of `--dns` is the container's own, where we are not.
            return [server for server in own if not ip_address(server.partition("%")[0]).is_loopback]
        return files.name_servers(host_resolv_conf()) or files.FALLBACK_SERVERS

    def _internal(self, network: str) -> bool:
        try:
            return self._bridges.find(network).internal
        except EngineError:
            return True  # it goes away
