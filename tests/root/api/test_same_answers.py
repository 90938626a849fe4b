"""Raw API calls on dockerd 26.1 and on ours: same status, same words, same fields."""

from __future__ import annotations

import re

import pytest

from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

_ID = re.compile(r"[0-9a-f]{64}|[0-9a-f]{12}")


def said(text: str) -> str:
    """An error without what differs between any two engines: IDs and the newest API version."""
    return re.sub(r"1\.4\d", "1.4N", _ID.sub("ID", text))


@pytest.fixture
def pair(both: tuple[Engine, Engine]) -> tuple[Engine, Engine]:
    """Both engines with a stopped container "done" and a running one, "busy"."""
    for engine in both:
        engine.ok("run", "-d", "--name", "busy", "busybox", "sleep", "1000")
        engine.ok("run", "--name", "done", "busybox", "true")
    return both


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1.44/nope", None),
        ("GET", "/v1.23/info", None),
        ("GET", "/v1.99/info", None),
        ("GET", "/v1.44/containers/ghost/json", None),
        ("POST", "/v1.44/containers/ghost/start", None),
        ("POST", "/v1.44/containers/ghost/stop", None),
        ("POST", "/v1.44/containers/ghost/kill", None),
        ("POST", "/v1.44/containers/ghost/wait", None),
        ("POST", "/v1.44/containers/ghost/exec", {"Cmd": ["ls"]}),
        ("POST", "/v1.44/containers/busy/start", None),
        ("POST", "/v1.44/containers/done/stop", None),
        ("POST", "/v1.44/containers/done/kill", None),
        ("POST", "/v1.44/containers/busy/kill?signal=NOPE", None),
        ("DELETE", "/v1.44/containers/busy", None),
        ("DELETE", "/v1.44/containers/ghost", None),
        ("POST", "/v1.44/containers/busy/exec", {"Cmd": []}),
        ("POST", "/v1.44/containers/done/exec", {"Cmd": ["ls"]}),
        ("POST", "/v1.44/exec/ghost/start", {}),
        ("GET", "/v1.44/exec/ghost/json", None),
        ("POST", "/v1.44/containers/busy/rename?name=done", None),
        ("POST", "/v1.44/containers/busy/rename?name=bad/name", None),
        ("POST", "/v1.44/containers/busy/rename", None),
        ("POST", "/v1.44/containers/busy/wait?condition=happy", None),
        ("GET", "/v1.44/containers/busy/logs", None),
        ("POST", "/v1.44/containers/create?name=busy", {"Image": "busybox"}),
        ("POST", "/v1.44/containers/create", {"Image": "ghost"}),
        ("POST", "/v1.44/containers/create", {"Image": ""}),
        ("POST", "/v1.44/containers/create?name=bad/name", {"Image": "busybox"}),
        ("GET", "/v1.44/images/ghost/json", None),
        ("GET", "/v1.44/images/ghost/history", None),
        ("POST", "/v1.44/images/ghost/tag?repo=x", None),
        ("DELETE", "/v1.44/images/ghost", None),
        ("GET", "/v1.44/images/ghost/get", None),
    ],
)
def test_errors(pair: tuple[Engine, Engine], method: str, path: str, body: object) -> None:
    theirs, ours = (engine.api(method, path, body) for engine in pair)
    assert (ours.status, said(ours.message)) == (theirs.status, said(theirs.message))


def missing(theirs: object, ours: object, at: str = "") -> list[str]:
    """What theirs has and ours lacks or has as another type; null and empty lists match any list and any map."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = [f"{at}.{key} is missing" for key in theirs.keys() - ours.keys()]
        for key in theirs.keys() & ours.keys():
            found += missing(theirs[key], ours[key], f"{at}.{key}")
        return found
    if isinstance(theirs, list) and isinstance(ours, list):
        return missing(theirs[0], ours[0], f"{at}[]") if theirs and ours else []
    if theirs is None or ours is None or type(theirs) is type(ours):
        return []
    return [f"{at} is {type(ours).__name__}, not {type(theirs).__name__}"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1.44/version", set()),
        ("/v1.44/containers/json?all=1", set()),
        ("/v1.44/containers/json?all=1&size=1", set()),
        ("/v1.44/containers/busy/json", set()),
        ("/v1.44/containers/done/json?size=1", set()),
        ("/v1.44/images/json", set()),
        ("/v1.43/images/json", set()),
        ("/v1.44/images/busybox/json", set()),
        ("/v1.44/images/busybox/history", set()),
        ("/v1.44/info", set()),
    ],
)
def test_fields(pair: tuple[Engine, Engine], path: str, allowed: set[str]) -> None:
    theirs, ours = (engine.api("GET", path) for engine in pair)
    assert (theirs.status, ours.status) == (200, 200)
    assert set(missing(theirs.body, ours.body)) <= allowed
