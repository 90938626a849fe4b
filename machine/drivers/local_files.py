"""What is written into a local host's own layer while it is off: its seed, its address, its resolver."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Final

from cloud_init.render import render, render_meta_data
from cloud_init.spec import HostSpec

SEED: Final = "var/lib/cloud/seed/nocloud"
_NETWORK: Final = """\
[Match]
Name=eth0
[Network]
Address={address}
Gateway={gateway}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""


def write_seed(upper: Path, spec: HostSpec, instance_id: str) -> None:
    """NoCloud's files. The private host key in them is worthless after its rotation."""
    _write(upper / SEED / "user-data", render(spec), 0o600)
    _write(upper / SEED / "meta-data", render_meta_data(instance_id, spec.hostname), 0o600)


def write_network(upper: Path, address: str, gateway: ipaddress.IPv4Interface, resolver: str) -> None:
    """A static address (systemd.network(5)): a DHCP server would be one more process on the laptop."""
    with_length = f"{address}/{gateway.network.prefixlen}"
    text = _NETWORK.format(address=with_length, gateway=gateway.ip)
    _write(upper / "etc/systemd/network/10-eth0.network", text, 0o644)
    _write(upper / "etc/resolv.conf", resolver, 0o644)


def resolver(etc: Path = Path("/etc"), run: Path = Path("/run")) -> str:
    """A resolv.conf with name servers that can be reached from another network namespace.

    A loopback server (systemd-resolved's 127.0.0.53) is the laptop's alone: its upstream servers are taken.
    """
    for path in (etc / "resolv.conf", run / "systemd/resolve/resolv.conf"):
        try:
            lines = path.read_text().splitlines()
        except FileNotFoundError:
            continue
        servers = [line for line in lines if line.startswith("nameserver") and not _is_loopback(line)]
        if servers:
            rest = [line for line in lines if line.startswith(("search", "options"))]
            return "".join(f"{line}\n" for line in (*servers, *rest))
    return "# the laptop has no name server that this host could reach\n"


def _is_loopback(line: str) -> bool:
    words = line.split()
    try:
        return len(words) < 2 or ipaddress.ip_address(words[1].split("%")[0]).is_loopback
    except ValueError:
        return True


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, mode)) as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
