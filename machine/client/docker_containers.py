"""Containers and the processes that are started in them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType

from hostagent import wire
from hostagent.wire.stats import Stats
from machine.client.docker_call import Caller, Filters, Query, decode, filters, path_of, split_reference
from machine.client.http import DEFAULT_TIMEOUT, Response
from machine.client.stream import Stream, demultiplex

# Hijacked connections: the header that makes the engine answer 101 (API 1.24 and later).
_UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}
_CHANGES = list[wire.FilesystemChange]
_RAW = "application/vnd.docker.raw-stream"


class Waiter:
    """A `wait` that the engine has accepted: from here on no exit is missed."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def fileno(self) -> int:
        """For select: readable once there is a result."""
        return self._response.fileno()

    def result(self) -> wire.WaitResult:
        """Blocks until the container has reached the condition."""
        return decode(self._response.read(), wire.WaitResult)

    def close(self) -> None:
        self._response.close()


class LogStream:
    """Iterates over (1 stdout or 2 stderr, bytes). Close it to stop following."""

    def __init__(self, response: Response, multiplexed: bool) -> None:
        self._response = response
        self._multiplexed = multiplexed

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        pieces = self._response.pieces()
        return demultiplex(pieces) if self._multiplexed else ((1, piece) for piece in pieces)

    def close(self) -> None:
        self._response.close()

    def __enter__(self) -> LogStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Containers:
    """`container` is a name, an ID, or the beginning of an ID. Errors: DaemonError with the engine's text.

    A stop or restart has no time limit here: the container may have a long grace period of its own.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(
        self, body: bytes | wire.ContainerCreate, name: str | None = None, platform: str | None = None
    ) -> wire.ContainerCreated:
        raw = body if isinstance(body, bytes) else wire.encode(body)
        response = self._caller.call(
            "POST", "/containers/create", {"name": name, "platform": platform}, body=raw
        )
        return decode(response.read(), wire.ContainerCreated)

    def list(
        self,
        all: bool = False,
        limit: int | None = None,
        size: bool = False,
        chosen: Filters | None = None,
    ) -> list[wire.ContainerSummary]:
        query = {"all": all, "limit": limit, "size": size, "filters": filters(chosen)}
        return self._caller.get("/containers/json", list[wire.ContainerSummary], query)

    def inspect(self, container: str, size: bool = False) -> wire.ContainerInspect:
        return self._caller.get(
            path_of("containers", container, "json"), wire.ContainerInspect, {"size": size}
        )

    def inspect_raw(self, container: str, size: bool = False) -> bytes:
        """The engine's JSON as it is, for printing."""
        return self._caller.call("GET", path_of("containers", container, "json"), {"size": size}).read()

    def start(self, container: str) -> bool:
        """False: it was running already."""
        return self._caller.done("POST", path_of("containers", container, "start"))

    def stop(self, container: str, timeout: int | None = None, signal: str | None = None) -> bool:
        """`timeout`: seconds until it is killed. False: it was not running."""
        return self._caller.done(
            "POST", path_of("containers", container, "stop"), {"t": timeout, "signal": signal}, timeout=None
        )

    def restart(self, container: str, timeout: int | None = None, signal: str | None = None) -> None:
        self._caller.done(
            "POST",
            path_of("containers", container, "restart"),
            {"t": timeout, "signal": signal},
            timeout=None,
        )

    def kill(self, container: str, signal: str | None = None) -> None:
        self._caller.done("POST", path_of("containers", container, "kill"), {"signal": signal})

    def pause(self, container: str) -> None:
        self._caller.done("POST", path_of("containers", container, "pause"))

    def unpause(self, container: str) -> None:
        self._caller.done("POST", path_of("containers", container, "unpause"))

    def update(self, container: str, changes: Mapping[str, object]) -> Sequence[str]:
        """Change fields of its HostConfig, in Docker's names; the engine's warnings."""
        response = self._caller.call(
            "POST", path_of("containers", container, "update"), body=wire.encode(dict(changes))
        )
        return decode(response.read(), wire.UpdateResult).warnings or ()

    def remove(self, container: str, force: bool = False, volumes: bool = False, link: bool = False) -> None:
        query = {"force": force, "v": volumes, "link": link}
        self._caller.done("DELETE", path_of("containers", container), query)

    def prune(self, chosen: Filters | None = None) -> wire.ContainersPruned:
        """Remove all that do not run."""
        response = self._caller.call("POST", "/containers/prune", {"filters": filters(chosen)})
        return decode(response.read(), wire.ContainersPruned)

    def rename(self, container: str, name: str) -> None:
        self._caller.done("POST", path_of("containers", container, "rename"), {"name": name})

    def resize(self, container: str, height: int, width: int) -> None:
        """Size of its terminal in characters."""
        self._caller.done("POST", path_of("containers", container, "resize"), {"h": height, "w": width})

    def attach(
        self,
        container: str,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        stream: bool = True,
        logs: bool = False,
        detach_keys: str | None = None,
        tty: bool | None = None,
    ) -> Stream:
        """Its streams, as one connection. `tty`: how the container was made, if the engine does not say."""
        query = {
            "stdin": stdin,
            "stdout": stdout,
            "stderr": stderr,
            "stream": stream,
            "logs": logs,
            "detachKeys": detach_keys,
        }
        path = path_of("containers", container, "attach")
        response = self._caller.call("POST", path, query, headers=_UPGRADE)
        return response.hijack(multiplexed=_multiplexed(response, tty))

    def wait(self, container: str, condition: str = "not-running") -> Waiter:
        """`condition`: not-running, next-exit or removed."""
        path = path_of("containers", container, "wait")
        return Waiter(self._caller.call("POST", path, {"condition": condition}, timeout=None))

    def logs(
        self,
        container: str,
        *,
        follow: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        since: str | int | None = None,
        until: str | int | None = None,
        tail: str | int | None = None,
        timestamps: bool = False,
        details: bool = False,
        tty: bool | None = None,
    ) -> LogStream:
        """`since`, `until`: Unix seconds (with fraction) as text or number; `tail`: lines, or "all"."""
        query = {
            "follow": follow,
            "stdout": stdout,
            "stderr": stderr,
            "since": since,
            "until": until,
            "tail": tail,
            "timestamps": timestamps,
            "details": details,
        }
        timeout = None if follow else DEFAULT_TIMEOUT
        response = self._caller.call("GET", path_of("containers", container, "logs"), query, timeout=timeout)
        return LogStream(response, _multiplexed(response, tty))

    def top(self, container: str, arguments: str | None = None) -> wire.Top:
        """Its processes; `arguments` are ps's."""
        return self._caller.get(path_of("containers", container, "top"), wire.Top, {"ps_args": arguments})

    def stats_once(self, container: str) -> Stats:
        """A sample with one a second before it."""
        return self._caller.get(path_of("containers", container, "stats"), Stats, {"stream": False})

    def stats(self, container: str) -> Iterator[Stats]:
        """A sample a second, until it is removed. The engine has found it when this returns."""
        path = path_of("containers", container, "stats")
        return _samples(self._caller.call("GET", path, {"stream": True}, timeout=None))

    def changes(self, container: str) -> Sequence[wire.FilesystemChange]:
        """What it has changed in its image's file system."""
        raw = self._caller.call("GET", path_of("containers", container, "changes")).read()
        return decode(b"[]" if raw.strip() == b"null" else raw, _CHANGES)

    def commit(
        self,
        container: str,
        reference: str | None,
        *,
        author: str,
        comment: str,
        changes: Sequence[str],
        pause: bool,
    ) -> str:
        """The ID of the new image."""
        name, tag = split_reference(reference) if reference else (None, None)
        query: Query = {
            "container": container,
            "repo": name,
            "tag": tag,
            "author": author,
            "comment": comment,
            "changes": changes,
            "pause": pause,
        }
        response = self._caller.call("POST", "/commit", query, body=b"{}", timeout=None)
        return decode(response.read(), wire.IdResponse).id

    def export(self, container: str) -> Iterator[bytes]:
        """Pieces of a tar with its whole file system."""
        return _pieces(self._caller.call("GET", path_of("containers", container, "export"), timeout=None))

    def path_stat(self, container: str, path: str) -> wire.PathStat:
        """What is at `path` inside; a symbolic link at its end is not followed. DaemonError 404: nothing."""
        with self._caller.call(
            "HEAD", path_of("containers", container, "archive"), {"path": path}
        ) as response:
            return _path_stat(response)

    def archive(self, container: str, path: str) -> tuple[wire.PathStat, Iterator[bytes]]:
        """What is at `path` inside, and pieces of a tar with it (its root entry has the last name of `path`)."""
        response = self._caller.call(
            "GET", path_of("containers", container, "archive"), {"path": path}, timeout=None
        )
        return _path_stat(response), _pieces(response)

    def put_archive(
        self, container: str, directory: str, archive: Iterable[bytes], *, owners: bool = False
    ) -> None:
        """Unpack pieces of a tar into a directory inside. A file never replaces a directory, nor the reverse.
        `owners`: keep the archive's uid and gid, else what is copied belongs to root."""
        query: Query = {"path": directory, "noOverwriteDirNonDir": True, "copyUIDGID": owners}
        response = self._caller.call(
            "PUT",
            path_of("containers", container, "archive"),
            query,
            body=archive,
            headers={"Content-Type": "application/x-tar"},
            timeout=None,
        )
        response.read()


