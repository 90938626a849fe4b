"""`--link`: another container of the default bridge under an alias, by /etc/hosts and environment variables.

In a container's row a link is `<ID of the other>:<alias>`, so that it survives the other's renaming.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.isolation.namespaces import other
from hostagent.errors import EngineError, Invalid, NotFound
from hostagent.network.network import PREDEFINED
from hostagent.wire import HostConfig

Find = Callable[[str], Container]


def parse(text: str) -> tuple[str, str]:
    """(container, alias) of `name`, `name:alias`, or `/name:/self/alias` as `inspect` writes it."""
    if not text:
        raise EngineError("empty string specified for links")
    name, found, alias = text.partition(":")
    if ":" in alias:
        raise EngineError(f"bad format for links: {text}")
    if not found:
        return text, text
    if name.startswith("/"):
        return name[1:], alias.rpartition("/")[2]
    return name, alias


def settle(host: HostConfig, find: Find) -> HostConfig:
    """With IDs. Invalid when there is no such container, or it shares the host's network.

    On a user's network they mean nothing, as in dockerd: there a client gives them with the network's settings.
    """
    if not host.links:
        return host
    if host.network_mode not in ("", "default", *PREDEFINED) and other(host.network_mode) is None:
        return replace(host, links=None)
    settled = []
    for text in host.links:
        name, alias = parse(text)
        child = _known(name, find)
        while following := other(child.host.network_mode):
            child = _known(following, find)
        if child.host.network_mode == "host":
            raise Invalid(
                "conflicting options: host type networking can't be used with links. This would result in undefined "
                "behavior"
            )
        settled.append(f"{child.id}:{alias}")
    return replace(host, links=settled)


def _known(name: str, find: Find) -> Container:
    try:
        return find(name)
    except NotFound as error:
        # Not NotFound: at create, docker clients take that for a missing image and pull it.
        raise Invalid(f"could not get container for {name}: {error}") from None


class Links:
    """Who is linked to whom."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    def shown(self, container: Container) -> list[str] | None:
        """As `inspect` has them: /child:/parent/alias."""
        found = [
            f"/{child.name}:/{container.name}/{alias}" for alias, child in self._children(container) if child
        ]
        return found or None

    def names(self) -> dict[str, list[str]]:
        """The further names, /parent/alias, that containers (by ID) have in lists."""
        found: dict[str, list[str]] = {}
        for parent in self._containers.linking():
            for alias, child in self._children(parent):
                if child:
                    found.setdefault(child.id, []).append(f"/{parent.name}/{alias}")
        return found

    def remove(self, reference: str) -> None:
        """Undo the link of name `parent/alias`; both containers stay, with what they know of each other."""
        name, _, alias = reference.removeprefix("/").rpartition("/")
        if not name:
            raise EngineError("Conflict, cannot remove the default link name of the container")
        try:
            parent = self._containers.find(name)
        except NotFound:
            raise NotFound(f"No such container: {reference}") from None
        links = [link for link in parent.host.links or () if link.partition(":")[2] != alias]
        if len(links) == len(parent.host.links or ()):
            raise NotFound(f"No such container: {reference}")
        host = replace(parent.host, links=links)
        self._containers.configure(parent, replace(parent.config, host_config=host))

    def hosts(self, container: Container) -> list[tuple[str, str]]:
        """(names, address) for /etc/hosts. Raises what dockerd says when a linked container cannot be reached."""
        found = []
        for alias, child in self._reachable(container):
            names = dict.fromkeys((alias, child.config.hostname, child.name))
            found.append((" ".join(names), _address(child)))
        return found

    def environment(self, container: Container) -> list[str]:
        """ALIAS_PORT=... and so on, for each link."""
        return [
            line
            for alias, child in self._reachable(container)
            for line in variables(
                f"/{container.name}/{alias}",
                _address(child),
                child.config.exposed_ports,
                child.config.env or (),
            )
        ]

    def moved(self, child: Container, address: str) -> None:
        """`child` has a new address: running containers that are linked to it learn it in their /etc/hosts."""
        for parent in self._containers.linking():
            for alias, linked in self._children(parent):
                if linked is child and parent.state.running:
                    _rewrite(f"{parent.directory}/hosts", alias, address)

    def _children(self, parent: Container) -> Iterator[tuple[str, Container | None]]:
        for link in parent.host.links or ():
            child, _, alias = link.partition(":")
            try:
                yield alias, self._containers.find(child)
            except NotFound:
                yield alias, None

    def _reachable(self, container: Container) -> Iterator[tuple[str, Container]]:
        if container.host.network_mode != "bridge":
            return  # legacy links are the default bridge's
        for alias, child in self._children(container):
            if child is None or not child.state.running:
                name = f"/{child.name}" if child else "a removed container"
                raise EngineError(
                    f"Cannot link to a non running container: {name} AS /{container.name}/{alias}"
                )
            if child.host.network_mode != "bridge":
                raise EngineError(
                    f"Cannot link to /{child.name}, as it does not belong to the default network"
                )
            yield alias, child


