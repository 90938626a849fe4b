"""Processes started in running containers: exec create, start, inspect (API 1.24-1.47)."""

from __future__ import annotations

from hostagent.wire.base import Wire, shown


class ExecCreate(Wire, frozen=True, kw_only=True):
    """Body of POST /containers/{id}/exec; `console_size` is height, width."""

    user: str = shown("")
    privileged: bool = shown(False)
    tty: bool = shown(False)
    console_size: tuple[int, int] | None = None
    attach_stdin: bool = shown(False)
    attach_stderr: bool = shown(False)
    attach_stdout: bool = shown(False)
    detach: bool = shown(False)
    detach_keys: str = shown("")
    env: list[str] | None = shown(None)
    working_dir: str = shown("")
    cmd: list[str] | None = shown(None)


class ExecStart(Wire, frozen=True, kw_only=True):
    """Body of POST /exec/{id}/start."""

    detach: bool = shown(False)
    tty: bool = shown(False)
    console_size: tuple[int, int] | None = None


class ProcessConfig(Wire, frozen=True, kw_only=True, rename="lower"):
    """What an exec runs, in the inspection's lower-case spelling."""

    tty: bool = shown(False)
    entrypoint: str = shown("")
    arguments: list[str] = shown([])
    privileged: bool = shown(False)
    user: str = ""


class ExecInspect(Wire, frozen=True, kw_only=True):
    """Answer of GET /exec/{id}/json; `exit_code` is null while it runs."""

    id: str = shown("", "ID")
    running: bool = shown(False)
    exit_code: int | None = shown(None)
    process_config: ProcessConfig = shown(ProcessConfig())
    open_stdin: bool = shown(False)
    open_stderr: bool = shown(False)
    open_stdout: bool = shown(False)
    can_remove: bool = shown(False)
    container_id: str = shown("")
    detach_keys: str = shown("")
    pid: int = shown(0)
