"""The host's firewall, read: what its nftables rules mean for published ports (docs/adr/0021). It is never changed.

A published port is translated before the input hook, so rules there do not see it; a drop in anybody's forward chain
does, and no accept of ours overrides it. `Ruleset` is pure; iptables-nft's rules are read as far as nft shows them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hostagent.kernel import nft
from hostagent.network.tables import Tables

_FAMILIES = ("ip", "ip6", "inet")
_BARRED = ("drop", "reject")

Chain = tuple[str, str, str]
"""Family, table, name."""


@dataclass(frozen=True)
class Published:
    """What a container asks to publish; `host_port` 0 is any."""

    proto: str
    host_port: int
    container_port: int


@dataclass(frozen=True)
class _Rule:
    verdicts: frozenset[str]
    jumps: tuple[str, ...]
    ports: tuple[tuple[str, int, int], ...]
    """Destination ports that it names: protocol ("th" for any), first, last."""
    outward: frozenset[str]
    """Interfaces that it lets packets go to, by name."""

    def names(self, proto: str, port: int) -> bool:
        return any(kind in (proto, "th") and first <= port <= last for kind, first, last in self.ports)


class Ruleset:
    """What `nft --json list ruleset` prints, without tables whose names begin with `ours`."""

    def __init__(self, listing: Mapping[str, Any], ours: str) -> None:
        self._rules: dict[Chain, list[_Rule]] = {}
        self._hooks: list[tuple[Chain, str, str]] = []
        for entry in listing.get("nftables", ()):
            if chain := entry.get("chain"):
                if _foreign(chain, ours):
                    key = (chain["family"], chain["table"], chain["name"])
                    self._rules.setdefault(key, [])
                    self._hooks.append((key, chain.get("hook", ""), chain.get("policy", "accept")))
            elif (rule := entry.get("rule")) and _foreign(rule, ours):
                key = (rule["family"], rule["table"], rule["chain"])
                self._rules.setdefault(key, []).append(_read(rule.get("expr", ())))

    def forward_drops(self) -> list[Chain]:
        """Chains that drop what is forwarded unless a rule of theirs lets it through."""
        return [chain for chain, hook, policy in self._hooks if hook == "forward" and policy == "drop"]

    def lets_through(self, chain: Chain, port: Published, bridge: str) -> bool:
        """Whether a rule below a forward chain accepts the port of the container, or all that goes to the bridge."""
        return any(
            "accept" in rule.verdicts
            and (rule.names(port.proto, port.container_port) or bridge in rule.outward)
            for _, rule in self._below(chain)
        )

    def barred(self, port: Published) -> Chain | None:
        """The chain of input in which a rule drops or rejects this port of the host, by its number."""
        for chain, hook, _ in self._hooks:
            if hook != "input":
                continue
            for where, rule in self._below(chain):
                if rule.verdicts.intersection(_BARRED) and rule.names(port.proto, port.host_port):
                    return where
        return None

    def _below(self, chain: Chain) -> Iterator[tuple[Chain, _Rule]]:
        """The rules of a chain and of those that it leads to, each once."""
        waiting, seen = [chain], {chain}
        while waiting:
            here = waiting.pop()
            for rule in self._rules.get(here, ()):
                yield here, rule
                for name in rule.jumps:
                    target = (here[0], here[1], name)
                    if target not in seen:
                        seen.add(target)
                        waiting.append(target)


class Firewall:
    """The ruleset of the network namespace in which it was made, read again when somebody else has changed it."""

    def __init__(self, tables: Tables, ours: str) -> None:
        self._tables = tables
        self._ours = ours
        self._nft = nft.Nft(json=True)
        self._epoch = -1
        self._ruleset = Ruleset({}, ours)

    def close(self) -> None:
        self._nft.close()

    def warnings(self, ports: Sequence[Published], bridge: str) -> list[str]:
        """What a person who publishes these ports of a container on that bridge has to know."""
        found = self._read()
        texts = []
        for port in ports:
            if chain := found.barred(port):
                texts.append(
                    f"The host's firewall names port {port.host_port}/{port.proto} ({_text(chain)}) and denies it to "
                    "programs of the host. A published port does not pass there: whoever reaches this host reaches "
                    f"the container. Publish it on one address (-p 127.0.0.1:{port.host_port}:{port.container_port}), "
                    "or filter it where packets are forwarded."
                )
        for chain in found.forward_drops():
            closed = [port for port in ports if not found.lets_through(chain, port, bridge)]
            if closed:
                numbers = ", ".join(f"{port.container_port}/{port.proto}" for port in closed)
                texts.append(
                    f"The host's firewall drops what is forwarded ({_text(chain)}): port {numbers} of the container "
                    "can be reached from this host only. Let it through with the firewall's own command, for example: "
                    f"ufw route allow proto {closed[0].proto} to any port {closed[0].container_port}"
                )
        return texts

    def general(self) -> list[str]:
        """What holds for all containers, for `info`."""
        return [
            f"WARNING: the host's firewall drops what is forwarded ({_text(chain)}): containers reach, and are reached "
            "from, other hosts only where it has rules for it"
            for chain in self._read().forward_drops()
        ]

    def _read(self) -> Ruleset:
        epoch = self._tables.epoch()
        if epoch != self._epoch:
            self._ruleset = Ruleset(json.loads(self._nft.run("list ruleset")), self._ours)
            self._epoch = epoch
        return self._ruleset


def _text(chain: Chain) -> str:
    family, table, name = chain
    return f"table {family} {table}, chain {name}"


def _foreign(entry: Mapping[str, Any], ours: str) -> bool:
    return entry["family"] in _FAMILIES and not entry["table"].startswith(ours)


def _read(expressions: Iterable[Any]) -> _Rule:
    verdicts, jumps, ports, outward = set(), [], [], set()
    for expression in expressions:
        if not isinstance(expression, dict):
            continue
        for kind, value in expression.items():
            if kind in ("drop", "reject", "accept"):
                verdicts.add(kind)
            elif kind in ("jump", "goto"):
                jumps.append(value["target"])
            elif kind == "match" and value.get("op") in ("==", "in"):
                left, right = value["left"], value["right"]
                payload = left.get("payload", {}) if isinstance(left, dict) else {}
                if payload.get("field") == "dport":
                    ports += [(payload["protocol"], *span) for span in _spans(right)]
                elif isinstance(left, dict) and left.get("meta", {}).get("key") == "oifname":
                    outward |= set(
                        right["set"] if isinstance(right, dict) and "set" in right else [str(right)]
                    )
    return _Rule(frozenset(verdicts), tuple(jumps), tuple(ports), frozenset(map(str, outward)))


def _spans(value: Any) -> Iterator[tuple[int, int]]:
    """First and last port of each part of `80`, `{ 80, 443 }`, `8000-8080`."""
    if isinstance(value, int):
        yield value, value
    elif isinstance(value, dict):
        if "range" in value and all(isinstance(each, int) for each in value["range"]):
            first, last = value["range"]
            yield first, last
        for part in value.get("set", ()):
            yield from _spans(part)
