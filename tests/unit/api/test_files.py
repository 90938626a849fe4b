"""Routes of containers' files, disk usage and commits, over a fake engine."""

from __future__ import annotations

import base64
import gzip
import json
import zlib

import pytest

from tests.unit.api.conftest import Client

ARCHIVE = "/v1.44/containers/box/archive?path=/x"


async def test_a_stat_is_a_header(client: Client) -> None:
    answer = await client.call("GET", ARCHIVE)
    stat = base64.b64decode(answer.headers["x-docker-container-path-stat"])
    assert (answer.status, answer.body, json.loads(stat)) == (200, b"tar of box", {"name": "file"})
    assert answer.headers["content-type"] == "application/x-tar"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("br, gzip;q=0.5", "gzip"),
        ("deflate", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("identity", None),
        ("gzip; q=0", None),
    ],
)
async def test_content_codings(client: Client, accepted: str, coding: str | None) -> None:
    answer = await client.call("GET", ARCHIVE, Accept_Encoding=accepted)
    assert answer.headers.get("content-encoding") == coding
    assert decoded(answer.body, coding) == b"tar of box"


def decoded(body: bytes, coding: str | None) -> bytes:
    if coding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body, -15) if coding == "deflate" else body


async def test_a_path_must_be_given(client: Client) -> None:
    for method in ("GET", "PUT"):
        for query in ("", "?path=", "?path=a%00b"):
            assert (await client.call(method, f"/v1.44/containers/box/archive{query}")).status == 400


async def test_put_and_export(client: Client) -> None:
    assert (await client.call("PUT", ARCHIVE, b"some tar")).status == 200
    answer = await client.call("GET", "/v1.44/containers/box/export")
    assert (answer.status, answer.body) == (200, b"tar of box")


async def test_usage(client: Client) -> None:
    answer = await client.call("GET", "/v1.44/system/df?type=image&type=volume")
    assert (answer.status, json.loads(answer.body)["BuildCache"]) == (200, None)
    assert json.loads((await client.call("GET", "/v1.44/system/df")).body)["BuildCache"] == []
    assert (await client.call("GET", "/v1.44/system/df?type=nonsense")).status == 400
    # There was no such parameter.
    assert (await client.call("GET", "/v1.41/system/df?type=nonsense")).status == 200
    pruned = await client.call("POST", "/v1.44/containers/prune")
    assert json.loads(pruned.body) == {"ContainersDeleted": None, "SpaceReclaimed": 1}


async def test_changes_and_commits(client: Client) -> None:
    changes = await client.call("GET", "/v1.44/containers/box/changes")
    assert json.loads(changes.body) == [{"Path": "/new", "Kind": 1}]
    for body in (b"", b"null", b"{}", b'{"Cmd": ["x"]}'):
        answer = await client.call("POST", "/v1.44/commit?container=box&repo=a/b&tag=c", body)
        assert (answer.status, json.loads(answer.body)) == (201, {"Id": "sha256:" + "cd" * 32})
    for wrong in ("repo=UPPER", "repo=a&tag=%20", f"repo=a@sha256:{'0' * 64}"):
        assert (await client.call("POST", f"/v1.44/commit?container=box&{wrong}")).status == 400
    assert (await client.call("POST", "/v1.44/commit?container=box", b'{"Cmd": 3}')).status == 400
