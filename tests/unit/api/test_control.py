"""Routes that look at and change running containers."""

from __future__ import annotations

import json

import pytest

from hostagent import wire
from tests.unit.api.conftest import Client, Server
from tests.unit.api.test_routes import created


async def test_pause_and_unpause(client: Client, server: Server) -> None:
    container_id = await created(client)
    assert (await client.call("POST", "/v1.47/containers/web/pause")).status == 204
    assert server.control.paused == {container_id}
    assert (await client.call("POST", "/v1.47/containers/web/unpause")).status == 204
    assert server.control.paused == set()
    assert (await client.call("POST", "/v1.47/containers/ghost/pause")).status == 404


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.39", wire.HostConfig(memory=7, kernel_memory=9)),
        ("1.41", wire.HostConfig(memory=7, kernel_memory=9, pids_limit=5)),
        ("1.47", wire.HostConfig(memory=7, pids_limit=5)),
    ],
)
async def test_update_as_its_version_meant_it(
    client: Client, server: Server, version: str, expected: wire.HostConfig
) -> None:
    await created(client)
    body = b'{"memory": 7, "KernelMemory": 9, "PidsLimit": 5, "Unknown": null}'
    answer = await client.call("POST", f"/v{version}/containers/web/update", body)
    assert (answer.status, json.loads(answer.body)) == (200, {"Warnings": None})
    assert server.control.updates == [expected]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "got EOF"),
        (b'{"Memory": "x"}', "Memory"),
        (b"{", "invalid JSON"),
        (b'{"CpuShares": 1.5}', "CpuShares"),
    ],
)
async def test_updates_that_say_nothing(client: Client, server: Server, body: bytes, said: str) -> None:
    await created(client)
    answer = await client.call("POST", "/v1.47/containers/web/update", body)
    assert answer.status == 400
    assert said in json.loads(answer.body)["message"]
    assert server.control.updates == []


async def test_statistics(client: Client) -> None:
    await created(client)
    whole = await client.call("GET", "/v1.47/containers/web/stats?stream=0")
    assert json.loads(whole.body)["num_procs"] == 0
    one = await client.call("GET", "/v1.47/containers/web/stats?stream=false&one-shot=true")
    assert json.loads(one.body)["num_procs"] == 1
    # The parameter came with 1.41.
    old = await client.call("GET", "/v1.40/containers/web/stats?stream=false&one-shot=true")
    assert json.loads(old.body)["num_procs"] == 0
    stream = await client.call("GET", "/v1.47/containers/web/stats")
    assert [json.loads(line)["num_procs"] for line in stream.body.splitlines()] == [0, 1, 2]
    assert (await client.call("GET", "/v1.47/containers/web/stats?one-shot=1")).status == 400
    assert (await client.call("GET", "/v1.47/containers/ghost/stats")).status == 404


async def test_top(client: Client) -> None:
    await created(client)
    answer = await client.call("GET", "/v1.47/containers/web/top?ps_args=-o+pid")
    assert json.loads(answer.body) == {"Titles": ["PID"], "Processes": [["-o pid"]]}
    assert json.loads((await client.call("GET", "/v1.47/containers/web/top")).body)["Processes"] == [[""]]
