"""The text of a container's /etc/hosts, /etc/hostname and /etc/resolv.conf. Pure functions.

They follow what Docker writes, because programs and people know it by heart (resolv.conf(5), hosts(5)).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_address

# Docker's choice for a host without a usable resolver of its own.
FALLBACK_SERVERS = ("8.8.8.8", "8.8.4.4")

# systemd-resolved keeps the real servers here when /etc/resolv.conf only names its stub on 127.0.0.53.
RESOLVED_CONF = "/run/systemd/resolve/resolv.conf"

_STATIC_HOSTS = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def hosts(
    hostname: str,
    domainname: str = "",
    addresses: Iterable[str] = (),
    extra: Iterable[tuple[str, str]] = (),
) -> str:
    """/etc/hosts: the fixed part, `extra` (name, address) pairs, the container's own names and addresses."""
    lines = [f"{where}\t{name}\n" for name, where in extra]
    return _STATIC_HOSTS + "".join((*lines, *own_hosts(hostname, domainname, addresses)))


def own_hosts(hostname: str, domainname: str, addresses: Iterable[str]) -> list[str]:
    """The lines of /etc/hosts with the container's own names, one for each of its addresses."""
    name = f"{hostname}.{domainname}" if domainname else hostname
    short, dot, _ = name.partition(".")
    names = f"{name} {hostname if domainname else short}" if dot else name
    return [f"{address}\t{names}\n" for address in addresses]


def hostname(name: str) -> str:
    """/etc/hostname."""
    return f"{name}\n"


def _words(text: str, keyword: str) -> list[list[str]]:
    lines = (line.split() for line in text.splitlines())
    return [words[1:] for words in lines if words and words[0] == keyword]


def _loopback(server: str) -> bool:
    try:
        return ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def only_resolved_stub(host: str) -> bool:
    """True when the host's resolv.conf names only systemd-resolved's stub: read RESOLVED_CONF instead."""
    return [words[:1] for words in _words(host, "nameserver")] == [["127.0.0.53"]]


def name_servers(host: str) -> list[str]:
    """Those of a resolv.conf, in order."""
    return [words[0] for words in _words(host, "nameserver") if words]


def resolv_conf(
    host: str,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    *,
    own_network: bool = True,
    resolver: str = "",
) -> str:
    """A container's /etc/resolv.conf from the host's text and what the user asked for, each part replacing
    the host's.

    With a network namespace of its own (`own_network`) the host's loopback resolvers cannot be reached and
    are left out; without any other, Docker's fallback servers stand in.
    "." in `search` is no domain: alone it means no search list.
    With a `resolver` of ours it is the only server, and gets names without dots first (ndots:0).
    """
    found = [resolver] if resolver else list(servers)
    if not found:
        found = name_servers(host)
        if own_network:
            found = [server for server in found if not _loopback(server)] or list(FALLBACK_SERVERS)
    if not search:
        # The last search (or its old form, domain) counts: resolv.conf(5).
        domains = _words(host, "search") or _words(host, "domain")
        search = domains[-1] if domains else ()
    if not options:
        options = [word for words in _words(host, "options") for word in words]
    if resolver and not any(re.fullmatch(r"ndots:\d+", option) for option in options):
        options = [*(option for option in options if not option.startswith("ndots:")), "ndots:0"]
    lines = [f"nameserver {server}\n" for server in found]
    if wanted := [domain for domain in search if domain != "."]:
        lines.append(f"search {' '.join(wanted)}\n")
    if options:
        lines.append(f"options {' '.join(options)}\n")
    return "".join(lines)
