"""The `ssh` driver: a host that is there already, reached as its owner reaches it.

Nothing is made and nothing of the host is changed but what the engine needs: it is never wiped, renamed, restarted or
firewalled. ~/.ssh/config, the agent and known_hosts count as they do for ssh, and none of them is written.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from machine.drivers.base import Abilities, Ask, Order, Say, State, Step
from machine.errors import Denied, HostKeyMismatch, MachineError, Unsupported, Usage
from machine.model.machine import Machine
from machine.ssh import known_hosts
from machine.ssh.hostkey import fingerprint
from machine.ssh.known_hosts import KEY_TYPES, KnownHosts, Target
from machine.store.store import Store

# [USER@]HOST[:PORT]; an IPv6 address is written in brackets when a port follows.
_HOST: Final = re.compile(
    r"(?:([^@\s]+)@)?(?:\[([^\]\s]+)\]|([^\s:@\[\]]+|[0-9a-fA-F:]+:[0-9a-fA-F:]+))(?::(\d{1,5}))?"
)
_OPTIONS: Final = {
    "host": "[USER@]ADDRESS[:PORT], or a name of ~/.ssh/config",
    "user": "the account, if the host does not say",
    "port": "of its sshd, if the host does not say",
    "identity-file": "the private key, if not one of the agent or ~/.ssh",
    "accept-host-key": "SHA256:...: the host key to trust, if known_hosts has none",
    "host-key": "the host key itself, as TYPE BASE64",
}
_PATIENCE: Final = 3.0  # seconds for a host to take a TCP connection


def driver(store: Store) -> SshDriver:
    return SshDriver()


class SshDriver:
    name = "ssh"
    abilities = Abilities(
        makes_hosts=False, stop=False, address_survives_stop=True, costs_money=False, ends_itself=False
    )
    options = _OPTIONS
    account = None

    def check_access(self) -> None:
        """Nothing is needed but SSH."""

    def check_order(self, options: dict[str, str]) -> None:
        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise Usage(f"the ssh driver has no option {', '.join(unknown)}. It has: {', '.join(_OPTIONS)}")
        if "host" not in options:
            raise Usage("which host? Say it:  pymachine create ssh NAME --host USER@ADDRESS")
        _account(options)
        identity = options.get("identity-file")
        if identity is not None and not Path(identity).expanduser().is_file():
            raise Usage(f"there is no key file {identity}: give the private key that the host admits")
        accepted = options.get("accept-host-key")
        if accepted is not None and not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", accepted):
            raise Usage(
                f'"{accepted}" is no fingerprint of a host key: write SHA256:… as  ssh-keygen -lf '
                "/etc/ssh/ssh_host_ed25519_key.pub  prints it on the host"
            )
        key = options.get("host-key")
        if key is not None and (len(key.split()) < 2 or key.split()[0] not in KEY_TYPES):
            raise Usage(f'"{key}" is no host key: write "TYPE BASE64", with a type of {", ".join(KEY_TYPES)}')

    def settle(self, options: dict[str, str], ask: Ask) -> dict[str, str]:
        """The key by which the host will be known, and the account: from known_hosts, or the person."""
        address, user, port = _account(options)
        target = known_hosts.resolve(address, user, port)
        key = options.get("host-key") or _trusted_key(address, target, options, ask)
        return {**options, "user": target.user, "port": str(target.port), "host-key": key}

    def prepare(self, say: Say) -> tuple[str, str]:
        raise Unsupported(
            "what a host of the ssh driver needs is known when it is there: nothing is prepared"
        )

    def user(self) -> str:
        raise Unsupported("the account on a host of the ssh driver is its owner's choice")

    def packages(self) -> tuple[str, ...]:
        return ()  # no cloud-init of ours runs there

    def steps(self, order: Order) -> tuple[Step, ...]:
        return (_Known(order),)

    def start(self, machine: Machine, say: Say) -> Machine:
        raise Unsupported(_not_ours(machine.name))

    def stop(self, machine: Machine, say: Say, *, patience: float) -> None:
        raise Unsupported(_not_ours(machine.name))

    def state(self, machine: Machine) -> State:
        """Whether its port takes a connection; behind a jump host only SSH itself can tell."""
        target = known_hosts.resolve(machine.address, machine.user, machine.port)
        try:
            if target.proxied:
                from machine.ssh.connect import connect

                connect(machine, timeout=_PATIENCE).close()
            else:
                socket.create_connection((target.hostname, target.port), _PATIENCE).close()
        except (OSError, MachineError):
            return "unknown"
        return "running"

    def check_booting(self, machine: Machine) -> None:
        """Nothing is known of it but what SSH says."""

    def console(self, machine: Machine) -> str:
        return ""


@dataclass(frozen=True)
class _Known:
    order: Order
    name: str = "host known"

    def describe(self) -> str:
        return "put its address, account and host key on record; nothing is done to it"

    def execute(self, machine: Machine, say: Say) -> Machine:
        options = self.order.options
        address, user, port = _account(options)
        key, identity = options["host-key"], options.get("identity-file")
        say(fingerprint(key))
        return replace(
            machine,
            user=user or machine.user,
            address=address,
            port=port or machine.port,
            identity_file=str(Path(identity).expanduser().absolute()) if identity else None,
            host_key=key,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def undo(self, machine: Machine, say: Say) -> None:
        """The record goes with the machine's folder."""


