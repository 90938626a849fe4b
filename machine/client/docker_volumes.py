"""Volumes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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

    def export(self, name: str) -> Iterator[bytes]:
        """Pieces of a tar with the whole volume."""
        with self._caller.call("GET", _archive(name), timeout=None) as response:
            yield from response.pieces()

    def fill(self, name: str, archive: Iterable[bytes]) -> None:
        """Unpack pieces of a tar into an empty volume, which is made when there is none."""
        headers = {"Content-Type": "application/x-tar"}
        self._caller.call("PUT", _archive(name), body=archive, headers=headers, timeout=None).read()

    def remove(self, name: str, force: bool = False) -> None:
        self._caller.done("DELETE", path_of("volumes", name), {"force": force}, timeout=None)

    def prune(self, chosen: Filters | None = None) -> wire.VolumesPruned:
        """Removes anonymous volumes that no container has; with the filter all=true, others too."""
        answer = self._caller.call("POST", "/volumes/prune", {"filters": filters(chosen)}, timeout=None)
        return decode(answer.read(), wire.VolumesPruned)


def _archive(name: str) -> str:
    return f"{path_of('pymachine', 'v1', 'volumes', name)}/archive"
