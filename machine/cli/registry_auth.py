"""Credentials for registries, from where `docker login` puts them: ~/.docker/config.json and its helpers."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import msgspec

from hostagent.wire import AuthConfig
from machine.errors import MachineError

_HUB = "https://index.docker.io/v1/"


class _Login(msgspec.Struct):
    auth: str = ""
    identitytoken: str = ""


class _Config(msgspec.Struct, rename="camel"):
    auths: dict[str, _Login] = {}
    creds_store: str = ""
    cred_helpers: dict[str, str] = {}


class _Helped(msgspec.Struct, rename="pascal"):
    username: str = ""
    secret: str = ""


def credentials(reference: str) -> AuthConfig | None:
    """Those for the registry of an image's name, or None. MachineError: the file is damaged or the helper failed."""
    config = _config()
    return _login(config, registry_of(reference)) if config is not None else None


def all_credentials() -> dict[str, AuthConfig]:
    """Those for all registries that the file or its helper knows, by registry: a build may need any of them."""
    config = _config()
    if config is None:
        return {}
    servers = {*config.auths, *config.cred_helpers}
    if config.creds_store:
        servers.update(msgspec.json.decode(ask(config.creds_store, "list", ""), type=dict[str, str]))
    found = {server: _login(config, server) for server in sorted(servers)}
    return {server: login for server, login in found.items() if login is not None}


def path() -> Path:
    """docker's own file."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"


def _config() -> _Config | None:
    try:
        return msgspec.json.decode(path().read_bytes(), type=_Config)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, OSError) as error:
        raise MachineError(f"cannot read the registry credentials in {path()}: {error}") from error


def server_key(server: str) -> str:
    """The key of a server as a person names it: `https://host/` is its host, none is Docker Hub."""
    host = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return _HUB if host in ("", "docker.io", "index.docker.io", "registry-1.docker.io") else host


def _login(config: _Config, server: str) -> AuthConfig | None:
    helper = config.cred_helpers.get(server) or config.creds_store
    if helper:
        return _from_helper(helper, server)
    login = config.auths.get(server) or config.auths.get(f"https://{server}")
    if login is None:
        return None
    user, _, password = base64.b64decode(login.auth).decode().partition(":")
    return AuthConfig(
        username=user, password=password.rstrip("\0"), identitytoken=login.identitytoken, serveraddress=server
    )


def registry_of(reference: str) -> str:
    """The key under which a registry's login is kept: its host, or Docker Hub's historical URL."""
    first, slash, _ = reference.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return first if is_host and first not in ("docker.io", "index.docker.io") else _HUB


def _from_helper(helper: str, server: str) -> AuthConfig | None:
    answer = ask(helper, "get", server)
    if not answer:
        return None
    found = msgspec.json.decode(answer, type=_Helped)
    if found.username == "<token>":
        return AuthConfig(identitytoken=found.secret, serveraddress=server)
    return AuthConfig(username=found.username, password=found.secret, serveraddress=server)


def ask(helper: str, verb: str, text: str) -> str:
    """Asks `docker-credential-<helper>`; "" when it knows nothing of that.

    Source: https://docs.docker.com/reference/cli/docker/login/#credential-helpers.
    """
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", verb],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(f"the credential helper docker-credential-{helper} failed: {error}") from error
    if done.returncode != 0:
        # Its way to say that it knows nothing of this registry; anything else is a failure.
        if "not found" in done.stdout + done.stderr:
            return ""
        raise MachineError(f"docker-credential-{helper} failed: {(done.stdout + done.stderr).strip()}")
    return done.stdout
