"""Writes docker's ~/.docker/config.json, or its credential helper: what login keeps and logout forgets."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

from hostagent.wire import AuthConfig
from machine.cli import registry_auth
from machine.errors import MachineError
from machine.store.files import write_atomically


def keep(server: str, auth: AuthConfig, token: str) -> str:
    """Where the credentials are now: the helper's name or the file. `token`: the registry gave it for the password."""
    config = _read()
    helper = _helper(config, server)
    if helper:
        secret = {"ServerURL": server, "Username": "<token>" if token else auth.username}
        registry_auth.ask(helper, "store", json.dumps({**secret, "Secret": token or auth.password}))
        # docker writes an empty entry too: the list of those that the helper has.
        config.setdefault("auths", {})[server] = {}
        _write(config)
        return f"docker-credential-{helper}"
    text = f"{auth.username}:{'' if token else auth.password}".encode()
    entry = {"auth": base64.b64encode(text).decode()} | ({"identitytoken": token} if token else {})
    config.setdefault("auths", {})[server] = entry
    _write(config)
    return str(registry_auth.path())


def forget(server: str) -> bool:
    """Whether there was something to forget."""
    config = _read()
    helper = _helper(config, server)
    if helper:
        known = bool(registry_auth.ask(helper, "get", server))
        if known:
            registry_auth.ask(helper, "erase", server)
    else:
        known = False
    if config.get("auths", {}).pop(server, None) is not None:
        _write(config)
        known = True
    return known


def _helper(config: dict[str, Any], server: str) -> str:
    return str(config.get("credHelpers", {}).get(server) or config.get("credsStore") or "")


def _read() -> dict[str, Any]:
    """The whole file: what we do not know of it is kept."""
    path = registry_auth.path()
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        raise MachineError(f"cannot read the registry credentials in {path}: {error}") from error
    if not isinstance(found, dict):
        raise MachineError(f"{path} is not docker's configuration: mend or remove it")
    return found


def _write(config: dict[str, Any]) -> None:
    """Through a symlink, as people keep the file elsewhere."""
    path = Path(os.path.realpath(registry_auth.path()))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, json.dumps(config, indent="\t").encode() + b"\n")
