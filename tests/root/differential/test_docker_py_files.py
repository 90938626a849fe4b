"""docker-py's calls about a container's files and leftovers, on dockerd and on ours."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import docker
import pytest

from tests.servers.engine import Engine

pytestmark = [pytest.mark.root]


@pytest.fixture
def client(engine: Engine) -> Iterator[docker.APIClient]:
    made = docker.APIClient(base_url=f"unix://{engine.socket}", version="1.44")
    yield made
    made.close()


def made(client: docker.APIClient, command: list[str]) -> str:
    container: str = client.create_container("busybox", command)["Id"]
    client.start(container)
    assert client.wait(container)["StatusCode"] == 0
    return container


def test_get_archive(client: docker.APIClient) -> None:
    container = made(
        client, ["sh", "-c", "mkdir -p /vol1; echo The Maid and the Pocket Watch of Blood > /vol1/data.txt"]
    )
    for path in ("/vol1/data.txt", "/vol1/."):
        chunks, stat = client.get_archive(container, path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            (data,) = [tar.extractfile(m) for m in tar if m.name.endswith("data.txt")]
            assert data is not None and b"Pocket Watch" in data.read()
        assert {"name", "size", "mode", "mtime", "linkTarget"} == set(stat)
    assert client.get_archive(container, "/vol1/data.txt")[1]["size"] == len(
        "The Maid and the Pocket Watch of Blood\n"
    )
    with pytest.raises(docker.errors.NotFound):
        client.get_archive(container, "/nope")


def test_put_archive(client: docker.APIClient) -> None:
    container: str = client.create_container("busybox", ["cat", "/vol1/testfile"], working_dir="/vol1")["Id"]
    client.start(container)
    client.wait(container)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("testfile")
        info.size = 6
        tar.addfile(info, io.BytesIO(b"sample"))
    assert client.put_archive(container, "/vol1", out.getvalue())
    client.start(container)
    client.wait(container)
    assert client.logs(container).endswith(b"sample")
    with pytest.raises(docker.errors.NotFound):
        client.put_archive(container, "/nope", out.getvalue())


def test_diff_commit_prune(client: docker.APIClient) -> None:
    container = made(client, ["touch", "/test"])
    assert [each for each in client.diff(container) if each["Path"] == "/test"] == [
        {"Path": "/test", "Kind": 1}
    ]
    image = client.commit(
        container, repository="made", tag="py", conf={"Env": ["A=1"]}, changes=["USER www"]
    )["Id"]
    shown = client.inspect_image(image)
    assert shown["Config"]["User"] == "www" and "A=1" in shown["Config"]["Env"]
    assert shown["Config"]["Cmd"] == ["touch", "/test"] and shown["RepoTags"] == ["made:py"]
    exported = b"".join(client.export(container))
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        assert "test" in tar.getnames()
    kept: str = client.create_container("busybox", ["true"], labels={"keep": "1"})["Id"]
    pruned = client.prune_containers({"label!": ["keep"]})
    assert pruned["ContainersDeleted"] == [container]
    assert pruned["SpaceReclaimed"] >= 0
    assert [each["Id"] for each in client.containers(all=True)] == [kept]
    assert {"LayersSize", "Images", "Containers", "Volumes"} <= set(client.df())
