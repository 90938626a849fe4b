"""Settings of the host that bridges need: forwarding, and how a bridge treats what its containers send.

They are of the network namespace that we are in. Nothing is written that is so already.
"""

from __future__ import annotations

import os
import socket

from hostagent.errors import Unavailable, Unsupported
from hostagent.kernel import netlink

_NET = "/proc/sys/net"
_BRIDGE_NF = ("bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables")


def forward_ipv4(bridge: str) -> None:
    """Packets pass between the bridge and the world. Unavailable when the host does not allow it."""
    _set("ipv4/ip_forward", "1")
    # A packet from 127.0.0.1 to a published port leaves through the bridge, and its answer comes back there.
    _set(f"ipv4/conf/{bridge}/route_localnet", "1")


def no_ipv6(bridge: str) -> None:
    """A bridge without IPv6: what containers send of it is dropped, router advertisements (CVE-2020-13401) and
    packets that want to be forwarded alike."""
    if has_ipv6():
        _set(f"ipv6/conf/{bridge}/disable_ipv6", "1")


def need_ipv6() -> None:
    """Unsupported on a kernel without IPv6."""
    if not has_ipv6():
        raise Unsupported(
            "this host's kernel has no IPv6 (ipv6.disable=1?): create the network without --ipv6"
        )


def has_ipv6() -> bool:
    return os.path.isdir(f"{_NET}/ipv6/conf/all")


def forward_ipv6(bridge: str, kernel: netlink.Socket) -> None:
    """IPv6 packets pass too; no container becomes the host's router (CVE-2020-13401).

    A host that forwards does not listen to routers any more (accept_ra in the kernel's ip-sysctl.rst): interfaces that
    have their default route from one go on listening.
    """
    _set(f"ipv6/conf/{bridge}/accept_ra", "0")
    # Who forwards a packet asks for the neighbour from its link-local address. Nobody else on the bridge has ours:
    # without the search for one (RFC 4862) the first connection from outside does not wait two seconds for it.
    _set(f"ipv6/conf/{bridge}/accept_dad", "0")
    _set(f"ipv6/conf/{bridge}/disable_ipv6", "0")
    if _get("ipv6/conf/all/forwarding") == "1":
        return
    listening = {
        route.link
        for route in kernel.routes(family=socket.AF_INET6)
        if route.advertised and route.destination == "::/0"
    }
    for link in kernel.links():
        if link.index in listening and _get(f"ipv6/conf/{link.name}/accept_ra") == "1":
            _set(f"ipv6/conf/{link.name}/accept_ra", "2")
    _set("ipv6/conf/all/forwarding", "1")


def bridged_packets_meet_tables() -> bool:
    """True with br_netfilter loaded (other engines do that) and on, as it is unless somebody turned it off.

    Then a container's packet to its own published port is translated on the bridge already and goes back
    through the port it came from, which needs that port's hairpin mode. Without, it is routed, and no mode is
    needed.
    """
    return any(os.path.exists(f"{_NET}/{name}") and _get(name) == "1" for name in _BRIDGE_NF)


def _get(name: str) -> str:
    with open(f"{_NET}/{name}") as setting:
        return setting.read().strip()


def _set(name: str, value: str) -> None:
    """A name below /proc/sys/net, where an interface's name may have dots."""
    try:
        if _get(name) == value:
            return
        with open(f"{_NET}/{name}", "w") as setting:
            setting.write(f"{value}\n")
    except OSError as error:
        raise Unavailable(
            f"cannot set net.{name.replace('/', '.')}={value}: {error.strerror}: "
            "the bridge network needs it; set it on the host and start the engine again"
        ) from error
