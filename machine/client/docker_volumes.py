"""Volumes."""

from __future__ import annotations

from hostagent import wire
from machine.client.docker_call import Caller, Filters, decode, filters, path_of


class Volumes:
    """The calls of volumes."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def list(self, chosen: Filters | None = None) -> wire.VolumeList:
        return self._caller.get("/volumes", wire.VolumeList, {"filters": filters(chosen)})

    def create(self, body: wire.VolumeCreate) -> wire.Volume:
        """The volume of that name as it is, when there is one."""
        answer = self._caller.call("POST", "/volumes/create", body=wire.encode(body))
        return decode(answer.read(), wire.Volume)

    def inspect_raw(self, name: str) -> bytes:
        """The engine's JSON as it is, for printing."""
        return self._caller.call("GET", path_of("volumes", name)).read()

    def remove(self, name: str, force: bool = False) -> None:
        self._caller.done("DELETE", path_of("volumes", name), {"force": force}, timeout=None)

    def prune(self, chosen: Filters | None = None) -> wire.VolumesPruned:
        """Removes anonymous volumes that no container has; with the filter all=true, others too."""
        answer = self._caller.call("POST", "/volumes/prune", {"filters": filters(chosen)}, timeout=None)
        return decode(answer.read(), wire.VolumesPruned)
