"""Where images come from: mirrors and registries that may be spoken to without TLS."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from hostagent.model.reference import DEFAULT_DOMAIN

HUB = "registry-1.docker.io"


@dataclass(frozen=True)
class Endpoint:
    """One base URL to try. `verify` = check the certificate."""

    url: str
    verify: bool = True
    mirror: bool = False


@dataclass(frozen=True)
class RegistryConfig:
    """`mirrors`: URLs tried before Docker Hub. `insecure`: HOST[:PORT] or CIDR; loopback always is."""

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()

    def endpoints(self, domain: str, *, push: bool = False) -> tuple[Endpoint, ...]:
        """In the order to try: mirrors (never for a push), https, and http where that is allowed."""
        found: list[Endpoint] = []
        if domain == DEFAULT_DOMAIN:
            if not push:
                for mirror in self.mirrors:
                    host = mirror.partition("://")[2].partition("/")[0]
                    found.append(Endpoint(mirror.rstrip("/"), not self._is_insecure(host), mirror=True))
            return (*found, Endpoint(f"https://{HUB}"))
        secure = Endpoint(f"https://{domain}", verify=not self._is_insecure(domain))
        if secure.verify:
            return (secure,)
        plain = Endpoint(f"http://{domain}")
        # On loopback there is hardly ever TLS, and some servers let a TLS greeting wait until it times out.
        return (plain, secure) if is_loopback(domain) else (secure, plain)

    def _is_insecure(self, domain: str) -> bool:
        host = host_of(domain)
        if domain in self.insecure or host in self.insecure or is_loopback(domain):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        for entry in self.insecure:
            try:
                if address in ipaddress.ip_network(entry, strict=False):
                    return True
            except ValueError:
                continue  # a name, compared above
        return False


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
