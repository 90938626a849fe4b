"""Blobs and manifests over connections that break, servers that are busy, tokens that expire: on a real socket."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostagent.errors import EngineError, Invalid, NotFound, Unauthorized, Unavailable
from hostagent.registry import session, upload
from hostagent.registry.auth import Credentials
from hostagent.registry.client import Client
from hostagent.registry.config import Endpoint
from hostagent.registry.download import download
from hostagent.registry.login import login
from hostagent.registry.search import Found, search
from hostagent.registry.upload import Upload
from tests.servers.scripted import Asked, Said, Script, Scripted

DATA = bytes(range(256)) * 40
NAME = "sha256:" + hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses are noted instead of made."""
    paused: list[float] = []
    monkeypatch.setattr("time.sleep", paused.append)
    return paused


OPENED: list[Client] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def client(server: Scripted, credentials: Credentials | None = None) -> Client:
    OPENED.append(Client(Endpoint(server.url), "team/app", credentials, "pull,push"))
    return OPENED[-1]


def fetched(server: Scripted) -> bytes:
    with tempfile.TemporaryFile() as file:
        download(client(server), NAME, len(DATA), file.fileno(), lambda _: None)
        file.seek(0)
        return file.read()


def first_then(answers: list[Said | None], last: Script) -> Script:
    """One after the other, then what `last` says."""

    def script(asked: Asked) -> Said | None:
        return answers.pop(0) if answers else last(asked)

    return script


