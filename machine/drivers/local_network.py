"""A bridge with NAT for the local machines of one home, in the network namespace that we run in.

All state is in the kernel: the bridge's address is the subnet, its ports are the running machines. So nothing
has to be repaired after a reboot, and two namespaces (or two homes) never meet. Callers hold the driver's lock.
"""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from machine.errors import Conflict, MachineError
from machine.store.lock import locked

# Read and written by processes: in another namespace it is another file.
_FORWARDING: Final = "/proc/sys/net/ipv4/ip_forward"
_PREFIX: Final = "pym-"
# Held by whoever chooses, of whatever home: the driver's lock is one home's.
_CHOOSING: Final = Path("/run/pymachine-local/subnet")
_WAS_OFF: Final = "forwarding was off"


class _Link(msgspec.Struct, frozen=True):
    ifname: str = ""


class _Address(msgspec.Struct, frozen=True):
    local: str = ""
    prefixlen: int = 0
    family: str = ""


class _LinkAddresses(msgspec.Struct, frozen=True):
    addr_info: list[_Address] = []


class _Route(msgspec.Struct, frozen=True):
    dst: str = ""


@dataclass(frozen=True)
class Bridge:
    """`tag` (8 hexadecimal digits) tells the bridges of different homes apart.

    `inside`: a file of the network namespace that it is in, when that is not ours.
    """

    tag: str
    inside: Path | None = None

    @property
    def name(self) -> str:
        return f"{_PREFIX}{self.tag}"

    @property
    def table(self) -> str:
        return f"pymachine_local_{self.tag}"

    def subnet(self) -> ipaddress.IPv4Interface | None:
        """The bridge's address with its network; None when the bridge is not there."""
        answer = self._run(["ip", "-j", "-4", "addr", "show", "dev", self.name], check=False)
        for link in msgspec.json.decode(answer or b"[]", type=list[_LinkAddresses]):
            for address in link.addr_info:
                return ipaddress.IPv4Interface(f"{address.local}/{address.prefixlen}")
        return None

    def up(self, preferred: str | None) -> ipaddress.IPv4Interface:
        """Makes or repairs bridge and NAT. `preferred`: the subnet that the machines had, if still free."""
        gateway = self.subnet()
        if gateway is None:
            with locked(_CHOOSING, "another command is choosing a subnet: try again", patience=60.0):
                network = choose_subnet(self._routes(), preferred)
                gateway = ipaddress.IPv4Interface(f"{network[1]}/{network.prefixlen}")
                if not self._exists():
                    self._run(["ip", "link", "add", self.name, "type", "bridge"])
                # A bridge that is down has no route yet, by which others see that the subnet is taken.
                self._run(["ip", "link", "set", self.name, "up"])
                self._run(["ip", "addr", "add", str(gateway), "dev", self.name])
        self._run(["ip", "link", "set", self.name, "up"])
        self._nat(gateway.network)
        return gateway

    def attach(self, port: str, pid: int, address: str) -> None:
        """A veth pair: `port` on the bridge, eth0 (down) in the network namespace of `pid`."""
        self.detach(port)
        peer = ["peer", "name", "eth0", "address", hardware_address(address), "netns", str(pid)]
        self._run(["ip", "link", "add", port, "type", "veth", *peer])
        self._run(["ip", "link", "set", port, "master", self.name, "up"])

    def detach(self, port: str) -> None:
        """Removes a pair at once (the kernel would do it some time after its namespace has gone)."""
        self._run(["ip", "link", "del", port], check=False)

    def down_if_unused(self) -> None:
        """After the last machine: no bridge, no table, forwarding as it was."""
        if self._links(["ip", "-j", "link", "show", "master", self.name]):
            return
        self._run(["ip", "link", "del", self.name], check=False)
        table = self._run(["nft", "list", "table", "ip", self.table], check=False)
        if table:
            self._run(["nft", "delete", "table", "ip", self.table], check=False)
        others = [
            name
            for name in self._links(["ip", "-j", "link", "show", "type", "bridge"])
            if name.startswith(_PREFIX)
        ]
        if _WAS_OFF.encode() in table and not others:
            self._run(["tee", _FORWARDING], stdin=b"0\n")

    def _exists(self) -> bool:
        return self.name in self._links(["ip", "-j", "link", "show", "type", "bridge"])

    def _nat(self, network: ipaddress.IPv4Network) -> None:
        """Our own table, in one transaction. It never overrides another firewall's forward policy."""
        off = self._run(["cat", _FORWARDING]).strip() == b"0"
        was_off = off or _WAS_OFF.encode() in self._run(
            ["nft", "list", "table", "ip", self.table], check=False
        )
        note = _WAS_OFF if was_off else "forwarding was on"
        rules = (
            f"table ip {self.table}\n"
            f"delete table ip {self.table}\n"
            f'table ip {self.table} {{\n  comment "{note}"\n'
            "  chain out {\n    type nat hook postrouting priority srcnat; policy accept;\n"
            f'    ip saddr {network} oifname != "{self.name}" masquerade\n  }}\n}}\n'
        )
        self._run(["nft", "-f", "-"], stdin=rules.encode())
        if off:
            self._run(["tee", _FORWARDING], stdin=b"1\n")

    def _routes(self) -> list[str]:
        answer = self._run(["ip", "-j", "-4", "route", "show"])
        return [route.dst for route in msgspec.json.decode(answer or b"[]", type=list[_Route])]

    def _links(self, command: list[str]) -> list[str]:
        answer = self._run(command, check=False)
        return [link.ifname for link in msgspec.json.decode(answer or b"[]", type=list[_Link]) if link.ifname]

    def _run(self, command: list[str], *, stdin: bytes = b"", check: bool = True) -> bytes:
        enter = [] if self.inside is None else ["nsenter", f"--net={self.inside}"]
        done = subprocess.run([*enter, *command], input=stdin, capture_output=True, timeout=30, check=False)
        if done.returncode != 0:
            if check:
                said = done.stderr.decode(errors="replace").strip()
                raise MachineError(f"`{' '.join(command)}` failed: {said or done.returncode}")
            return b""
        return done.stdout


