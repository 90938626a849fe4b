"""Names of containers on users' networks: what a container's resolver answers from memory.

A network's names are collected when somebody asks after a change, so that starting containers costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.networks import joined
from hostagent.errors import EngineError
from hostagent.network import dns
from hostagent.network.bridges import Bridges

Address = IPv4Address | IPv6Address
Answer = Sequence[dns.Record] | None
_KINDS = {dns.A: IPv4Address, dns.AAAA: IPv6Address}


@dataclass
class _Book:
    """One network: addresses by name (in small letters), and the name of each address."""

    addresses: dict[str, list[Address]] = field(default_factory=dict)
    names: dict[Address, str] = field(default_factory=dict)


class Naming:
    """Answers for a container only what the networks know that it is on."""

    def __init__(self, containers: Containers, bridges: Bridges) -> None:
        self._containers = containers
        self._bridges = bridges
        self._books: dict[str, _Book] = {}
        self._version = -1

    def answer(self, container: Container, query: dns.Query) -> Answer:
        """Addresses or a name; empty for a name of ours without such a record, None for what is not ours."""
        if query.kind == dns.PTR:
            return self._reverse(container, dns.reverse_address(query))
        found = self._addresses(container, query.text)
        if found is None:
            return None
        kind = _KINDS.get(query.kind)
        return [address for address in found if kind and isinstance(address, kind)]

    def _addresses(self, container: Container, name: str) -> list[Address] | None:
        for attached in container.state.attached:
            if found := self._linked(container, attached.network_id, name):
                return found
            if found := self._book(attached.network_id).addresses.get(name):
                return found
            # Of several networks one can be meant: NAME.NETWORK.
            bare, dot, network = name.rpartition(".")
            meant = dot and network == self._name(attached.network_id).lower()
            if meant and (found := self._book(attached.network_id).addresses.get(bare)):
                return found
        return None

    def _linked(self, container: Container, network: str, name: str) -> list[Address] | None:
        """By an alias that only this container knows (`--link`)."""
        for each in joined.of(container):
            if each.network_id != network:
                continue
            for link in each.settings.links or ():
                other, _, alias = link.partition(":")
                if (alias or other).lower() != name:
                    continue
                try:
                    attached = joined.attachment(self._containers.find(other), network)
                except EngineError:
                    continue  # it was removed
                if attached:
                    return _of(attached)
        return None

    def _reverse(self, container: Container, address: Address | None) -> Answer:
        if address is None:
            return None
        for attached in container.state.attached:
            if name := self._book(attached.network_id).names.get(address):
                return [(*dns.name_of(name), *dns.name_of(self._name(attached.network_id)))]
        return None

    def _name(self, network: str) -> str:
        try:
            return self._bridges.find(network).name
        except EngineError:
            return ""  # it goes away

    def _book(self, network: str) -> _Book:
        if self._version != self._containers.naming_version:
            self._version = self._containers.naming_version
            self._books.clear()
        if network not in self._books:
            self._books[network] = self._collected(network)
        return self._books[network]

    def _collected(self, network: str) -> _Book:
        book = _Book()
        for container in self._containers.all():
            attached = joined.attachment(container, network)
            if attached is None:
                continue
            addresses = _of(attached)
            settings = next((e.settings for e in joined.of(container) if e.network_id == network), None)
            names = joined.dns_names(container, settings) if settings else [container.name]
            for name in names:
                book.addresses.setdefault(name.lower(), []).extend(addresses)
            for address in addresses:
                book.names[address] = container.name
        return book


def _of(attached: joined.Attached) -> list[Address]:
    return [ip_address(cidr.partition("/")[0]) for cidr in (attached.ip, attached.ip6) if cidr]
