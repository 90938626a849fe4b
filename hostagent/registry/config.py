"""Where images come from: mirrors, certificates, and registries that may be spoken to without TLS."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from hostagent.errors import Invalid
from hostagent.model.reference import DEFAULT_DOMAIN

HUB = "registry-1.docker.io"
CERTIFICATES = "/etc/docker/certs.d"


@dataclass(frozen=True)
class Endpoint:
    """One base URL to try. `verify` = check the certificate; `certificates` = a directory with some, or ""."""

    url: str
    verify: bool = True
    mirror: bool = False
    certificates: str = ""


@dataclass(frozen=True)
class RegistryConfig:
    """`mirrors`: URLs tried before Docker Hub, or before HOST when written HOST=URL.

    `insecure`: HOST[:PORT] or CIDR; loopback always is, unless `certificates` (as Docker's certs.d) has its own.
    """

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    certificates: str = CERTIFICATES

    def endpoints(self, domain: str, *, push: bool = False) -> tuple[Endpoint, ...]:
        """In the order to try: mirrors (never for a push), https, and http where that is allowed.

        May ask the resolver for the addresses of `domain`.
        """
        mirrors = () if push else tuple(self._mirror(url) for url in self.mirrors_of(domain))
        return (*mirrors, *self._own(domain))

    def mirrors_of(self, domain: str) -> list[str]:
        """URLs, in their order."""
        return [url for host, url in map(_split_mirror, self.mirrors) if host == domain]

    def __post_init__(self) -> None:
        for entry in self.mirrors:
            _split_mirror(entry)

    def _mirror(self, url: str) -> Endpoint:
        host = url.partition("://")[2].partition("/")[0]
        return Endpoint(
            url.rstrip("/"), not self._is_insecure(host), mirror=True, certificates=self._directory(host)
        )

    def _own(self, domain: str) -> tuple[Endpoint, ...]:
        if domain == DEFAULT_DOMAIN:
            return (Endpoint(f"https://{HUB}", certificates=self._directory(domain)),)
        certificates = self._directory(domain)
        secure = Endpoint(f"https://{domain}", not self._is_insecure(domain), certificates=certificates)
        if secure.verify:
            return (secure,)
        plain = Endpoint(f"http://{domain}")
        # On loopback there is hardly ever TLS, and some servers let a TLS greeting wait until it times out.
        return (plain, secure) if is_loopback(domain) else (secure, plain)

    def _directory(self, host: str) -> str:
        path = f"{self.certificates}/{host}"
        return path if self.certificates and os.path.isdir(path) else ""

    def _is_insecure(self, domain: str) -> bool:
        host = host_of(domain)
        if domain in self.insecure or host in self.insecure:
            return True
        if is_loopback(domain):
            return not self._directory(domain)
        networks = [network for entry in self.insecure if (network := _network(entry)) is not None]
        return bool(networks) and any(
            address in network for address in _addresses(host) for network in networks
        )


def _split_mirror(entry: str) -> tuple[str, str]:
    """The host that it is a mirror of, and its URL. Raises Invalid."""
    host, equals, url = entry.partition("=")
    if not equals or "://" in host:
        host, url = DEFAULT_DOMAIN, entry
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.netloc
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise Invalid(
            f"invalid mirror: {entry!r}: write https://HOST[:PORT], or REGISTRY=https://HOST[:PORT]"
        )
    return host, url


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(entry: str) -> _Network | None:
    """None = a name, which is compared as it is."""
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Of a name or an address; none when it cannot be resolved."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]


def host_of(domain: str) -> str:
    """A registry's name without its port, and an IPv6 address without brackets."""
    host, _, port = domain.rpartition(":")
    return (host if host and port.isdigit() else domain).strip("[]")


def is_loopback(domain: str) -> bool:
    """Whether it is this host's own; Docker too speaks plain http to those unasked."""
    host = host_of(domain)
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