def _path_stat(response: Response) -> wire.PathStat:
    text = response.headers.get("x-docker-container-path-stat", "")
    return decode(base64.b64decode(text), wire.PathStat)


def _samples(response: Response) -> Iterator[Stats]:
    with response:
        for line in response.lines():
            yield decode(line, Stats)


def _pieces(response: Response) -> Iterator[bytes]:
    with response:
        yield from response.pieces()


class Execs:
    """Processes started in running containers."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(self, container: str, body: wire.ExecCreate) -> str:
        """ID of a process that is ready to be started."""
        path = path_of("containers", container, "exec")
        response = self._caller.call("POST", path, body=wire.encode(body))
        return decode(response.read(), wire.IdResponse).id

    def start(self, exec_id: str, *, tty: bool = False, console: tuple[int, int] | None = None) -> Stream:
        """Starts it attached; `console` is (height, width) of its terminal."""
        body = wire.encode(wire.ExecStart(tty=tty, console_size=console))
        path = path_of("exec", exec_id, "start")
        response = self._caller.call("POST", path, body=body, headers=_UPGRADE)
        return response.hijack(multiplexed=_multiplexed(response, tty))

    def start_detached(self, exec_id: str) -> None:
        body = wire.encode(wire.ExecStart(detach=True))
        self._caller.call("POST", path_of("exec", exec_id, "start"), body=body).read()

    def inspect(self, exec_id: str) -> wire.ExecInspect:
        return self._caller.get(path_of("exec", exec_id, "json"), wire.ExecInspect)

    def resize(self, exec_id: str, height: int, width: int) -> None:
        self._caller.done("POST", path_of("exec", exec_id, "resize"), {"h": height, "w": width})


def _multiplexed(response: Response, tty: bool | None) -> bool:
    """Frames or raw bytes: the caller knows, else the content type says it (API 1.42 and later)."""
    return not tty if tty is not None else response.headers.get("content-type") != _RAW