def hardware_address(address: str) -> str:
    """The same for the same IPv4 address (and locally administered): who takes over the address of a machine that was
    removed a moment ago is found by all who still have it in their ARP caches, not after half a minute.
    """
    return "02:50:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(address).packed)


def choose_subnet(routes: Iterable[str], preferred: str | None) -> ipaddress.IPv4Network:
    """A /24 that none of the laptop's `routes` (destinations as `ip route` prints them) overlaps."""
    taken = [network for network in map(_network, routes) if network is not None]
    for candidate in _candidates(preferred):
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    raise Conflict("every subnet from 10.89.0.0/24 to 10.89.255.0/24 is routed elsewhere: remove a route")


def choose_address(gateway: ipaddress.IPv4Interface, taken: Iterable[str], preferred: str) -> str:
    """An address for a machine beside `gateway`: `preferred` if it still can be, else the lowest free one."""
    used = {str(gateway.ip), *taken}
    if preferred not in used and preferred in {str(host) for host in gateway.network.hosts()}:
        return preferred
    for host in gateway.network.hosts():
        if str(host) not in used:
            return str(host)
    raise Conflict(f"all addresses of {gateway.network} are taken: remove a local machine (pymachine ls)")


def _candidates(preferred: str | None) -> Iterator[ipaddress.IPv4Network]:
    if preferred:
        yield ipaddress.IPv4Network(preferred)
    yield from ipaddress.IPv4Network("10.89.0.0/16").subnets(new_prefix=24)


def _network(destination: str) -> ipaddress.IPv4Network | None:
    """None for a default route, which overlaps nothing, and for words such as "unreachable"."""
    try:
        network = ipaddress.IPv4Network(destination)
    except ValueError:
        return None
    return network if network.prefixlen else None