def _account(options: dict[str, str]) -> tuple[str, str | None, int | None]:
    """(address, user, port), as far as they are said: in `host`, or each for itself."""
    text = options["host"]
    match = _HOST.fullmatch(text)
    if match is None:
        raise Usage(f'"{text}" is no host: write USER@ADDRESS, USER@ADDRESS:PORT, or a name of ~/.ssh/config')
    port = match[4] or options.get("port")
    if port is not None and not (port.isdecimal() and 0 < int(port) < 65536):
        raise Usage(f'"{port}" is no port: write a number from 1 to 65535')
    return match[2] or match[3], match[1] or options.get("user"), None if port is None else int(port)


def _trusted_key(address: str, target: Target, options: dict[str, str], ask: Ask) -> str:
    """The host key that is shown there, if the person's known_hosts or the person trust it."""
    from machine.ssh.connect import shown_key

    known = KnownHosts(target.known_hosts)
    keys = known.keys(target.known_as)
    # Like ssh: of the types that known_hosts has for the host, so that it is not asked for one that it does not.
    types = tuple(dict.fromkeys(key.split()[0] for key in keys)) or KEY_TYPES
    probe = Machine(
        name=address,
        driver="ssh",
        address=address,
        port=target.port,
        user=target.user,
        host_key=" ".join(keys[:1]),
    )
    shown = shown_key(probe, types)
    print_of = fingerprint(shown)
    if known.revoked(target.known_as, shown):
        raise HostKeyMismatch(
            f"{target.known_as} shows the host key {print_of}, which your known_hosts revokes: nothing was sent"
        )
    if shown in keys:
        return shown
    if keys:
        raise HostKeyMismatch(
            f"{target.known_as} shows the host key {print_of}, your known_hosts says "
            f"{', '.join(map(fingerprint, keys))}. Another host has this address, or someone is in between: "
            f'nothing was sent. If the host was installed anew:  ssh-keygen -R "{target.known_as}"'
        )
    if options.get("accept-host-key") == print_of:
        return shown
    if "accept-host-key" in options:
        raise HostKeyMismatch(
            f"{target.known_as} shows the host key {print_of}, not {options['accept-host-key']}: nothing was sent"
        )
    kind = shown.split()[0]
    if ask(
        f"{target.known_as} is not in your known_hosts. It shows the {kind} host key {print_of}. Is that its key?"
    ):
        return shown
    raise Denied(
        f"{target.known_as} is not in your known_hosts, and shows the {kind} host key {print_of}. Compare it with what "
        "the host says (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), then add:  "
        f"--accept-host-key {print_of}"
    )


def _not_ours(name: str) -> str:
    return (
        f"{name} was there before pymachine, which does not start or stop it: its owner does "
        f"(pymachine ssh {name} -- sudo systemctl poweroff)"
    )
