"""Errors of the API, compared side by side: status and text are what clients look at."""

from __future__ import annotations

import re

import pytest

from tests.servers.engine import Answer, Engine
from tests.servers.hostagent import Daemon

BUSY = {"Image": "busybox", "Cmd": ["sleep", "60"]}
ZERO = "0" * 64

CALLS: list[tuple[str, str, object]] = [
    ("GET", "/containers/nope/json", None),
    ("POST", "/containers/nope/start", None),
    ("POST", "/containers/nope/stop", None),
    ("POST", "/containers/nope/kill", None),
    ("POST", "/containers/nope/wait", None),
    ("POST", "/containers/nope/restart", None),
    ("POST", "/containers/nope/exec", {"Cmd": ["true"]}),
    ("POST", "/containers/nope/rename?name=x1", None),
    ("DELETE", "/containers/nope", None),
    ("GET", "/containers/nope/logs?stdout=1", None),
    ("GET", "/containers/stopped/logs", None),
    ("POST", "/containers/stopped/kill", None),
    ("POST", "/containers/stopped/exec", {"Cmd": ["true"]}),
    ("POST", "/containers/running/exec", {"Cmd": []}),
    ("POST", "/containers/running/kill?signal=NOPE", None),
    ("POST", "/containers/running/rename?name=stopped", None),
    ("POST", "/containers/running/rename?name=", None),
    ("POST", "/containers/stopped/resize?h=10&w=10", None),
    ("DELETE", "/containers/running", None),
    ("POST", "/containers/running/start", None),
    ("POST", "/containers/stopped/stop", None),
    ("GET", f"/exec/{ZERO}/json", None),
    ("POST", f"/exec/{ZERO}/start", {"Detach": True}),
    ("POST", "/containers/create", {"Image": "nosuch:v1"}),
    ("POST", "/containers/create?name=running", BUSY),
    ("POST", "/containers/create?name=a/b", BUSY),
    ("POST", "/containers/create", {**BUSY, "WorkingDir": "relative"}),
    ("POST", "/containers/create", {**BUSY, "StopSignal": "NOPE"}),
    ("POST", "/containers/create", {**BUSY, "HostConfig": {"Memory": 1024}}),
    ("POST", "/containers/create", {**BUSY, "HostConfig": {"RestartPolicy": {"Name": "sometimes"}}}),
    (
        "POST",
        "/containers/create",
        {**BUSY, "HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": "always"}}},
    ),
    ("POST", "/containers/create", {**BUSY, "HostConfig": {"CapAdd": ["NOPE"]}}),
    ("POST", "/containers/create", {**BUSY, "HostConfig": {"NanoCpus": -5}}),
    ("GET", "/images/nosuch/json", None),
    ("GET", "/images/nosuch/history", None),
    ("DELETE", "/images/nosuch", None),
    ("POST", "/images/nosuch/tag?repo=x&tag=y", None),
    ("POST", "/images/busybox/tag?repo=UPPER&tag=y", None),
    ("POST", "/images/busybox/tag?repo=x&tag=..", None),
    ("POST", "/images/create?fromImage=Upper&tag=x", None),
    ("GET", "/images/nosuch/get", None),
    ("DELETE", "/images/busybox", None),
    ("GET", "/containers/json?filters=notjson", None),
    ("GET", '/containers/json?filters={"nosuch":["x"]}', None),
    ("GET", '/containers/json?filters={"status":["odd"]}', None),
    ("GET", '/images/json?filters={"nosuch":["x"]}', None),
    ("GET", "/nosuch", None),
    ("PUT", "/containers/json", None),
    ("GET", "/v1.10/version", None),
    ("GET", "/v1.99/version", None),
    ("GET", "/v1.24/_ping", None),
    ("HEAD", "/_ping", None),
]

# Where we differ on purpose: the call, our status and the reason.
OWN: list[tuple[str, str, object, int, str]] = [
    (
        "POST",
        "/containers/nope/attach?stream=1&stdout=1",
        None,
        404,
        "theirs is plain text, not Docker's error JSON",
    ),
    ("POST", "/containers/running/resize?h=x&w=10", None, 400, "theirs quotes a Go function"),
    ("POST", "/containers/create", {"Cmd": ["true"]}, 400, "theirs makes a container without an image"),
    (
        "POST",
        "/containers/create",
        {**BUSY, "HostConfig": {"Binds": ["/x:relative"]}},
        400,
        "theirs says 500",
    ),
    (
        "POST",
        "/containers/create",
        {**BUSY, "HostConfig": {"Binds": ["/x:/y:nomode"]}},
        400,
        "theirs says 500",
    ),
    (
        "POST",
        "/containers/create",
        {**BUSY, "HostConfig": {"NetworkMode": "nonet"}},
        400,
        "theirs fails at start; a 404 here makes clients pull the image",
    ),
]


