"""What the host's firewall means for the ports that a new container is to publish."""

from __future__ import annotations

import logging

from hostagent.engine.container import Container
from hostagent.engine.networks import ports
from hostagent.engine.networks.endpoints import Endpoints
from hostagent.kernel.nft import NftError
from hostagent.network.firewall import Firewall, Published

log = logging.getLogger(__name__)


class PortWarnings:
    """For people: nothing depends on it."""

    def __init__(self, endpoints: Endpoints, firewall: Firewall) -> None:
        self._endpoints = endpoints
        self._firewall = firewall

    def of(self, container: Container) -> list[str]:
        """None for ports that only the host itself is to reach."""
        wanted = [
            Published(binding.proto, binding.host_port, binding.container_port)
            for binding in ports.parse_bindings(container.config, container.host)
            if not binding.loopback
        ]
        bridge = self._endpoints.publishing_bridge(container) if wanted else None
        if bridge is None:
            return []
        try:
            return self._firewall.warnings(wanted, bridge)
        except NftError as error:
            log.warning("the host's firewall cannot be read: %s", error)
            return []

    def general(self) -> list[str]:
        """For `info`."""
        try:
            return self._firewall.general()
        except NftError as error:
            return [f"WARNING: the host's firewall cannot be read: {error}"]
