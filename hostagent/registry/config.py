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
        if self._is_insecure(domain):
            return (Endpoint(f"https://{domain}", verify=False), Endpoint(f"http://{domain}"))
        return (Endpoint(f"https://{domain}"),)

    def _is_insecure(self, domain: str) -> bool:
        if domain in self.insecure:
            return True
        host = domain.rpartition(":")[0] if domain.rpartition(":")[2].isdigit() else domain
        host = host.strip("[]")
        if host == "localhost" or host in self.insecure:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if address.is_loopback:
            return True
        for entry in self.insecure:
            try:
                if address in ipaddress.ip_network(entry, strict=False):
                    return True
            except ValueError:
                continue  # a name, compared above
        return False
