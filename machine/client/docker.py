"""A typed client of the Docker Engine API: a machine's engine (through its keeper) or any socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from hostagent import wire
from machine.client.docker_builds import Builds
from machine.client.docker_call import Caller, Filters, decode, filters
from machine.client.docker_containers import Containers, Execs
from machine.client.docker_handover import Handovers
from machine.client.docker_images import Images
from machine.client.docker_volumes import Volumes
from machine.client.http import Http, Response


class DockerClient:
    """`DockerClient(ensure_keeper(machine))`; a context manager.

    `containers`, `execs`, `images`, `volumes` and `builds` hold the calls of each noun. All raise DaemonError (status
    and message of the engine), Unavailable, and, through a keeper, HostKeyMismatch or Denied.
    """

    def __init__(self, socket_path: Path | str) -> None:
        self._http = Http(socket_path)
        self._caller = Caller(self._http)
        self.containers = Containers(self._caller)
        self.execs = Execs(self._caller)
        self.images = Images(self._caller)
        self.volumes = Volumes(self._caller)
        self.builds = Builds(self._caller)
        self.handovers = Handovers(self._caller)

    def ping(self) -> str:
        """The engine's highest API version."""
        response = self._caller.call("GET", "/_ping")
        response.read()
        return response.headers.get("api-version", "")

    def version(self) -> wire.Version:
        return self._caller.get("/version", wire.Version)

    def info(self) -> wire.Info:
        return self._caller.get("/info", wire.Info)

    def info_raw(self) -> bytes:
        """The engine's JSON as it is, for printing."""
        return self._caller.call("GET", "/info").read()

    def disk_usage(self) -> wire.DiskUsage:
        return self._caller.get("/system/df", wire.DiskUsage)

    def login(self, auth: wire.AuthConfig) -> wire.AuthResult:
        """Has the engine try credentials on their registry. DaemonError 401: they are wrong."""
        response = self._caller.call("POST", "/auth", body=wire.encode(auth))
        return decode(response.read(), wire.AuthResult)

    def prune_builds(
        self, everything: bool, keep: int, chosen: Filters | None = None
    ) -> wire.BuildCachePruned:
        """Forget what builds have kept, but for `keep` bytes."""
        query = {"all": everything, "keep-storage": keep, "filters": filters(chosen)}
        response = self._caller.call("POST", "/build/prune", query)
        return decode(response.read(), wire.BuildCachePruned)

    def events(
        self,
        since: str | int | None = None,
        until: str | int | None = None,
        chosen: Filters | None = None,
    ) -> Iterator[wire.Event]:
        """Events as they happen; the engine has begun to listen when this returns. Unix seconds."""
        query = {"since": since, "until": until, "filters": filters(chosen)}
        return _events(self._caller.call("GET", "/events", query, timeout=None))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> DockerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _events(response: Response) -> Iterator[wire.Event]:
    with response:
        for line in response.lines():
            yield decode(line, wire.Event)