def normal(answer: Answer) -> tuple[int, str]:
    """Status and message; what is different by nature (IDs, versions, paths) is replaced."""
    text = answer.message or ("" if answer.body is None else type(answer.body).__name__)
    text = re.sub(r"\b[0-9a-f]{64}\b", "<id>", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "<id>", text)
    text = re.sub(r"version is 1\.\d+", "version is <newest>", text)
    return answer.status, text


@pytest.fixture(scope="module")
def prepared(peer_engine: Engine, our_daemon: Daemon) -> tuple[Engine, Engine]:
    """Both engines with one running and one stopped container."""
    for engine in (peer_engine, our_daemon.engine):
        engine.ok("run", "-d", "--name", "running", "busybox", "sleep", "600")
        engine.ok("run", "--name", "stopped", "busybox", "true")
    return peer_engine, our_daemon.engine


@pytest.mark.peer
@pytest.mark.parametrize(("method", "path", "body"), CALLS, ids=[f"{m} {p} {b or ''}" for m, p, b in CALLS])
def test_same_status_and_text(prepared: tuple[Engine, Engine], method: str, path: str, body: object) -> None:
    theirs, ours = (normal(engine.api(method, path.replace('"', "%22"), body)) for engine in prepared)
    # Ours may go on after Docker's words and say what to do.
    assert (ours[0], ours[1][: len(theirs[1])]) == theirs


@pytest.mark.parametrize(("method", "path", "body", "status", "reason"), OWN)
def test_where_we_differ(
    daemon: Daemon, method: str, path: str, body: object, status: int, reason: str
) -> None:
    answer = daemon.engine.api(method, path, body)
    assert (answer.status, bool(answer.message)) == (status, True), reason


def test_a_name_is_ambiguous(daemon: Daemon) -> None:
    """17 containers: two must share the first hexadecimal digit."""
    engine = daemon.engine
    made = [engine.api("POST", "/containers/create", BUSY).body for _ in range(17)]
    digits = [str(body["Id"])[0] for body in made if isinstance(body, dict)]
    doubled = next(digit for digit in digits if digits.count(digit) > 1)
    answer = engine.api("GET", f"/containers/{doubled}/json")
    assert (answer.status, "multiple IDs found" in answer.message or "ambiguous" in answer.message) == (
        400,
        True,
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/swarm"), ("POST", "/session"), ("GET", "/plugins")],
)
def test_what_is_not_built_yet_says_so(daemon: Daemon, method: str, path: str) -> None:
    answer = daemon.engine.api(method, path)
    assert answer.status in (404, 501)
    assert answer.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Privileged", True),
        ("PidMode", "host"),
        ("IpcMode", "host"),
        ("UsernsMode", "host"),
        ("Devices", [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}]),
        ("VolumesFrom", ["other"]),
        ("Links", ["other:alias"]),
        ("GroupAdd", ["50"]),
        ("Sysctls", {"net.ipv4.ip_forward": "1"}),
        ("SecurityOpt", ["label=disable"]),
        ("OomScoreAdj", 500),
        ("CpusetCpus", "0"),
        ("Runtime", "other"),
        ("StorageOpt", {"size": "1G"}),
        ("LogConfig", {"Type": "syslog", "Config": {}}),
    ],
)
def test_no_option_is_accepted_and_ignored(daemon: Daemon, name: str, value: object) -> None:
    """A known option that is not built yet is refused with its name; one that is built shows up in inspect."""
    body = {**BUSY, "HostConfig": {name: value}}
    answer = daemon.engine.api("POST", "/containers/create?name=opt", body)
    if answer.status == 201:
        found = daemon.engine.api("GET", "/containers/opt/json").body
        assert isinstance(found, dict)
        assert found["HostConfig"][name] == value
    else:
        assert answer.status in (
            400,
            404,
            500,
            501,
        )  # 500 is dockerd's too, for what the storage driver cannot do
        words = re.sub(r"[^a-z]", "", answer.message.lower())
        assert answer.status != 501 or re.sub(r"mode$|config$", "", name.lower()) in words.replace(
            "driver", ""
        )