def ranges(asked: Asked) -> Said:
    """Honours Range, and breaks off after 4000 bytes."""
    match = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("Range", ""))
    start = int(match[1]) if match else 0
    headers = {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"} if match else {}
    return Said(206 if match else 200, DATA[start:], headers, cut=4000)


def test_a_download_goes_on_where_it_broke() -> None:
    with Scripted(ranges) as server:
        assert fetched(server) == DATA
        assert len(server.log) == 3


def test_a_download_begins_anew_where_there_are_no_ranges() -> None:
    with Scripted(first_then([Said(body=DATA, cut=100)], lambda _: Said(body=DATA))) as server:
        assert fetched(server) == DATA


def test_a_download_that_makes_no_progress_ends(no_waiting: list[float]) -> None:
    with Scripted(lambda _: Said(body=DATA, cut=0)) as server:
        with pytest.raises(Unavailable, match=f"0 of {len(DATA)} bytes .* 5 times"):
            fetched(server)
        assert no_waiting == [0.2, 0.4, 0.8, 1.6]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_busy_registry_is_given_time(status: int, no_waiting: list[float]) -> None:
    busy = [Said(status, headers={"Retry-After": "7"}), Said(status)]
    with Scripted(first_then([*busy], lambda _: Said(body=DATA))) as server:
        assert fetched(server) == DATA
        assert no_waiting == [7.0, 0.4]


def test_a_limit_is_told_to_a_person(no_waiting: list[float]) -> None:
    body = json.dumps(
        {"errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]}
    )
    with Scripted(lambda _: Said(429, body.encode(), {"Retry-After": "3600"})) as server:
        with pytest.raises(Unavailable) as caught:
            client(server).manifest("1")
        assert len(server.log) == 1 and not no_waiting, "nobody wants to wait for an hour without a word"
    for part in (
        "toomanyrequests: ",
        "You have reached your pull rate limit",
        "in 3600 seconds",
        "docker login",
    ):
        assert part in str(caught.value)


def test_a_reset_connection_is_tried_again() -> None:
    manifest = b'{"schemaVersion":2}'
    with Scripted(first_then([None, None], lambda _: Said(body=manifest))) as server:
        assert client(server).manifest("1").raw == manifest


def test_redirects_do_not_carry_the_login() -> None:
    seen: list[str | None] = []

    def storage(asked: Asked) -> Said:
        seen.append(asked.headers.get("Authorization"))
        return Said(body=DATA)

    with Scripted(storage) as elsewhere:

        def registry(asked: Asked) -> Said:
            if asked.headers.get("Authorization") is None:
                return Said(401, headers={"WWW-Authenticate": 'Basic realm="here"'})
            return Said(307, headers={"Location": f"{elsewhere.url}/bucket/blob?signed=1"})

        with Scripted(registry) as server, tempfile.TemporaryFile() as file:
            download(
                client(server, Credentials("me", "right")), NAME, len(DATA), file.fileno(), lambda _: None
            )
    assert seen == [None]


def test_redirects_in_a_circle_end() -> None:
    with Scripted(lambda asked: Said(307, headers={"Location": asked.path})) as server:
        with pytest.raises(Unavailable, match="too many redirects"):
            client(server).manifest("1")
        assert len(server.log) == session.REDIRECTS + 1


def test_a_token_that_expires_is_renewed() -> None:
    given: list[str] = []

    def script(asked: Asked) -> Said:
        if asked.path.startswith("/token"):
            given.append(f"token{len(given)}")
            return Said(body=json.dumps({"token": given[-1]}).encode())
        if not given or asked.headers.get("Authorization") != f"Bearer {given[-1]}" or len(server.log) == 5:
            realm = f'Bearer realm="{server.url}/token",service="s",scope="repository:team/app:pull"'
            return Said(401, headers={"WWW-Authenticate": realm})
        return ranges(asked)

    with Scripted(script) as server:
        assert fetched(server) == DATA
    assert given == ["token0", "token1"], "once for the first request, once in the middle"


def test_tags_come_in_pages() -> None:
    pages = {
        "/v2/team/app/tags/list": Said(
            body=b'{"tags":["1","2"]}', headers={"Link": '</v2/team/app/tags/list?last=2&n=2>; rel="next"'}
        ),
        "/v2/team/app/tags/list?last=2&n=2": Said(body=b'{"tags":["3"]}'),
    }
    with Scripted(lambda asked: pages[asked.path]) as server:
        assert client(server).tags() == ["1", "2", "3"]
    with Scripted(lambda _: Said(body=b'{"tags":null}')) as server:
        assert client(server).tags() == []


class Uploads:
    """A registry's uploads; what `breaks` says of a PATCH is how many bytes of it still arrive."""

    def __init__(self, breaks: list[int | None], *, forgets: bool = False) -> None:
        self.data = b""
        self.stored = b""
        self._breaks = breaks
        self._forgets = forgets

    def __call__(self, asked: Asked) -> Said | None:
        if asked.method == "POST":
            self.data = b""
            return Said(202, headers={"Location": "/v2/team/app/blobs/uploads/1?state=0"})
        if asked.method == "GET":
            if self._forgets:
                return Said(404)
            return Said(204, headers={"Range": f"0-{max(len(self.data) - 1, 0)}", "Location": asked.path})
        if asked.method == "PATCH":
            start, stop = (int(part) for part in asked.headers["Content-Range"].split("-"))
            if start != len(self.data):
                return Said(416)
            arrives = self._breaks.pop(0) if self._breaks else None
            if arrives is not None:
                self.data += asked.take(arrives)
                return None
            self.data += asked.take()
            assert len(self.data) == stop + 1
            return Said(202, headers={"Location": f"/v2/team/app/blobs/uploads/1?state={len(self.data)}"})
        assert asked.path.endswith(f"&digest={NAME.replace(':', '%3A')}")
        self.stored = self.data + asked.take()
        return Said(201)


@pytest.mark.parametrize(
    ("breaks", "forgets", "posts"),
    [
        ([], False, 1),
        ([None, 1500], False, 1),
        ([None, 0, 1, None, 2999], False, 1),
        ([None, 1500], True, 2),
        ([0], False, 1),
    ],
)
def test_an_upload_goes_on_where_it_broke(
    breaks: list[int | None], forgets: bool, posts: int, tmp_path: Path
) -> None:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    uploads = Uploads(breaks, forgets=forgets)
    with Scripted(uploads) as server:
        pushing = client(server)
        Upload(pushing, NAME, str(path), lambda _: None, chunk=3000).run(pushing.begin_upload())
        assert uploads.stored == DATA
        assert sum(line.startswith("POST") for line in server.log) == posts


def test_a_small_blob_is_one_request(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    uploads = Uploads([])
    counted: list[int] = []
    with Scripted(uploads) as server:
        pushing = client(server)
        Upload(pushing, NAME, str(path), counted.append).run(pushing.begin_upload())
        assert [line.partition(" ")[0] for line in server.log] == ["POST", "PUT"]
    assert uploads.stored == DATA and counted[-1] == len(DATA) < upload.CHUNK_BYTES


@pytest.mark.parametrize(
    ("status", "error"), [(401, Unauthorized), (400, Unavailable), (413, Unavailable), (507, Unavailable)]
)
def test_a_refused_upload_is_not_begun_again(status: int, error: type[EngineError], tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(DATA)

    def script(asked: Asked) -> Said:
        return Said(202, headers={"Location": "/up"}) if asked.method == "POST" else Said(status)

    with Scripted(script) as server:
        pushing = client(server, Credentials("me", "right"))
        with pytest.raises(error, match=rf"{status}|wants an unknown way to log in"):
            Upload(pushing, NAME, str(path), lambda _: None).run(pushing.begin_upload())


def test_a_mount_that_is_refused_is_an_upload() -> None:
    def script(asked: Asked) -> Said:
        if "from=mine" in asked.path:
            return Said(201)
        return Said(202, headers={"Location": "/v2/team/app/blobs/uploads/7"})

    with Scripted(script) as server:
        assert client(server).begin_upload(NAME, "mine") == ""
        assert client(server).begin_upload(NAME, "other").endswith("/uploads/7")


def _token_server(asked: Asked) -> Said:
    """Gives me an identity token for the right password."""
    if not asked.path.startswith("/token"):
        if asked.headers.get("Authorization") == "Bearer t":
            return Said()
        return Said(
            401,
            headers={"WWW-Authenticate": f'Bearer realm="http://{asked.headers["Host"]}/token",service="s"'},
        )
    if asked.method == "POST":
        right = b"refresh_token=kept" in asked.take()
        return (
            Said(body=b'{"access_token":"t"}')
            if right
            else Said(401, b'{"details":"unknown identity token"}')
        )
    if asked.headers.get("Authorization") != Credentials("me", "right").basic():
        return Said(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}')
    assert "offline_token=true" in asked.path and "account=me" in asked.path
    return Said(body=b'{"token":"t","refresh_token":"kept"}')


def test_logins() -> None:
    with Scripted(_token_server) as server:
        endpoints = (Endpoint(server.url),)
        assert login(endpoints, Credentials("me", "right")) == "kept"
        assert login(endpoints, Credentials("me", identity_token="kept")) == ""
        with pytest.raises(Unauthorized, match="incorrect username or password"):
            login(endpoints, Credentials("me", "wrong"))
        with pytest.raises(Unauthorized, match="unknown identity token"):
            login(endpoints, Credentials("me", identity_token="stale"))
    with Scripted(lambda _: Said(401, headers={"WWW-Authenticate": 'Basic realm="x"'})) as server:
        with pytest.raises(
            Unauthorized, match=r"login attempt to http://.*/v2/ failed with status: 401 Unauth"
        ):
            login((Endpoint(server.url), Endpoint("http://127.0.0.1:1")), Credentials("me", "wrong"))
    with Scripted(lambda _: Said(418)) as server:
        with pytest.raises(Unavailable, match="failed with status: 418"):
            login((Endpoint(server.url),), Credentials("me", "right"))


def test_search() -> None:
    results = [{"name": "a", "star_count": 3, "is_official": True, "description": "d"}, {"name": "b"}]

    def script(asked: Asked) -> Said:
        assert asked.path == "/v1/search?q=what+else&n=7"
        return Said(body=json.dumps({"num_results": 2, "results": results}).encode())

    with Scripted(script) as server:
        assert search((Endpoint(server.url),), "host:5000", "what else", 7, None) == [
            Found(name="a", star_count=3, is_official=True, description="d"),
            Found(name="b"),
        ]
    with Scripted(lambda _: Said(404, b"404 page not found")) as server:
        with pytest.raises(NotFound, match="not every registry has an index"):
            search((Endpoint(server.url),), "host:5000", "x", 7, None)


def test_a_list_of_tags_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostagent.registry.client.TAGS_LIMIT", 10)
    endless = Said(body=b'{"tags":["1","2"]}', headers={"Link": '<?again>; rel="next"'})
    with Scripted(lambda _: endless) as server, pytest.raises(Invalid, match="more than 10 tags"):
        client(server).tags()
