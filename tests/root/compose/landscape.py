"""What a compose project has made on an engine, as far as two engines must agree on it."""

from __future__ import annotations

import difflib
import json
from typing import Any

from tests.root.compose.conftest import Project
from tests.servers.engine import Engine

_API = "/v1.45"
_OWN_DRIVERS = ("bridge", "host", "none")


def landscape(project: Project) -> str:
    """Containers, networks and volumes as indented JSON, with labels and without what chance gives."""
    engine = project.engine
    found = {
        "containers": {name: _container(body) for name, body in _containers(engine).items()},
        "networks": {
            body["Name"]: _network(body)
            for body in _get(engine, "/networks")
            if body["Name"] not in _OWN_DRIVERS
        },
        "volumes": sorted(
            project.neutral(json.dumps(_volume(body), sort_keys=True))
            for body in _get(engine, "/volumes")["Volumes"] or []
        ),
    }
    return project.neutral(json.dumps(found, indent=1, sort_keys=True))


def agree(theirs: str, ours: str) -> None:
    """Fails with the lines that differ."""
    lines = [
        *difflib.unified_diff(theirs.splitlines(), ours.splitlines(), "dockerd", "hostagent", lineterm="")
    ]
    assert not lines, "\n".join(["not as on dockerd:", *lines])


def identities(project: Project) -> dict[str, str]:
    """Name -> ID, and the start of each container that runs: what a second `up` must not change."""
    return {
        name: f"{body['Id']} {body['State']['StartedAt'] if body['State']['Running'] else 'ended'}"
        for name, body in _containers(project.engine).items()
    }


def _containers(engine: Engine) -> dict[str, Any]:
    listed = _get(engine, "/containers/json?all=1")
    return {
        each["Names"][0]: _get(engine, f"/containers/{each['Id']}/json") | {"Listed": each} for each in listed
    }


def _container(body: dict[str, Any]) -> dict[str, Any]:
    listed, host = body["Listed"], dict(body["HostConfig"])
    del host["MaskedPaths"]  # ours hides more
    for name in ("Binds", "Mounts"):
        host[name] = sorted(json.dumps(each, sort_keys=True) for each in host.get(name) or [])
    networks = {name: dict(endpoint) for name, endpoint in body["NetworkSettings"]["Networks"].items()}
    short = body["Id"][:12]
    for endpoint in networks.values():
        for name in ("EndpointID", "NetworkID", "MacAddress", "IPAddress", "Gateway", "IPPrefixLen"):
            del endpoint[name]
        for name in ("Aliases", "DNSNames"):  # Compose 1.29 gives them in any order
            endpoint[name] = sorted({*(endpoint[name] or ())} - {short})
    return {
        "names": sorted(listed["Names"]),
        "listed networks": {
            name: [endpoint["Aliases"], endpoint["Links"], endpoint["DNSNames"], endpoint["IPAMConfig"]]
            for name, endpoint in listed["NetworkSettings"]["Networks"].items()
        },
        "config": {**body["Config"], "Env": sorted(body["Config"]["Env"] or []), "Image": ""},
        "host": host,
        "mounts": sorted(f"{each['Type']} {each['Destination']} {each['RW']}" for each in body["Mounts"]),
        "networks": networks,
        "status": body["State"]["Status"],
    }


def _network(body: dict[str, Any]) -> dict[str, Any]:
    shown = {
        name: body[name] for name in ("Driver", "Internal", "Attachable", "Labels", "Options", "EnableIPv6")
    }
    return {**shown, "members": sorted(each["Name"] for each in body["Containers"].values())}


def _volume(body: dict[str, Any]) -> dict[str, Any]:
    # An anonymous one of `--mount` is labelled as such by ours, so that prune finds it.
    labels = {name: text for name, text in (body["Labels"] or {}).items() if not name.endswith("anonymous")}
    return {"Name": body["Name"], "Driver": body["Driver"], "Labels": labels, "Options": body["Options"]}


def _get(engine: Engine, path: str) -> Any:
    answer = engine.api("GET", _API + path)
    assert answer.status == 200, (path, answer)
    return answer.body