def _address(container: Container) -> str:
    return container.state.ip.partition("/")[0]


def variables(name: str, address: str, ports: Mapping[str, object], env: Sequence[str]) -> list[str]:
    """What a linked container's environment says of it (Docker's "legacy container links"); `name` is /parent/alias."""
    alias = name.rpartition("/")[2].upper().replace("-", "_")
    exposed = sorted((_port(text) for text in ports), key=lambda port: (port[0], port[1] != "tcp"))
    lines = []
    if exposed:
        number, protocol = exposed[0]
        lines.append(f"{alias}_PORT={protocol}://{address}:{number}")
    lines += _ranges(alias, address, exposed)
    for number, protocol in exposed:
        prefix = f"{alias}_PORT_{number}_{protocol.upper()}"
        lines += [
            f"{prefix}={protocol}://{address}:{number}",
            f"{prefix}_ADDR={address}",
            f"{prefix}_PORT={number}",
            f"{prefix}_PROTO={protocol}",
        ]
    lines.append(f"{alias}_NAME={name}")
    for entry in env:
        key, given, value = entry.partition("=")
        if given and key not in ("HOME", "PATH"):
            lines.append(f"{alias}_ENV_{key}={value}")
    return lines


def _ranges(alias: str, address: str, ports: Sequence[tuple[int, str]]) -> Iterator[str]:
    """Ports that follow on each other, three or more, are told as a range too."""
    start = 0
    while start < len(ports):
        end = start
        while end + 1 < len(ports) and ports[end + 1][0] <= ports[start][0] + (end + 1 - start):
            end += 1
        if end <= start + 1:
            start += 1
            continue
        (first, protocol), (last, last_protocol) = ports[start], ports[end]
        prefix, ending = (
            f"{alias}_PORT_{first}_{protocol.upper()}",
            f"{alias}_PORT_{first}_{last_protocol.upper()}",
        )
        yield f"{prefix}_START={protocol}://{address}:{first}"
        yield f"{prefix}_ADDR={address}"
        yield f"{prefix}_PROTO={protocol}"
        yield f"{prefix}_PORT_START={first}"
        yield f"{ending}_END={last_protocol}://{address}:{last}"
        yield f"{ending}_PORT_END={last}"
        start = end + 1


def _port(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number.partition("-")[0]), protocol or "tcp"


def _rewrite(path: str, alias: str, address: str) -> None:
    """In place: the file is bound into a container, and a renamed one would not be seen there."""
    with open(path, "r+", encoding="utf-8") as file:
        old = file.read()
        new = re.sub(rf"(?m)^\S+\t{re.escape(alias)}(?=\s|\.|$)", f"{address}\t{alias}", old)
        if new != old:
            file.seek(0)
            file.write(new)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
