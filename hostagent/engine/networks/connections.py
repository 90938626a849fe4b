"""`network connect` and `disconnect`: a container joins and leaves networks, stopped or running.

Of a running one the daemon leases, makes the veth and the rules; a child of its shim does the rest inside (design.md,
rule 6). What fails half-way is undone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from hostagent import wire
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.isolation import namespaces
from hostagent.engine.life.bundles import resolv_conf, rewrite
from hostagent.engine.networks import joined, joining
from hostagent.engine.networks.endpoint import Endpoint, Placed, facts, next_name
from hostagent.engine.networks.endpoints import Endpoints
from hostagent.engine.networks.joined import Joined
from hostagent.errors import Conflict, Denied, EngineError, Invalid, NotFound
from hostagent.network import files
from hostagent.network.bridges import Bridges
from hostagent.network.network import PREDEFINED, Network
from hostagent.runtime import protocol

ANSWER_LIMIT = 30.0
"""Seconds for a shim to change a network; far above the milliseconds it takes."""


class Connections:
    """One change of one container at a time: each holds its lock."""

    def __init__(
        self, containers: Containers, bridges: Bridges, endpoints: Endpoints, events: EventBus
    ) -> None:
        self._containers = containers
        self._bridges = bridges
        self._endpoints = endpoints
        self._events = events

    async def connect(self, reference: str, body: wire.NetworkConnect) -> None:
        """Errors in Docker's words; then nothing has changed."""
        container = self._containers.find(body.container)
        async with container.lock:
            network = self._find(reference)
            name = network.name if network else reference
            settings = joining.asked(body.endpoint_config)
            kind = network.driver if network else joined.BRIDGE
            asked = Joined(network.id if network else joined.network_id(name), name, settings, kind)
            self._check_connect(container, network, asked)
            rest = tuple(each for each in joined.of(container) if each.network_id != asked.network_id)
            if container.state.phase != "running":
                self._containers.join(container, (*rest, asked), container.state)
                return
            if len(rest) < len(joined.of(container)):
                raise Denied(f"endpoint with name {container.name} already exists in network {name}")
            await self._join_running(container, network, asked)
            self._tell("connect", container, asked)

    async def disconnect(self, reference: str, body: wire.NetworkDisconnect) -> None:
        """`force` forgives that the network is gone. Errors in Docker's words; then nothing has changed."""
        container = self._containers.find(body.container)
        async with container.lock:
            self._check_removal(container)
            on = joined.of(container)
            asked = next((each for each in on if reference == each.name), None)
            if asked is None:
                found = self._known(reference, body.force)
                asked = next((each for each in on if each.network_id == found), None)
            elif not body.force:
                self._find(reference)
            running = container.state.phase == "running"
            if asked is None:
                where = "network" if running else "the network"
                raise EngineError(f"container {container.id} is not connected to {where} {reference}")
            if asked.name == "host" and running:
                raise Invalid(joining.HOST_STAYS)
            rest = tuple(each for each in on if each is not asked)
            if running and asked.name != "none":
                await self._leave_running(container, asked, rest)
            else:
                self._containers.join(container, rest, container.state)
            self._tell("disconnect", container, asked)

    # -- what can be

    def _find(self, reference: str) -> Network | None:
        """None for a predefined one."""
        return None if reference in PREDEFINED else self._bridges.find(reference)

    def _known(self, reference: str, force: bool) -> str:
        try:
            network = self._find(reference)
        except NotFound:
            if force:
                return ""
            raise
        return network.id if network else joined.network_id(reference)

    def _check_connect(self, container: Container, network: Network | None, asked: Joined) -> None:
        self._check_removal(container)
        mode = container.host.network_mode
        if mode == "host" or namespaces.other(mode) is not None:
            raise Invalid(joining.SHARED_STAYS)
        if asked.name == "host":
            raise Invalid(joining.HOST_STAYS)
        others = [each.name for each in joined.of(container) if each.name != asked.name]
        if others and ("none" in others or asked.name == "none"):
            raise Invalid(joining.NO_NETWORK_BESIDE_NONE)
        joining.check(network, asked.settings)
        if container.config.network_disabled:
            raise Conflict(f"container {container.id} was created without a network: create it anew")

    @staticmethod
    def _check_removal(container: Container) -> None:
        if container.removing or container.gone:
            raise EngineError(
                f"Container {container.id} is marked for removal and cannot be connected or disconnected to the network"
            )

    # -- of a container that runs

    async def _join_running(self, container: Container, network: Network | None, asked: Joined) -> None:
        before = self._endpoints.current(container)
        _check_shim(container)
        placed = self._endpoints.place(container, network, asked, next_name(network, before.placed))
        fds: tuple[int, ...] = ()
        try:
            every = tuple(sorted((*before.placed, placed), key=lambda each: each.order))
            after = Endpoint(every, before.bindings, (), before.host_gateway)
            if after.outward and not before.outward:
                bindings, fds = self._endpoints.bind(container, after.outward)
                after = Endpoint(every, bindings, (), before.host_gateway)
            _, received = await self._ask(container, protocol.AskNetns())
            try:
                placed.bridge.connect(container.id, placed.interface, received[0])
            finally:
                os.close(received[0])
            await self._rewire(
                container, after, [placed], [], placed.network is not None and not before.resolver
            )
        except BaseException:
            for fd in fds:
                os.close(fd)
            self._endpoints.withdraw(container, placed.bridge, alive=True)
            raise
        if fds and container.link:
            container.link.send(protocol.Keep(), fds)
        self._publish(container, before, after)
        self._settle(container, after, (*joined.of(container), asked))
        self._rewrite_files(container, before, after)

    async def _leave_running(self, container: Container, asked: Joined, rest: tuple[Joined, ...]) -> None:
        before = self._endpoints.current(container)
        _check_shim(container)
        leaving = [each for each in before.placed if _is(each, asked)]
        every = tuple(each for each in before.placed if not _is(each, asked))
        after = Endpoint(every, before.bindings if every else (), (), before.host_gateway)
        await self._rewire(container, after, [], [each.interface.name for each in leaving], False)
        self._publish(container, before, after)
        for each in leaving:
            each.bridge.release(container.id)
        self._settle(container, after, rest)
        self._rewrite_files(container, before, after)

    async def _rewire(
        self, container: Container, after: Endpoint, new: Sequence[Placed], removed: list[str], resolver: bool
    ) -> None:
        way, way6 = after.outward, after.outward6
        message = protocol.Rewire(
            interfaces=[
                dataclasses.replace(each.interface, gateway=None, gateway6=None).to_json() for each in new
            ],
            removed=removed,
            gateway=(way.interface.gateway or "") if way else "",
            gateway_interface=way.interface.name if way else "",
            gateway6=(way6.interface.gateway6 or "") if way6 else "",
            gateway6_interface=way6.interface.name if way6 else "",
            resolver=resolver,
        )
        answer, _ = await self._ask(container, message)
        if isinstance(answer, protocol.Rewired) and answer.message:
            raise EngineError(f"cannot change the network of container {container.id[:12]}: {answer.message}")

    async def _ask(
        self, container: Container, message: protocol.Message
    ) -> tuple[protocol.Message, list[int]]:
        """Its shim's answer. EngineError when the container ends before that."""
        link = container.link
        if link is None or container.state.phase != "running":
            raise Conflict(f"container {container.id} is not running")
        answered: asyncio.Future[tuple[protocol.Message, list[int]]] = (
            asyncio.get_running_loop().create_future()
        )
        container.answered = answered
        try:
            link.send(message)
            either: set[asyncio.Future[Any]] = {answered, link.closed}
            await asyncio.wait(either, timeout=ANSWER_LIMIT, return_when=asyncio.FIRST_COMPLETED)
        finally:
            container.answered = None
        if not answered.done():
            raise EngineError(
                f"container {container.id} ended, or its shim did not answer, while its network changed"
            )
        return answered.result()

    def _publish(self, container: Container, before: Endpoint, after: Endpoint) -> None:
        """Ports lead to the network that is the way out."""
        if before.outward is not None and before.outward is not after.outward:
            self._endpoints.unpublish(container, before.outward.bridge)
        if after.outward is not None and after.bindings and before.outward is not after.outward:
            self._endpoints.publish(container, after.outward, after.bindings)

    def _settle(self, container: Container, after: Endpoint, networks: tuple[Joined, ...]) -> None:
        if container.state.phase != "running":
            raise Conflict(f"container {container.id} ended while its network changed")
        self._endpoints.changed(container, after)
        self._containers.join(container, networks, replace(container.state, **facts(after)))

    @staticmethod
    def _rewrite_files(container: Container, before: Endpoint, after: Endpoint) -> None:
        """Its hosts and resolv.conf, in place: they are bound into it."""
        old, new = before.addresses, after.addresses

        def hosts(text: str) -> str:
            gone = tuple(f"{address}\t" for address in old if address not in new)
            kept = (
                [line for line in text.splitlines(keepends=True) if not line.startswith(gone)]
                if gone
                else [text]
            )
            added = [address for address in new if address not in old]
            own = files.own_hosts(container.config.hostname, container.config.domainname, added)
            return "".join((*kept, *own))

        rewrite(f"{container.directory}/hosts", hosts)
        if after.resolver and not before.resolver:
            rewrite(f"{container.directory}/resolv.conf", lambda _: resolv_conf(container, True))

    def _tell(self, action: str, container: Container, on: Joined) -> None:
        attributes = {"container": container.id, "name": on.name, "type": on.driver}
        self._events.publish("network", action, on.network_id, attributes)


def _is(placed: Placed, asked: Joined) -> bool:
    return (placed.network.id if placed.network else joined.network_id(joined.BRIDGE)) == asked.network_id


def _check_shim(container: Container) -> None:
    if container.link is not None and container.link.version < protocol.NETWORKS_SINCE:
        raise Conflict(
            f"the shim of container {container.name} is older than this engine and cannot change networks: "
            "restart the container"
        )
