"""Stock docker CLIs, the newest and 20.10, against the fake engine: negotiation, order of calls of `docker run`."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.api.conftest import Server

pytestmark = pytest.mark.root


@dataclass
class Result:
    status: int
    out: str
    err: str


@dataclass
class Docker:
    """The CLI with an empty configuration of its own."""

    command: str
    server: Server
    home: str

    async def __call__(self, *arguments: str, stdin: bytes = b"", version: str | None = None) -> Result:
        environment = {"HOME": self.home, "PATH": os.environ["PATH"], "DOCKER_CONFIG": self.home}
        if version is not None:
            environment["DOCKER_API_VERSION"] = version
        process = await asyncio.create_subprocess_exec(
            self.command,
            "-H",
            f"unix://{self.server.path}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(stdin), 20)
        except TimeoutError:
            process.kill()
            await process.communicate()
            raise
        assert process.returncode is not None
        return Result(process.returncode, out.decode(), err.decode())


@pytest.fixture(params=["docker_cli", "old_docker_cli"])
def docker(server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Docker:
    cli: Path = request.getfixturevalue(request.param)
    return Docker(str(cli), server, str(tmp_path))


async def test_version_negotiates(docker: Docker) -> None:
    result = await docker("version")
    assert result.status == 0, result.err
    assert "fake engine" in result.out
    assert "1.47 (minimum version 1.24)" in result.out


async def test_info_ps_images(docker: Docker) -> None:
    info = await docker("info")
    assert info.status == 0, info.err
    assert "Server Version: 26.1.0" in info.out
    assert (await docker("create", "--name", "web", "busybox")).status == 0
    listed = await docker("ps", "-a", "--filter", "label=x", "--format", "{{.Names}}")
    assert (listed.status, listed.out) == (0, "web\n"), listed.err
    assert docker.server.engine.last() == ("list", True, 0, {"label": ["x"]})
    images = await docker("images", "--format", "{{.Repository}}:{{.Tag}}")
    assert images.out == "busybox:latest\n", images.err


@pytest.mark.parametrize("version", [None, "1.41", "1.30", "1.24"])
async def test_run_attaches_and_waits_before_it_starts(docker: Docker, version: str | None) -> None:
    result = await docker("run", "--name", "web", "busybox", "true", version=version)
    assert (result.status, result.out) == (3, "hello\n"), result.err
    order = [call[0] for call in docker.server.engine.calls]
    watch = "events" if version == "1.24" else "wait"  # conditions of wait came with API 1.30
    assert order[:4] == ["create", "attach", watch, "start"]
    assert watch == "events" or ("wait", "web", "next-exit") in docker.server.engine.calls


async def test_run_rm_waits_for_the_removal(docker: Docker) -> None:
    result = await docker("run", "--rm", "--name", "web", "busybox", "true")
    assert (result.status, result.out) == (3, "hello\n"), result.err
    assert ("wait", "web", "removed") in docker.server.engine.calls


@pytest.mark.parametrize("size", [3, 2_000_000])
async def test_piped_stdin_comes_back_whole(docker: Docker, size: int) -> None:
    """`echo hi | docker run -i busybox cat`."""
    result = await docker("run", "-i", "--name", "web", "busybox", "cat", stdin=b"x" * size)
    assert (result.status, result.out) == (size % 256, "x" * size), result.err


async def test_a_missing_image_is_pulled(docker: Docker) -> None:
    result = await docker("run", "--name", "web", "missing", "true")
    assert result.status == 125
    assert "manifest for missing:latest not found" in result.err
    assert docker.server.images.last()[:2] == ("pull", "docker.io/library/missing:latest")


async def test_pull_shows_progress_and_errors_in_the_middle(docker: Docker) -> None:
    good = await docker("pull", "busybox")
    assert good.status == 0, good.err
    assert "Downloaded newer image" in good.out
    bad = await docker("pull", "broken")
    assert (bad.status, "digest of layer differs" in bad.err) == (1, True)


async def test_exec_logs_stop_rm(docker: Docker) -> None:
    assert (await docker("run", "-d", "--name", "web", "busybox", "sleep")).status == 0
    executed = await docker("exec", "web", "ls")
    assert (executed.status, executed.out) == (7, "exec output\n"), executed.err
    logs = await docker("logs", "--tail", "5", "web")
    assert (logs.out, logs.err) == ("one\n", "two\n")
    assert (await docker("stop", "-t", "3", "web")).out == "web\n"
    assert (await docker("rm", "web")).out == "web\n"
    assert "No such container: web" in (await docker("inspect", "--type", "container", "web")).err


async def test_save_load_tag_rmi(docker: Docker, tmp_path: Path) -> None:
    saved = await docker("save", "-o", f"{tmp_path}/image.tar", "busybox")
    assert saved.status == 0, saved.err
    loaded = await docker("load", "-i", f"{tmp_path}/image.tar")
    assert "Loaded image: busybox:latest" in loaded.out, loaded.err
    assert docker.server.images.loaded == os.path.getsize(f"{tmp_path}/image.tar")
    assert (await docker("tag", "busybox", "other:v1")).status == 0
    assert (await docker("push", "other:v1")).status == 0
    removed = await docker("rmi", "busybox")
    assert "Untagged: busybox" in removed.out, removed.err


async def test_what_is_not_built_is_told(docker: Docker) -> None:
    result = await docker("swarm", "init")
    assert result.status == 1
    assert "swarm is not built yet" in result.err
