"""The engine: everything that the API asks for about containers, joined from its parts."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from msgspec.structs import replace

from hostagent import wire
from hostagent.engine import attach, events, filters, listing, merge, names, validate, views
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.execs import Execs
from hostagent.engine.files import mountspec
from hostagent.engine.files.containervolumes import ContainerVolumes
from hostagent.engine.isolation import capabilities, namespaces, remap, security
from hostagent.engine.isolation.remap import Remap
from hostagent.engine.life import waiting
from hostagent.engine.life.bundles import Bundles
from hostagent.engine.life.lifecycle import Lifecycle
from hostagent.engine.limits.limits import Limits
from hostagent.engine.logs.logs import Logs
from hostagent.engine.networks import extrahosts, joining, ports
from hostagent.engine.networks.links import Links
from hostagent.engine.networks.links import settle as settle_links
from hostagent.engine.networks.portwarnings import PortWarnings
from hostagent.engine.system import System
from hostagent.errors import Conflict, EngineError, Invalid, NotFound, NotModified
from hostagent.image.config import parse_platform
from hostagent.image.service import ImageService
from hostagent.image.trees import remove_tree
from hostagent.model.image import Image
from hostagent.model.stream import AttachOptions, Hijacked, LogOptions, Upgrade
from hostagent.network.bridges import Bridges
from hostagent.registry.manifest import serves
from hostagent.runtime import protocol

Filters = dict[str, list[str]]
CONDITIONS = ("not-running", "next-exit", "removed")


class Engine:
    """Facade for hostagent.api (its protocol `ports.Engine`); made in the composition root."""

    def __init__(
        self,
        containers: Containers,
        lifecycle: Lifecycle,
        execs: Execs,
        images: ImageService,
        events: EventBus,
        system: System,
        limits: Limits,
        links: Links,
        remapping: Remap | None,
        volumes: ContainerVolumes,
        logs: Logs,
        bridges: Bridges,
        port_warnings: PortWarnings,
    ) -> None:
        self._containers = containers
        self._lifecycle = lifecycle
        self._execs = execs
        self._images = images
        self._events = events
        self._system = system
        self._limits = limits
        self._links = links
        self._remap = remapping
        self._volumes = volumes
        self._logs = logs
        self._bridges = bridges
        self._port_warnings = port_warnings

    # -- create, show

    async def create(
        self, body: wire.ContainerCreate, name: str | None, platform: str | None
    ) -> wire.ContainerCreated:
        """Check everything, then make the directory and the row. Docker's words for what is wrong."""
        if not body.image:
            raise Invalid("no image was given: the body's Image is empty")
        if name is not None:
            name = validate.check_name(name)
            self._containers.check_free(name)
        host = body.host_config or wire.HostConfig()
        mode = validate.network_mode(host)
        validate.check(body, host)
        remap.check(self._remap, host)
        checked = self._limits.check(host)
        host = namespaces.settle(checked.host, self._containers.find)
        host = settle_links(host, self._containers.find)
        body = replace(body, host_config=host)
        networks = joining.settle(self._bridges, body, mode)
        self._volumes.check(body, host)
        mountspec.check_sources(host)
        extrahosts.check(host.extra_hosts or ())
        capabilities.effective(host.cap_add, host.cap_drop)
        ports.parse_bindings(body, host)
        image = self._images.resolve(body.image)
        _check_platform(body.image, image, platform)
        body = replace(body, host_config=replace(host, log_config=self._logs.complete(host.log_config)))
        container_id = secrets.token_hex(32)
        config = merge.complete(body, image, container_id)
        container = Container(
            id=container_id,
            name=name or names.generate(self._taken),
            created_ns=time.time_ns(),
            image_id=image.id,
            config=config,
            directory=self._containers.directory(container_id),
            networks=networks,
        )
        Bundles.make(container.directory)
        try:
            await self._volumes.claim(container, self._images.lowerdirs(image))
            self._volumes.commit(container, self._containers.add)
        except BaseException:
            remove_tree(os.fsencode(container.directory))
            await self._volumes.abandon(container)
            raise
        self._events.publish("container", "create", container.id, container.event_attributes())
        warnings = [*checked.warnings, *self._port_warnings.of(container)]
        if mode == "host" and host.port_bindings:
            warnings.append("Published ports are discarded when using host network mode")
        return wire.ContainerCreated(id=container.id, warnings=warnings)

    def _taken(self, name: str) -> bool:
        try:
            self._containers.check_free(name)
        except Conflict:
            return True
        return False

    def list(self, all: bool, limit: int, filters_: Filters) -> list[wire.ContainerSummary]:
        """Newest first; running ones only, unless asked otherwise."""
        lookups = filters.Lookups(self._containers.find, self._image_id)
        found = filters.select(self._containers.all(), all, limit, filters_, lookups)
        named = {name: self._image_id(name) for name in {each.config.image for each in found}}
        links = self._links.names()
        return [listing.entry(each, named[each.config.image], links.get(each.id, ())) for each in found]

    def _image_id(self, name: str) -> str | None:
        try:
            return self._images.resolve(name).id
        except EngineError:
            return None

    def inspect(self, ref: str) -> wire.ContainerInspect:
        container = self._containers.find(ref)
        lowerdirs = self._images.lowerdirs(self._images.resolve(container.image_id))
        host = replace(container.host, links=self._links.shown(container))
        donor = namespaces.network_of(container, self._containers.find)
        files = donor.directory
        shown = views.inspect(container, lowerdirs)
        if container.state.started_ns:
            names = {"hostname": donor.config.hostname, "domainname": donor.config.domainname}
            shown = replace(shown, config=replace(shown.config, **names))
        return replace(
            shown,
            host_config=host,
            resolv_conf_path=f"{files}/resolv.conf",
            hostname_path=f"{files}/hostname",
            hosts_path=f"{files}/hosts",
            app_armor_profile=security.shown_profile(container),
        )

    # -- the life

    async def start(self, ref: str, detach_keys: str) -> None:
        await self._lifecycle.start(self._containers.find(ref))

    async def stop(self, ref: str, signal: str | None, timeout: int | None) -> None:
        container = self._containers.find(ref)
        try:
            await self._lifecycle.stop(container, signal, timeout)
        except NotModified:
            raise
        except EngineError as error:
            error.args = (f"cannot stop container: {ref}: {error}",)
            raise

    async def restart(self, ref: str, signal: str | None, timeout: int | None) -> None:
        container = self._containers.find(ref)
        try:
            await self._lifecycle.restart(container, signal, timeout)
        except EngineError as error:
            error.args = (f"Cannot restart container {ref}: {error}",)
            raise

    async def kill(self, ref: str, signal: str | None) -> None:
        await self._lifecycle.kill(self._containers.find(ref), signal or "")

    async def remove(self, ref: str, force: bool, volumes: bool, link: bool) -> None:
        """With its anonymous `volumes`, where no other container has them."""
        if link:
            self._links.remove(ref)
            return
        await self._lifecycle.remove(self._containers.find(ref), force, volumes)

    async def rename(self, ref: str, name: str) -> None:
        container = self._containers.find(ref)
        old = container.name
        if name.removeprefix("/") == old:
            raise Invalid("Renaming a container with the same name as its current name")
        try:
            bare = validate.check_name(f"/{name.removeprefix('/')}")
            self._containers.rename(container, bare)
        except (Conflict, Invalid) as error:
            raise type(error)(f"Error when allocating new name: {error}") from None
        self._events.publish(
            "container", "rename", container.id, container.event_attributes(oldName=f"/{old}")
        )

    async def resize(self, ref: str, height: int, width: int) -> None:
        container = self._containers.find(ref)
        if container.begun is not None:
            # `docker run -it` asks for its size while the container still starts.
            await asyncio.wait({container.begun}, timeout=10)
        if container.state.phase != "running" or container.link is None:
            raise Conflict(f"container {container.id} is not running")
        container.link.send(protocol.Resize(height, width))
        attributes = container.event_attributes(height=str(height), width=str(width))
        self._events.publish("container", "resize", container.id, attributes)

    async def wait(
        self, ref: str, condition: str, take: Callable[[], Awaitable[Hijacked]]
    ) -> wire.WaitResult | None:
        """The result when there is one already. Otherwise the client's connection is taken, its head answered, and None
        returned: the container's shim answers it at the exit, whatever becomes of this daemon."""
        container = self._containers.find(ref)
        if condition not in CONDITIONS:
            raise Invalid(f'invalid condition: "{condition}"')
        if condition == "not-running" and not container.state.running and container.begun is None:
            return wire.WaitResult(status_code=container.state.exit_code)
        hijacked = await take()
        message = protocol.Await(removed=condition == "removed")
        if shim := container.shim:
            shim.send(message, [hijacked.fd])
        else:
            container.pending_waits.append((message, hijacked.fd))
        return None

    def waiter(self, ref: str, condition: str) -> Awaitable[wire.WaitResult]:
        """Checked now; the awaitable is done at not-running, next-exit or removed."""
        container = self._containers.find(ref)
        if condition not in CONDITIONS:
            raise Invalid(f'invalid condition: "{condition}"')
        if condition == "removed":
            future = waiting.removal_future(container)
        elif condition == "next-exit" or container.state.running or container.begun is not None:
            future = waiting.exit_future(container)
        else:
            future = asyncio.get_running_loop().create_future()
            future.set_result(container.state.exit_code)
        return self._wait(future)

    @staticmethod
    async def _wait(future: asyncio.Future[int]) -> wire.WaitResult:
        return wire.WaitResult(status_code=await future)

    # -- streams

    def logs(self, ref: str, options: LogOptions) -> tuple[bool, AsyncIterator[bytes]]:
        container = self._containers.find(ref)
        if not (options.stdout or options.stderr):
            raise Invalid("Bad parameters: you must choose at least one stream")
        return container.config.tty, self._logs.read(container, options)

    async def attach(self, ref: str, options: AttachOptions, upgrade: Upgrade) -> None:
        container = self._containers.find(ref)
        if container.state.paused:
            raise Conflict(f"container {ref} is paused, unpause the container before attach")
        await attach.attach(container, options, upgrade, self._logs)
        self._events.publish("container", "attach", container.id, container.event_attributes())

    async def exec_create(self, ref: str, config: wire.ExecCreate) -> str:
        return self._execs.create(ref, config)

    async def exec_start(
        self,
        exec_id: str,
        detach: bool,
        tty: bool,
        console_size: tuple[int, int] | None,
        upgrade: Upgrade | None,
    ) -> None:
        await self._execs.start(exec_id, detach, tty, console_size, upgrade)

    def exec_inspect(self, exec_id: str) -> wire.ExecInspect:
        return self._execs.inspect(exec_id)

    async def exec_resize(self, exec_id: str, height: int, width: int) -> None:
        await self._execs.resize(exec_id, height, width)

    # -- the host

    def version(self) -> wire.Version:
        return self._system.version()

    def info(self) -> wire.Info:
        images = len(self._images.list(False, {}))
        answer = self._system.info(self._containers.all(), images, self._events.listeners)
        if self._remap is None:
            return answer
        return replace(answer, security_options=[*(answer.security_options or ()), "name=userns"])

    def events(self, since: int | None, until: int | None, filters_: Filters) -> AsyncIterator[wire.Event]:
        events.check(filters_)
        return self._events.listen(since, until, filters_)


def _check_platform(name: str, image: Image, wanted: str | None) -> None:
    """NotFound, so that clients pull, when the image is for another platform than `wanted` ("linux/arm64")."""
    if wanted and not serves(image.platform, platform := parse_platform(wanted)):
        raise NotFound(
            f"image with reference {name} was found but does not match the specified platform: "
            f"wanted {platform}, actual: {image.platform}"
        )
