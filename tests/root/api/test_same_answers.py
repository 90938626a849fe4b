"""Raw API calls on dockerd 26.1 and on ours: same status, same words, same fields."""

from __future__ import annotations

import re

import pytest

from tests.servers.engine import Engine, UnixConnection

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


CALLS: list[tuple[str, str, object]] = [
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
]

FIELDS = (
    "/v1.44/version",
    "/v1.44/info",
    "/v1.44/containers/json?all=1",
    "/v1.44/containers/json?all=1&size=1",
    "/v1.44/containers/busy/json",
    "/v1.44/containers/done/json?size=1",
    "/v1.43/images/json",
    "/v1.44/images/json",
    "/v1.44/images/busybox/json",
    "/v1.44/images/busybox/history",
)

# Our words say more than Docker's there.
CLEARER = {
    "POST /v1.44/containers/create {'Image': ''}",  # theirs: no command specified
    "GET /v1.44/images/ghost/get",  # ours has the tag, as everywhere else
}

# What we do not have to have, with the reason.
_GO = ("BuildTime", "GitCommit", "GoVersion", "Experimental")
NOT_OURS = {
    *(f"/v1.44/version.Components[].Details.{name}" for name in _GO),  # of a Go program
    "/v1.44/version.BuildTime",
    "/v1.44/info.KernelMemoryTCP",  # cgroup v1 only, gone from Docker too
    "/v1.44/info.Runtimes.io.containerd.runc.v2",  # there is one runtime here, and it is not runc
    "/v1.44/info.Runtimes.runc.status",
    "/v1.44/images/busybox/json.GraphDriver.Data.WorkDir",  # an image is not mounted
    "/v1.44/images/busybox/json.GraphDriver.Data.MergedDir",
}


def test_errors(pair: tuple[Engine, Engine]) -> None:
    """Rows that change nothing, in any order: one start of the engines for all."""
    differing = []
    for method, path, body in CALLS:
        theirs, ours = (engine.api(method, path, body) for engine in pair)
        call = f"{method} {path} {body or ''}".strip()
        same_words = said(ours.message) == said(theirs.message) or call in CLEARER
        if ours.status != theirs.status or not same_words:
            differing.append(f"{call}\n    theirs {theirs}\n    ours   {ours}")
    assert not differing, "\n".join(differing)


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


def test_fields(pair: tuple[Engine, Engine]) -> None:
    differing = []
    for path in FIELDS:
        theirs, ours = (engine.api("GET", path) for engine in pair)
        assert (theirs.status, ours.status) == (200, 200), path
        differing += [
            each
            for each in missing(theirs.body, ours.body, path)
            if each.removesuffix(" is missing") not in NOT_OURS
        ]
    assert not differing, "\n".join(differing)


# Of `info`: true on one host whichever engine says it.
OF_THE_HOST = (
    *(
        "Architecture",
        "CgroupDriver",
        "CgroupVersion",
        "CPUShares",
        "CPUSet",
        "CpuCfsPeriod",
        "CpuCfsQuota",
        "Driver",
    ),
    *(
        "DriverStatus",
        "IPv4Forwarding",
        "Images",
        "KernelVersion",
        "MemoryLimit",
        "MemTotal",
        "NCPU",
        "Name",
        "OSType",
    ),
    *(
        "OomKillDisable",
        "PidsLimit",
        "SwapLimit",
        "Containers",
        "ContainersPaused",
        "ContainersRunning",
        "Warnings",
    ),
    *(
        "ContainersStopped",
        "DefaultRuntime",
        "Isolation",
        "GenericResources",
        "LoggingDriver",
        "Debug",
        "Swarm",
    ),
    *(
        "RegistryConfig",
        "IndexServerAddress",
        "HttpProxy",
        "HttpsProxy",
        "NoProxy",
        "Labels",
        "ExperimentalBuild",
    ),
)


def test_info_of_one_host(pair: tuple[Engine, Engine]) -> None:
    for engine in pair:
        engine.ok("create", "busybox")
        engine.ok("pause", "busy")
    theirs, ours = (engine.api("GET", "/v1.45/info").body for engine in pair)
    assert isinstance(theirs, dict)
    assert isinstance(ours, dict)
    assert {key: ours[key] for key in OF_THE_HOST} == {key: theirs[key] for key in OF_THE_HOST}
    for engine in pair:
        engine.ok("unpause", "busy")


def test_ping(pair: tuple[Engine, Engine]) -> None:
    """Its headers are what clients choose their API version and builder by."""
    for method in ("GET", "HEAD"):
        answers = []
        for engine in pair:
            connection = UnixConnection(engine.socket)
            connection.request(method, "/_ping")
            answer = connection.getresponse()
            body = answer.read()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            # Ours come without a date, and the builder is the classic one: there is no BuildKit here.
            for name in ("date", "server", "builder-version", "api-version"):
                headers.pop(name, None)
            answers.append((answer.status, body, headers))
            connection.close()
        assert answers[0] == answers[1]
