"""Images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hostagent import wire
from machine.client.docker_call import (
    Caller,
    Filters,
    Query,
    auth_header,
    decode,
    filters,
    path_of,
    progress,
    split_reference,
)
from machine.client.http import Response

_TAR = {"Content-Type": "application/x-tar"}


class Images:
    """`name` is a reference or an ID. A report iterator does the work as it is read: read it to its end."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def pull(
        self,
        reference: str,
        platform: str | None = None,
        auth: wire.AuthConfig | None = None,
        all_tags: bool = False,
    ) -> Iterator[wire.Progress]:
        name, tag = split_reference(reference)
        query = {"fromImage": name, "tag": tag or ("" if all_tags else "latest"), "platform": platform}
        return progress(
            self._caller.call("POST", "/images/create", query, headers=auth_header(auth), timeout=None)
        )

    def push(
        self, reference: str, auth: wire.AuthConfig | None = None, all_tags: bool = False
    ) -> Iterator[wire.Progress]:
        name, tag = split_reference(reference)
        path = path_of("images", name, "push")
        query = {"tag": None if all_tags else tag or "latest"}
        return progress(self._caller.call("POST", path, query, headers=auth_header(auth), timeout=None))

    def load(self, archive: Iterable[bytes]) -> Iterator[wire.Progress]:
        """`archive`: pieces of a tar as `save` gives it (docker-archive or OCI)."""
        response = self._caller.call(
            "POST", "/images/load", {"quiet": False}, body=archive, headers=_TAR, timeout=None
        )
        return progress(response)

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        """Pieces of a tar with these images."""
        return _pieces(self._caller.call("GET", "/images/get", {"names": names}, timeout=None))

    def import_(
        self,
        archive: Iterable[bytes],
        reference: str | None = None,
        message: str | None = None,
        changes: Sequence[str] = (),
    ) -> Iterator[wire.Progress]:
        """A new image of one layer; `changes` are Dockerfile lines (CMD, ENV, …)."""
        name, tag = split_reference(reference) if reference is not None else (None, None)
        query = {"fromSrc": "-", "repo": name, "tag": tag, "message": message, "changes": changes}
        return progress(
            self._caller.call("POST", "/images/create", query, body=archive, headers=_TAR, timeout=None)
        )

    def prune(self, chosen: Filters | None = None) -> wire.ImagesPruned:
        """Without a filter those that have no name and no container; dangling=false: all without a container."""
        response = self._caller.call("POST", "/images/prune", {"filters": filters(chosen)}, timeout=None)
        return decode(response.read(), wire.ImagesPruned)

    def search(
        self, term: str, limit: int, chosen: Filters | None = None, auth: wire.AuthConfig | None = None
    ) -> list[wire.SearchResult]:
        query: Query = {"term": term, "limit": limit, "filters": filters(chosen)}
        response = self._caller.call("GET", "/images/search", query, headers=auth_header(auth))
        return decode(response.read(), list[wire.SearchResult])

    def tag(self, source: str, reference: str) -> None:
        name, tag = split_reference(reference)
        self._caller.done("POST", path_of("images", source, "tag"), {"repo": name, "tag": tag or "latest"})

    def inspect(self, name: str) -> wire.ImageInspect:
        return self._caller.get(path_of("images", name, "json"), wire.ImageInspect)

    def inspect_raw(self, name: str) -> bytes:
        """The engine's JSON as it is, for printing."""
        return self._caller.call("GET", path_of("images", name, "json")).read()

    def history(self, name: str) -> list[wire.HistoryItem]:
        return self._caller.get(path_of("images", name, "history"), list[wire.HistoryItem])

    def remove(self, name: str, force: bool = False, noprune: bool = False) -> list[wire.ImageDeleted]:
        response = self._caller.call("DELETE", path_of("images", name), {"force": force, "noprune": noprune})
        return decode(response.read(), list[wire.ImageDeleted])

    def list(self, all: bool = False, chosen: Filters | None = None) -> list[wire.ImageSummary]:
        query = {"all": all, "filters": filters(chosen)}
        return self._caller.get("/images/json", list[wire.ImageSummary], query)


def _pieces(response: Response) -> Iterator[bytes]:
    with response:
        yield from response.pieces()
