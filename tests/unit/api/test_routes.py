"""Every route once: what reaches the engine, and what comes back."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from hostagent import wire
from hostagent.model.stream import LogOptions
from tests.unit.api.conftest import Client, Server

CREATE = b'{"Image": "busybox", "Cmd": ["sleep"], "HostConfig": {"Binds": null}}'


async def created(client: Client, name: str = "web") -> str:
    answer = await client.call("POST", f"/v1.47/containers/create?name={name}", CREATE)
    assert answer.status == 201
    found: str = json.loads(answer.body)["Id"]
    return found


async def test_ping_tells_what_a_client_negotiates_by(client: Client) -> None:
    answer = await client.call("GET", "/_ping")
    assert (answer.status, answer.body) == (200, b"OK")
    assert answer.headers["api-version"] == "1.47"
    assert answer.headers["builder-version"] == "1"
    assert answer.headers["ostype"] == "linux"
    assert answer.headers["docker-experimental"] == "false"
    assert answer.headers["content-type"].startswith("text/plain")


async def test_head_ping_has_the_headers_and_no_body_and_keeps_the_connection(client: Client) -> None:
    for _ in range(2):
        answer = await client.call("HEAD", "/v1.41/_ping")
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
        assert answer.headers["api-version"] == "1.47"


async def test_version_info_and_unversioned_paths(client: Client) -> None:
    assert json.loads((await client.call("GET", "/version")).body)["ApiVersion"] == "1.47"
    assert json.loads((await client.call("GET", "/v1.24/info")).body)["NCPU"] == 2


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("1.23", "client version 1.23 is too old. Minimum supported API version is 1.24"),
        ("1.48", "client version 1.48 is too new. Maximum supported API version is 1.47"),
        ("2.0", "client version 2.0 is too new"),
    ],
)
async def test_version_out_of_range(client: Client, version: str, text: str) -> None:
    answer = await client.call("GET", f"/v{version}/containers/json")
    assert answer.status == 400
    assert text in json.loads(answer.body)["message"]
    assert answer.headers["api-version"] == "1.47"


@pytest.mark.parametrize("target", ["/", "/nope", "/v1.47/containers/x/nope", "/v1.47", "/v1.47/images"])
async def test_unknown_routes(client: Client, target: str) -> None:
    answer = await client.call("GET", target)
    assert (answer.status, json.loads(answer.body)) == (404, {"message": "page not found"})


async def test_wrong_method_is_an_unknown_route(client: Client) -> None:
    assert (await client.call("PATCH", "/containers/json")).status == 404


@pytest.mark.parametrize(
    "call",
    [
        *(
            "POST /swarm/init",
            "GET /secrets",
            "DELETE /configs/x",
            "POST /services/create",
        ),
        *("GET /tasks/x/logs", "POST /plugins/x/enable"),
    ],
)
async def test_what_is_not_built_says_so_by_name(client: Client, call: str) -> None:
    method, path = call.split()
    answer = await client.call(method, f"/v1.47{path}", b"{}")
    assert answer.status == 501
    what = "plugins" if "plugins" in path else "swarm"
    assert f"{what} is not built yet" in json.loads(answer.body)["message"]


async def test_container_life(client: Client, server: Server) -> None:
    full = await created(client)
    inspected = json.loads((await client.call("GET", f"/v1.47/containers/{full[:12]}/json")).body)
    assert inspected["Name"] == "/web"
    assert inspected["Config"]["Cmd"] == ["sleep"]
    assert (await client.call("GET", "/v1.47/containers//web/json")).status == 200
    assert (await client.call("GET", "/v1.47/containers/%2Fweb/json")).status == 200
    assert (await client.call("POST", "/v1.47/containers/web/start")).status == 204
    again = await client.call("POST", "/v1.47/containers/web/start")
    assert (again.status, again.body) == (304, b"")
    refused = await client.call("DELETE", "/v1.47/containers/web")
    assert refused.status == 409
    assert (await client.call("POST", "/v1.47/containers/web/resize?h=24&w=80")).status == 200
    assert (await client.call("POST", "/v1.47/containers/web/restart?t=3&signal=INT")).status == 204
    assert (await client.call("POST", "/v1.47/containers/web/rename?name=site")).status == 204
    assert (await client.call("POST", "/v1.41/containers/site/stop?t=5&signal=INT")).status == 204
    assert (await client.call("DELETE", "/v1.47/containers/site?v=1&force=1&link=0")).status == 204
    assert (await client.call("GET", "/v1.47/containers/site/json")).status == 404
    calls = server.engine.calls
    assert ("resize", "web", 24, 80) in calls
    assert ("restart", "web", "INT", 3) in calls
    assert ("stop", "site", None, 5) in calls, "before API 1.42 there was no signal parameter"
    assert ("remove", "site", True, True, False) in calls


async def test_errors_have_dockers_shape(client: Client) -> None:
    answer = await client.call("POST", "/v1.47/containers/ghost/start")
    assert (answer.status, json.loads(answer.body)) == (404, {"message": "No such container: ghost"})
    kill = await client.call("POST", "/v1.47/containers/ghost/kill")
    assert (kill.status, json.loads(kill.body)["message"]) == (
        404,
        "cannot kill container: ghost: No such container: ghost",
    )
    missing = await client.call("POST", "/v1.47/containers/create", b'{"Image": "missing"}')
    assert (missing.status, json.loads(missing.body)["message"]) == (404, "No such image: missing:latest")


async def test_list_passes_its_query_in_types(client: Client, server: Server) -> None:
    await created(client)
    old = '{"label":{"a=b":true,"c":false},"status":{"exited":true}}'
    new = '{"label":["a=b"],"status":["exited"]}'
    for filters in (old, new):
        target = f"/v1.47/containers/json?all=1&limit=3&size=true&filters={filters}".replace('"', "%22")
        answer = await client.call("GET", target)
        assert answer.status == 200
        assert (json.loads(answer.body)[0]["Names"], json.loads(answer.body)[0]["SizeRw"]) == (["/web"], 1)
        assert server.engine.last() == ("list", True, 3, {"label": ["a=b"], "status": ["exited"]})
    assert (await client.call("GET", "/v1.47/containers/json?filters=nonsense")).status == 400
    assert (await client.call("GET", "/v1.47/containers/json?filters=%7B%22a%22:3%7D")).status == 400
    assert (await client.call("GET", "/v1.47/containers/json?limit=many")).status == 400


@pytest.mark.parametrize(
    ("target", "body", "words"),
    [
        ("/containers/create", b"", "EOF"),
        ("/containers/x/exec", b"{broken", "invalid JSON"),
        ("/containers/x/exec", b'{"Cmd": [1]}', "Cmd"),
        ("/containers/x/exec", b'{"Cmd": []}', "No exec command specified"),
        ("/containers/x/start", b'{"Binds": ["/:/host"]}', "non-empty request body"),
        ("/containers/x/resize?h=1", b"", "parameter w is missing"),
        ("/containers/x/wait?condition=happy", b"", "invalid condition"),
        ("/containers/x/rename", b"", "may be empty"),
        ("/images/create", b"", "fromImage"),
        ("/images/create?fromImage=UPPER", b"", "invalid reference format"),
        ("/images/busybox/tag", b"", "repo is missing"),
    ],
)
async def test_bad_requests(client: Client, target: str, body: bytes, words: str) -> None:
    answer = await client.call("POST", target, body)
    assert answer.status == 400
    assert words in json.loads(answer.body)["message"]


async def test_a_body_must_say_that_it_is_json(server: Server, client: Client) -> None:
    client.writer.write(
        b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}"
    )
    head = await client.head()
    assert head.startswith("HTTP/1.1 400")


async def test_wait_sends_its_head_before_the_exit(client: Client, server: Server) -> None:
    await created(client)
    client.writer.write(b"POST /v1.47/containers/web/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\n\r\n")
    head = await client.head()
    assert head.startswith("HTTP/1.1 200")
    assert server.engine.last() == ("wait", "web", "next-exit")
    await server.engine.kill("web", None)
    assert "transfer-encoding: chunked" in head.lower()
    assert await client.reader.read() == b'13\r\n{"StatusCode":137}\n\r\n0\r\n\r\n'


async def test_wait_in_old_versions_is_one_plain_answer(client: Client, server: Server) -> None:
    await created(client)
    await server.engine.kill("web", None)
    answer = await client.call("POST", "/v1.29/containers/web/wait?condition=removed")
    assert (answer.body, answer.headers["content-length"]) == (b'{"StatusCode":137}\n', "19")
    assert server.engine.last() == ("wait", "web", "not-running")


async def test_logs(client: Client, server: Server) -> None:
    await created(client)
    query = "stdout=1&stderr=1&since=1700000000.000000005&tail=2&timestamps=1"
    answer = await client.call("GET", f"/v1.47/containers/web/logs?{query}")
    assert answer.headers["content-type"] == "application/vnd.docker.multiplexed-stream"
    assert answer.body == b"".join(server.engine.log_chunks)
    options = LogOptions(True, True, since=1_700_000_000_000_000_005, tail=2, timestamps=True)
    assert ("logs", "web", options) in server.engine.calls
    old = await client.call("GET", "/v1.41/containers/web/logs?stdout=1&tail=all")
    assert old.headers["content-type"] == "application/vnd.docker.raw-stream"
    assert (await client.call("GET", "/v1.47/containers/web/logs")).status == 400
    assert (await client.call("GET", "/v1.47/containers/web/logs?stdout=1&since=today")).status == 400


async def test_events_flow_as_they_happen(client: Client, server: Server) -> None:
    client.writer.write(
        b'GET /v1.47/events?filters=%7B%22type%22:["container"]%7D HTTP/1.1\r\nHost: d\r\n\r\n'
    )
    assert (await client.head()).startswith("HTTP/1.1 200")
    for action in ("create", "start"):
        server.engine.live_events.put_nowait(wire.Event(type="container", action=action))
        line = await client.reader.readuntil(b"\n\r\n")
        assert f'"Action":"{action}"'.encode() in line
    assert server.engine.last() == ("events", None, None, {"type": ["container"]})
    await server.app.close()


async def test_exec(client: Client, server: Server) -> None:
    await created(client)
    body = b'{"Cmd": ["ls"], "Tty": true, "ConsoleSize": [24, 80], "Env": null}'
    answer = await client.call("POST", "/v1.47/containers/web/exec", body)
    assert (answer.status, json.loads(answer.body)) == (201, {"Id": "e1"})
    detached = await client.call("POST", "/v1.47/exec/e1/start", b'{"Detach": true, "Tty": true}')
    assert detached.status == 200
    assert ("exec_start", "e1", True, True, None) in server.engine.calls
    assert json.loads((await client.call("GET", "/v1.47/exec/e1/json")).body)["ExitCode"] == 7
    assert (await client.call("POST", "/v1.47/exec/e1/resize?h=1&w=2")).status == 200
    ghost = await client.call("POST", "/v1.47/exec/ghost/start", b"{}")
    assert ghost.status == 404


async def test_image_names_may_have_slashes(client: Client, server: Server) -> None:
    name = "127.0.0.1:5000/team/app:v1"
    assert (await client.call("GET", f"/v1.47/images/{name}/json")).status == 200
    assert server.images.last() == ("inspect", name)
    assert (await client.call("GET", f"/v1.47/images/{name}/history")).status == 200
    assert (await client.call("DELETE", f"/v1.47/images/{name}?force=1&noprune=1")).status == 200
    assert server.removal.calls == [("remove", name, True, False)]
    tagged = await client.call("POST", f"/v1.47/images/{name}/tag?repo=other/app&tag=v2")
    assert tagged.status == 201
    assert server.images.last() == ("tag", name, "docker.io/other/app:v2")
    assert (await client.call("GET", "/v1.47/images/missing/json")).status == 404
    assert (await client.call("GET", "/v1.47/images/json/json")).status == 200, "an image may be called json"


async def test_image_list_by_version(client: Client, server: Server) -> None:
    new = json.loads((await client.call("GET", "/v1.47/images/json")).body)[0]
    assert "VirtualSize" not in new
    old = json.loads((await client.call("GET", "/v1.40/images/json?filter=busy*")).body)[0]
    assert old["VirtualSize"] == 1000
    assert server.images.last() == ("list", False, {"reference": ["busy*"]})
    assert json.loads((await client.call("GET", "/v1.43/images/x/json")).body)["Created"] == wire.NEVER


async def test_pull_lines_and_credentials(client: Client, server: Server) -> None:
    auth = base64.urlsafe_b64encode(b'{"username":"ann","password":"s?>"}').decode()
    target = "/v1.47/images/create?fromImage=busybox&tag=1.36&platform=linux/arm64"
    answer = await client.call("POST", target, X_Registry_Auth=auth)
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert lines[0] == {"status": "Pulling from library/busybox", "id": "latest"}
    assert lines[1]["progressDetail"] == {"current": 1, "total": 2}
    assert server.images.last() == (
        "pull",
        "docker.io/library/busybox:1.36",
        "linux/arm64",
        wire.AuthConfig(username="ann", password="s?>"),
    )


async def test_pull_errors_before_and_after_the_first_line(client: Client) -> None:
    early = await client.call("POST", "/v1.47/images/create?fromImage=missing&tag=latest")
    assert early.status == 404
    assert "manifest unknown" in json.loads(early.body)["message"]
    late = await client.call("POST", "/v1.47/images/create?fromImage=broken&tag=latest")
    assert late.status == 200
    last = json.loads(late.body.splitlines()[-1])
    assert last == {"errorDetail": {"message": "digest of layer differs"}, "error": "digest of layer differs"}


async def test_pull_by_digest(client: Client, server: Server) -> None:
    digest = "sha256:" + "0" * 64
    assert (await client.call("POST", f"/images/create?fromImage=busybox&tag={digest}")).status == 200
    assert server.images.last()[1] == f"docker.io/library/busybox@{digest}"


async def test_push_load_save_import(client: Client, server: Server) -> None:
    pushed = await client.call("POST", "/v1.47/images/localhost:5000/a/push?tag=v1", X_Registry_Auth="e30=")
    assert pushed.status == 200
    assert server.images.last() == ("push", "localhost:5000/a:v1", None)
    loaded = await client.call("POST", "/v1.47/images/load?quiet=1", b"x" * 300_000)
    assert b"Loaded image" in loaded.body
    assert server.images.loaded == 300_000
    saved = await client.call("GET", "/v1.47/images/get?names=a&names=b")
    assert (len(saved.body), saved.headers["content-type"]) == (64 * 65536, "application/x-tar")
    assert (await client.call("GET", "/v1.47/images/missing/get")).status == 404
    target = "/v1.47/images/create?fromSrc=-&repo=mine&tag=v1&changes=CMD+ls&changes=ENV+A=b"
    imported = await client.call("POST", target, b"tar")
    assert json.loads(imported.body) == {"status": "sha256:1"}
    expected = ("import", "docker.io/library/mine:v1", "Imported from -", ["CMD ls", "ENV A=b"])
    assert server.images.last() == expected


async def test_wait_for_what_has_ended_leaves_the_connection_alone(client: Client, server: Server) -> None:
    await created(client)
    await server.engine.kill("web", None)
    for _ in range(2):
        answer = await client.call("POST", "/v1.47/containers/web/wait")
        assert answer.body == b'{"StatusCode":137}\n'


async def test_wait_of_http_1_0_is_one_plain_answer(client: Client, server: Server) -> None:
    await created(client)
    client.writer.write(b"POST /v1.47/containers/web/wait HTTP/1.0\r\n\r\n")
    await asyncio.sleep(0.01)
    await server.engine.kill("web", None)
    assert (await client.reader.read()).endswith(b'\r\n\r\n{"StatusCode":137}\n')


async def test_networks(client: Client) -> None:
    made = await client.call("POST", "/v1.47/networks/create", b'{"Name": "mine"}')
    assert (made.status, json.loads(made.body)) == (201, {"Id": "mine", "Warning": ""})
    listed = json.loads((await client.call("GET", "/v1.47/networks")).body)
    assert [each["Name"] for each in listed] == ["bridge", "mine"]
    assert (await client.call("GET", "/v1.47/networks/mine?scope=swarm")).status == 404
    assert (await client.call("DELETE", "/v1.47/networks/mine")).status == 204
    assert (await client.call("GET", "/v1.47/networks/mine")).status == 404


async def test_registries(client: Client, server: Server) -> None:
    login = await client.call("POST", "/v1.47/auth", b'{"username": "me", "password": "right"}')
    assert json.loads(login.body) == {"Status": "Login Succeeded", "IdentityToken": "kept"}
    wrong = await client.call("POST", "/v1.47/auth", b'{"username": "me", "password": "wrong"}')
    assert (wrong.status, json.loads(wrong.body)["message"][:12]) == (401, "unauthorized")
    assert (await client.call("POST", "/v1.47/auth", b"[]")).status == 400
    found = await client.call(
        "GET", "/v1.47/images/search?term=x&limit=5&filters=%7B%22stars%22%3A%5B%223%22%5D%7D"
    )
    assert json.loads(found.body) == [
        {"star_count": 3, "is_official": False, "name": "x", "is_automated": False, "description": ""}
    ]
    assert server.registries.calls == [("search", "x", 5, {"stars": ["3"]}, None)]
    assert (await client.call("GET", "/v1.47/images/search?term=x&limit=-1")).status == 400
    looked = await client.call("GET", "/v1.47/distribution/host:5000/a/b:1/json")
    assert server.registries.calls[-1] == ("look", "host:5000/a/b:1", None)
    assert json.loads(looked.body) == {
        "Descriptor": {"size": 3}, "Platforms": [{"architecture": "amd64", "os": "linux"}],
    }  # fmt: skip


async def test_a_pull_of_all_tags(client: Client, server: Server) -> None:
    for query in ("fromImage=team/app:", "fromImage=team/app"):
        assert (await client.call("POST", f"/v1.47/images/create?{query}")).status == 200
        assert server.images.last() == ("pull_all", "docker.io/team/app", None, None)


async def test_connections(client: Client) -> None:
    body = b'{"Container": "box", "EndpointConfig": {"Aliases": ["x"]}}'
    assert (await client.call("POST", "/v1.47/networks/mine/connect", body)).status == 200
    assert (await client.call("POST", "/v1.47/networks/mine/disconnect", body)).status == 200
    assert (await client.call("POST", "/v1.47/networks/mine/disconnect", body)).status == 404


async def test_leaving_no_swarm(client: Client) -> None:
    answer = await client.call("POST", "/v1.47/swarm/leave?force=1")
    assert (answer.status, json.loads(answer.body)["message"]) == (503, "This node is not part of a swarm")
