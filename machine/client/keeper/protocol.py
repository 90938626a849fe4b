"""The control socket: one JSON request per connection, one JSON answer, each a line."""

from __future__ import annotations

from typing import Final

import msgspec

VERSION: Final = 1
"""Of requests and answers; a keeper of another version is replaced."""

KEEPER_HEADER: Final = "pymachine-keeper"
"""HTTP header on an answer of the keeper's own, with the kind of error: host-key, denied or unavailable."""

Address = tuple[str, int]


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Asks for the status, and for staying alive at least `keep_for` more seconds though idle."""

    keep_for: float = 0.0


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Ends the keeper at once, with every stream and forward on it."""


class AddForward(msgspec.Struct, frozen=True, tag="add-forward"):
    """`reverse`: `listen` is on the host and `target` on the laptop; else the other way round (ssh -R, -L)."""

    listen: Address
    target: Address
    reverse: bool


class RemoveForward(msgspec.Struct, frozen=True, tag="remove-forward"):
    number: int


class Forward(msgspec.Struct, frozen=True, tag="forward"):
    """One that is there; `listen` has the port that was chosen. `problem`: why it does not work just now."""

    number: int
    listen: Address
    target: Address
    reverse: bool
    problem: str = ""


class Status(msgspec.Struct, frozen=True, tag="status"):
    """`handshakes`: SSH connections made so far; `pipes`: connections being carried now; `error`: the last one.

    `namespace`: the network namespace that it dials from (machine.model.namespace).
    """

    pid: int
    version: int
    connected: bool
    handshakes: int
    pipes: int
    forwards: list[Forward]
    error: str = ""
    namespace: str = ""


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """`kind`: host-key, denied, unavailable or conflict."""

    kind: str
    text: str


Request = Ping | Stop | AddForward | RemoveForward
Answer = Status | Forward | Failure
