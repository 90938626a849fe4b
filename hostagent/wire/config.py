"""What a container shall run: `Config`, and the body of POST /containers/create (API 1.24-1.47)."""

from __future__ import annotations

from hostagent.wire.base import Wire, shown
from hostagent.wire.hostconfig import HostConfig
from hostagent.wire.network import NetworkingConfig


class HealthConfig(Wire, frozen=True, kw_only=True):
    """A health check; times in nanoseconds, 0 = inherit.

    `test` is [] (inherit), ["NONE"], ["CMD", ...] or ["CMD-SHELL", line].
    """

    test: list[str] = []
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Config(Wire, frozen=True, kw_only=True):
    """The portable part of a container's configuration; images carry the same object."""

    hostname: str = shown("")
    domainname: str = shown("")
    user: str = shown("")
    attach_stdin: bool = shown(False)
    attach_stdout: bool = shown(False)
    attach_stderr: bool = shown(False)
    exposed_ports: dict[str, dict[str, str] | None] = {}
    tty: bool = shown(False)
    open_stdin: bool = shown(False)
    stdin_once: bool = shown(False)
    env: list[str] | None = shown(None)
    cmd: list[str] | None = shown(None)
    healthcheck: HealthConfig | None = None
    args_escaped: bool = False
    image: str = shown("")
    volumes: dict[str, dict[str, str] | None] | None = shown(None)
    working_dir: str = shown("")
    entrypoint: list[str] | None = shown(None)
    network_disabled: bool = False
    mac_address: str = ""
    on_build: list[str] | None = shown(None)
    labels: dict[str, str] | None = shown(None)
    stop_signal: str = ""
    stop_timeout: int | None = None
    """Seconds between the stop signal and SIGKILL; -1 waits for ever."""
    shell: list[str] = []


class ContainerCreate(Config, frozen=True, kw_only=True):
    """Body of POST /containers/create: a Config with the host's part beside it."""

    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None
