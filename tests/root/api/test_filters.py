"""Filters of lists and of events: every one, with values that fit, that do not, and that are wrong."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from urllib.parse import quote

import pytest

from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

CONTAINERS: list[Mapping[str, object]] = [
    *({"status": [status]} for status in ("created", "running", "exited", "paused", "odd")),
    *({"exited": [code]} for code in ("0", "7", "x", "")),
    *({"name": [name]} for name in ("one", "/one", "^/one$", "^o", "(", "")),
    *({"label": labels} for labels in (["a"], ["a=b"], ["a=c"], ["a", "c"], ["a=b", "c=d"])),
    *({"health": [word]} for word in ("none", "healthy", "odd")),
    *({"is-task": values} for values in (["true"], ["false"], ["odd"], ["true", "false"], [])),
    *({"network": [name]} for name in ("bridge", "none", "ghost")),
    *({"volume": [path]} for path in ("/data", "/proc", "/ghost")),
    *({"ancestor": [image]} for image in ("busybox", "busybox:latest", "ghost")),
    *({"before": [name]} for name in ("one", "two", "/two", "ghost")),
    *({"since": [name]} for name in ("one", "two", "ghost")),
    *({"expose": [port]} for port in ("7000", "7000/tcp", "7000/udp", "6999-7001")),
    *({"publish": [port]} for port in ("80", "18090", "18080-18099/tcp", "18090/udp")),
    {"publish": ["18090"], "expose": ["1"]},
    *({"isolation": [word]} for word in ("default", "hyperv", "")),
    {"id": ["zz"]},
    {"nope": ["x"]},
    {"name": {"one": True}},
    {"status": {"exited": True, "running": True}},
]
# 500 there for what the client did wrong, 400 here.
WRONG_PORTS: tuple[Mapping[str, object], ...] = (
    {"publish": ["x"]},
    {"expose": ["1:2"]},
    {"expose": ["9-8"]},
    {"publish": [""]},
)


def ask(engine: Engine, path: str, filters: object) -> tuple[int, object]:
    """Status, and names or the error."""
    answer = engine.api("GET", f"{path}&filters={quote(json.dumps(filters))}")
    if isinstance(answer.body, list):
        return answer.status, [each["Names"][0] for each in answer.body]
    # Go's reasons are not ours, and its maps have no order.
    return answer.status, re.split(r": strconv|: write|=\[", answer.message)[0]


def test_filters_of_containers(both: tuple[Engine, Engine]) -> None:
    for engine in both:
        options = ["-v", "/proc:/data:ro", "-l", "a=b", "-p", "18090:80", "--expose", "7000"]
        engine.ok("run", "-d", "--name", "one", *options, "busybox", "sleep", "60")
        engine.ok("run", "--name", "two", "--network", "none", "-l", "a=b", "-l", "c=d", "busybox", "true")
        engine.docker("run", "--name", "three", "busybox", "sh", "-c", "exit 7")
        engine.ok("create", "--name", "four", "busybox")
    differing = []
    for filters in CONTAINERS:
        for path in ("/containers/json?all=1", "/containers/json?all=0", "/containers/json?limit=2"):
            theirs, ours = (ask(engine, path, filters) for engine in both)
            if theirs != ours:
                differing.append(f"{path} {filters}: theirs {theirs}, ours {ours}")
    assert not differing, "\n".join(differing)
    for filters in WRONG_PORTS:
        theirs, ours = (ask(engine, "/containers/json?all=1", filters) for engine in both)
        assert (theirs[0], ours[0]) == (500, 400), (filters, theirs, ours)


def test_an_image_that_lost_its_name(both: tuple[Engine, Engine]) -> None:
    """The list shows the ID then, and what the name means now has no container."""
    for engine in both:
        engine.ok("tag", "busybox", "mine")
        engine.ok("create", "--name", "one", "mine")
        engine.ok("rmi", "mine")
    for path in ("/containers/json?all=1",):
        theirs, ours = (engine.api("GET", path).body for engine in both)
        assert isinstance(theirs, list)
        assert isinstance(ours, list)
        assert ours[0]["Image"] == theirs[0]["Image"] == theirs[0]["ImageID"]


EVENTS: list[dict[str, list[str]]] = [
    *({"type": [kind]} for kind in ("container", "network", "image", "daemon", "odd")),
    *({"event": events} for events in (["start"], ["exec_create"], ["exec"], ["exec_die", "die"], ["st"])),
    *({"container": [name]} for name in ("box", "bo", "other", "x")),
    *({"image": [name]} for name in ("busybox", "busybox:latest", "other", "busybo")),
    *({"label": labels} for labels in (["a"], ["a=b"], ["a=c"], ["a=b", "c"])),
    *({"scope": [scope]} for scope in ("local", "swarm")),
    *(
        {kind: ["x"]}
        for kind in ("network", "volume", "daemon", "plugin", "node", "service", "secret", "config")
    ),
    {"container": ["box"], "event": ["die"], "type": ["container"]},
]


def test_filters_of_events(both: tuple[Engine, Engine]) -> None:
    """Of containers and images: networks tell of endpoints when they are built here."""
    since = {engine.name: f"{time.time():.9f}" for engine in both}
    for engine in both:
        engine.ok("run", "-d", "--name", "box", "-l", "a=b", "busybox", "sleep", "60")
        engine.ok("exec", "box", "true")
        engine.ok("tag", "busybox", "other")
        engine.ok("rm", "-f", "box")
        engine.ok("rmi", "other")
    until = f"{time.time() + 0.5:.9f}"
    differing = []
    for filters in EVENTS:
        seen = []
        for engine in both:
            target = f"/events?since={since[engine.name]}&until={until}&filters={quote(json.dumps(filters))}"
            body = engine.api("GET", target).body
            lines = [json.loads(line) for line in _lines(body)]
            seen.append(
                [(each["Type"], each["Action"]) for each in lines if each["Type"] in ("container", "image")]
            )
        if seen[0] != seen[1]:
            differing.append(f"{filters}: theirs {seen[0]}, ours {seen[1]}")
    assert not differing, "\n".join(differing)


def _lines(body: object) -> list[str]:
    """One event comes decoded, several as text, none as nothing."""
    if isinstance(body, str):
        return body.splitlines()
    return [json.dumps(body)] if body else []


def test_times_of_events(engine: Engine) -> None:
    engine.ok("create", "--name", "box", "busybox")

    def count(query: str) -> int:
        return len(_lines(engine.api("GET", f"/events?{query}").body))

    now = int(time.time())
    assert count(f"since=0&until={now + 1}") >= 1
    assert count(f"until={now + 1}") >= 1
    assert count(f"since={now + 1}&until={now + 1}.5") == 0
    assert count(f"since={now - 60}.123456789012&until={now + 1}") >= 1
    refused = engine.api("GET", f"/events?since={now}&until={now - 1}")
    assert (refused.status, "cannot be after" in refused.message) == (400, True)
