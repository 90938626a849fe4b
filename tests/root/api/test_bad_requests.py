"""Requests that are no good as HTTP, JSON or query: dockerd's status code, a sentence, and nothing left."""

from __future__ import annotations

import json
import socket

import pytest

from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer]

GOOD = b'{"Image": "busybox", "Cmd": ["true"]}'
CREATE = "POST /v1.44/containers/create"
JSON = "Content-Type: application/json"


def send(engine: Engine, start: str, headers: list[str], body: bytes) -> tuple[int, str]:
    """Status and message of a request as it stands; the connection is closed by us behind it."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(engine.socket))
        head = "\r\n".join([f"{start} HTTP/1.1", "Host: docker", "Connection: close", *headers, "", ""])
        try:
            sock.sendall(head.encode("latin-1") + body)
            sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass  # it has answered already
        answer = b""
        try:
            while piece := sock.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
    head_part, _, rest = answer.partition(b"\r\n\r\n")
    begin, end = rest.find(b"{"), rest.rfind(b"}")
    try:
        message = str(json.loads(rest[begin : end + 1]).get("message", "")) if begin >= 0 else rest.decode()
    except ValueError:
        message = rest.decode(errors="replace")
    return int(head_part.split(b" ", 2)[1]), message


def with_length(body: bytes, *headers: str) -> tuple[list[str], bytes]:
    return [*headers, f"Content-Length: {len(body)}"], body


BODIES: dict[str, tuple[list[str], bytes]] = {
    "none at all": ([], b""),
    "empty": with_length(b"", JSON),
    "blank": with_length(b"  \n", JSON),
    "null": with_length(b"null", JSON),
    "a list": with_length(b"[]", JSON),
    "a word": with_length(b'"x"', JSON),
    "no type": with_length(GOOD),
    "text": with_length(GOOD, "Content-Type: text/plain"),
    "no media type": with_length(GOOD, "Content-Type: ;;"),
    "with a charset": with_length(GOOD, f"{JSON}; charset=utf-8"),
    "cut": with_length(GOOD[:-1], JSON),
    "two": with_length(GOOD + GOOD, JSON),
    "followed by garbage": with_length(GOOD + b" x", JSON),
    "a key twice": with_length(b'{"Image": "ghost", ' + GOOD[1:], JSON),
    "keys in lower case": with_length(b'{"image": "busybox", "cmd": ["true"]}', JSON),
    "unknown keys": with_length(b'{"Nope": {"a": [1]}, ' + GOOD[1:], JSON),
    "a command as one word": with_length(b'{"Image": "busybox", "Cmd": "true"}', JSON),
    "deep": with_length(b'{"HostConfig": ' + b"[" * 100_000, JSON),
    "deep and closed": with_length(b'{"Nope": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", JSON),
    "not a number": with_length(b'{"Image": "busybox", "StopTimeout": NaN}', JSON),
    "broken UTF-8": with_length(b'{"Image": "busybox", "Cmd": ["true", "\xff\xfe"]}', JSON),
    "half a surrogate": with_length(b'{"Image": "busybox", "Cmd": ["true", "\\ud800"]}', JSON),
    "chunked": ([JSON, "Transfer-Encoding: chunked"], b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)),
    "chunked garbage": ([JSON, "Transfer-Encoding: chunked"], b"zz\r\n{}\r\n0\r\n\r\n"),
    "chunked and cut": ([JSON, "Transfer-Encoding: chunked"], b"%x\r\n%s" % (len(GOOD), GOOD[:5])),
    "two lengths": ([JSON, "Content-Length: 3", "Content-Length: 4"], b"{}  "),
    "a length that is none": ([JSON, "Content-Length: x"], b"{}"),
}
TARGETS = (
    *("GET /containers/a%00b/json", "GET /containers/%ff/json"),
    *("GET /v1.44", "GET /v1.44/", "GET /", "GET /v1.44/containers", "GET /v2/info"),
    *(
        "PUT /containers/json",
        "POST /info",
        "DELETE /containers/json",
        "PATCH /version",
        "GET /containers/create",
    ),
    *("POST /containers/box/kill?signal=%00", "POST /containers/box/kill?signal=99999999999999999999"),
    *(
        "POST /containers/box/resize",
        "POST /containers/box/resize?h=a&w=1",
        "POST /containers/box/resize?h=1",
    ),
    *("POST /containers/box/rename?name=../x", "POST /containers/box/rename?name=%ff"),
    f"POST /containers/box/rename?name={'x' * 100_000}%2f",
    *(
        "POST /containers/box/wait?condition=%00",
        "GET /containers/json?filters=x",
        "GET /containers/json?filters=[]",
    ),
    *(
        'GET /containers/json?filters={"status":1}',
        'GET /images/json?filters={"nope":["x"]}',
        "GET /events?filters=x",
    ),
    *(
        "POST /containers/create?name=..%2f..%2fx",
        "POST /containers/create?name=%00",
        "HEAD /_ping",
        "HEAD /info",
    ),
    *("POST /exec/x/start", "POST /exec/x/resize?h=1&w=1", "POST /exec/x/resize"),
    f"GET /containers/{'x' * 10_000}/json",
    f"GET /containers/json?x={'y' * 2_000_000}",
)
# What the client did wrong is 400 here; there some of it is "internal error", 500.
CLIENTS_FAULT = (
    *("GET /containers/json?limit=x", "POST /containers/box/stop?t=x", "POST /containers/box/restart?t=x"),
    *("GET /containers/box/logs?stdout=1&since=x", "GET /events?since=x", "GET /events?until=1.x&since=1"),
)


def test_bodies(both: tuple[Engine, Engine]) -> None:
    differing = []
    for name, (headers, body) in BODIES.items():
        (theirs, said), (ours, words) = (send(engine, CREATE, headers, body) for engine in both)
        if theirs != ours or (ours >= 400 and len(words) < 10):
            differing.append(f"{name}: theirs {theirs} {said[:200]!r}, ours {ours} {words[:200]!r}")
    assert not differing, "\n".join(differing)
    theirs, ours = (len(list(_containers(engine))) for engine in both)
    assert ours == theirs


def test_paths_that_dockerd_would_clean(daemon: Daemon) -> None:
    """It answers 301 with the clean path, which clients do not follow with POST. Here empty segments are none."""
    assert daemon.engine.api("GET", "/containers//json").status == 200
    assert daemon.engine.api("GET", "/containers/..%2f..%2fetc/json").status == 404


def test_a_body_that_is_cut(daemon: Daemon) -> None:
    """dockerd reads as far as the JSON goes; here what was promised has to come."""
    status, words = send(daemon.engine, CREATE, [JSON, f"Content-Length: {len(GOOD) + 5}"], GOOD)
    assert (status, "without sending" in words) == (400, True)


def _containers(engine: Engine) -> list[object]:
    listed = engine.api("GET", "/containers/json?all=1").body
    assert isinstance(listed, list)
    return listed


def test_targets(both: tuple[Engine, Engine]) -> None:
    for engine in both:
        engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    differing = []
    for target in TARGETS:
        headers, body = with_length(b"{}", JSON) if target.startswith("P") else ([], b"")
        (theirs, said), (ours, words) = (
            send(engine, target.replace('"', "%22"), headers, body) for engine in both
        )
        if theirs != ours:
            differing.append(f"{target[:80]}: theirs {theirs} {said[:200]!r}, ours {ours} {words[:200]!r}")
    for target in CLIENTS_FAULT:
        (theirs, said), (ours, words) = (send(engine, target, [], b"") for engine in both)
        if (theirs, ours) != (500, 400):
            differing.append(f"{target}: theirs {theirs} {said[:200]!r}, ours {ours} {words[:200]!r}")
    assert not differing, "\n".join(differing)
    for engine in both:
        assert engine.inspect("box", "{{.State.Running}}") == "true"


def test_a_body_of_100_megabytes(daemon: Daemon) -> None:
    """dockerd takes it whole; ours says where the limit is, and has not kept it."""
    size = 100 << 20
    body = b'{"Image": "busybox", "Labels": {"a": "' + b"x" * size + b'"}}'
    status, words = send(daemon.engine, CREATE, [JSON, f"Content-Length: {len(body)}"], body)
    assert (status, "limit" in words) == (400, True)
    assert daemon.engine.api("GET", "/containers/json?all=1").body == []
