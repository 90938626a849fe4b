"""What Docker has no call for: the answers of /pymachine/v1."""

from __future__ import annotations

from hostagent.wire.base import Wire, shown


class ShimFact(Wire, frozen=True, kw_only=True):
    """One running container's shim. `protocol`: version of the messages that it understands; `current`: it runs the
    same code as the daemon."""

    id: str = shown("")
    name: str = shown("")
    protocol: int = shown(0)
    current: bool = shown(False)
