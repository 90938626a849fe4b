"""A full disk, killed workers, cancelled pulls, a killed engine: nothing half-made remains, and it works again."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from hostagent import wire
from hostagent.errors import EngineError
from hostagent.image.service import ImageService
from hostagent.model.reference import Reference
from tests.root.image.conftest import NewService, left_over, stream
from tests.root.image.lying_registry import Image, LyingRegistry, config_of
from tests.root.image.samples import archived, member, tar_of, two_layers

pytestmark = pytest.mark.root

FULL_DISK = """
import asyncio, sys
from pathlib import Path
from hostagent.errors import EngineError
from hostagent.image.service import ImageService
from hostagent.registry.config import RegistryConfig
from hostagent.statedb.database import Database
from tests.root.image.conftest import left_over, stream

async def main(root, archive):
    service = ImageService(root, Database(root / "state.db"), RegistryConfig())
    try:
        await service.load(stream(archive.read_bytes()), lambda progress: None)
    except EngineError as error:
        print(error)
    print(left_over(service), service.list(True, {}))

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""

LOADING = """
import asyncio, sys
from pathlib import Path
from hostagent.image.service import ImageService
from hostagent.registry.config import RegistryConfig
from hostagent.statedb.database import Database
from tests.root.image.conftest import stream

async def main(root, archive):
    service = ImageService(root, Database(root / "state.db"), RegistryConfig())
    await service.load(stream(archive.read_bytes()), lambda progress: print(progress.status, flush=True))

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


def large(count: int = 3000, size: int = 4000) -> bytes:
    """A layer whose unpacking takes a moment."""
    return tar_of(*((member(f"d/{n}"), os.urandom(size)) for n in range(count)))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers() -> list[int]:
    """Image workers that this process has started."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            if b"hostagent.image.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


@pytest.mark.parametrize("megabytes", [10, 18, 26])
def test_a_full_disk(tmp_path: Path, megabytes: int) -> None:
    """12 MB of layer, 12 MB of archive: the disk is full while spooling, while unpacking, or while compressing."""
    archived(tmp_path / "large.tar", ["large:1"], [large()])
    script = (
        f"mount -t tmpfs -o size={megabytes}m none {tmp_path}/disk && "
        f'exec {sys.executable} -c "$0" {tmp_path}/disk {tmp_path}/large.tar'
    )
    (tmp_path / "disk").mkdir()
    result = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, FULL_DISK],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout.startswith("no space left on the engine's disk; nothing was kept"), result
    assert result.stdout.endswith("[] []\n"), result.stdout


def test_a_bomb_leaves_others_some_disk(tmp_path: Path) -> None:
    """A few hundred kilobytes that unpack to 600 MB, on a disk of 500 MB: refused before the last block is taken."""
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=1) as packed:
        with tarfile.open(fileobj=packed, mode="w|") as tar:
            for name in ("a", "b"):
                info = member(name)
                info.size = 300 << 20
                tar.addfile(info, Zeros())
    archived(tmp_path / "bomb.tar", ["bomb:1"], [bomb.getvalue()])
    assert (tmp_path / "bomb.tar").stat().st_size < 10 << 20
    script = (
        f"mount -t tmpfs -o size=500m none {tmp_path}/disk && "
        f"(while [ ! -e {tmp_path}/done ]; do stat -f -c %a {tmp_path}/disk; sleep 0.02; done > {tmp_path}/free) & "
        f'{sys.executable} -c "$0" {tmp_path}/disk {tmp_path}/bomb.tar; touch {tmp_path}/done; wait'
    )
    (tmp_path / "disk").mkdir()
    result = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script.replace(" && (while", "; (while"), FULL_DISK],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout.startswith("no space left on the engine's disk; nothing was kept"), result
    assert result.stdout.endswith("[] []\n"), result.stdout
    blocks = [int(line) for line in (tmp_path / "free").read_text().split()]
    assert min(blocks) > 0, "others could always write"


class Zeros(io.RawIOBase):
    """Endless."""

    def read(self, size: int = -1) -> bytes:
        return bytes(size)


@pytest.mark.parametrize("whom", ["worker", "job"])
async def test_kill_9_in_the_middle(service: ImageService, tmp_path: Path, whom: str) -> None:
    data = archived(tmp_path / "large.tar", ["large:1"], [large()])
    killed: list[int] = []

    def strike(progress: wire.Progress) -> None:
        if progress.status == "Extracting" and not killed:
            (worker,) = workers()
            killed.append(worker if whom == "worker" else children(worker)[0])
            os.kill(killed[0], signal.SIGKILL)

    with pytest.raises(EngineError, match="nothing was kept: try again"):
        await service.load(stream(data), strike)
    assert killed and left_over(service) == [] and service.list(True, {}) == []
    await service.load(stream(data), lambda _: None)
    assert len(service.lowerdirs(service.resolve("large:1"))) == 1


async def test_a_cancelled_pull(service: ImageService) -> None:
    layers = [large(), *two_layers()]
    reached = asyncio.Event()

    def heard(progress: wire.Progress) -> None:
        if progress.status == "Extracting":
            reached.set()

    with LyingRegistry(Image(config_of(layers), layers)) as registry:
        name = Reference.parse(f"{registry.address}/x:1")
        pull = asyncio.create_task(service.pull(name, None, None, heard))
        await asyncio.wait_for(reached.wait(), 10)
        pull.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pull
        assert left_over(service) == [] and workers() == []
        await service.pull(name, None, None, lambda _: None)


async def test_two_pulls_of_one_image_at_once(service: ImageService) -> None:
    layers = [large(500), *two_layers()]
    with LyingRegistry(Image(config_of(layers), layers)) as registry:
        name = Reference.parse(f"{registry.address}/x:1")
        one, two = await asyncio.gather(*(service.pull(name, None, None, lambda _: None) for _ in range(2)))
        blobs = [path for _, path, _, _ in registry.requests if "/blobs/" in path]
    assert one == two
    # The configuration is fetched by each, a layer by one of them.
    assert len(blobs) == 2 + len(layers)


async def test_a_pull_that_fails_leaves_another_its_layers(service: ImageService) -> None:
    base = two_layers()
    bad = [base[0], b"no tar" * 100]
    with (
        LyingRegistry(Image(config_of(base), base)) as good_registry,
        LyingRegistry(Image(config_of(bad), bad)) as bad_registry,
    ):
        results = await asyncio.gather(
            service.pull(Reference.parse(f"{bad_registry.address}/x:1"), None, None, lambda _: None),
            service.pull(Reference.parse(f"{good_registry.address}/x:1"), None, None, lambda _: None),
            return_exceptions=True,
        )
    assert isinstance(results[0], EngineError) and not isinstance(results[1], BaseException)
    assert all(Path(directory).is_dir() for directory in service.lowerdirs(results[1]))


async def test_left_overs_of_a_killed_engine(new_service: NewService, tmp_path: Path) -> None:
    service = new_service("engine")
    data = archived(tmp_path / "sample.tar", ["sample:1"], two_layers())
    await service.load(stream(data), lambda _: None)
    kept = left_over(service)
    store = service.store
    (store.tmp / "image-layer-0123" / "fs" / "deep").mkdir(parents=True)
    (store.layers / ("0" * 64) / "fs").mkdir(parents=True)
    (store.blobs / ("1" * 64)).write_bytes(b"half")
    (store.tmp / "of-somebody-else").mkdir()
    again = new_service("engine")
    assert left_over(again) == sorted([*kept, str(store.tmp / "of-somebody-else")])
    assert again.resolve("sample:1").config.cmd == ("sh",)


def test_kill_9_of_the_engine_in_the_middle(new_service: NewService, tmp_path: Path) -> None:
    archived(tmp_path / "large.tar", ["large:1"], [large()])
    root = tmp_path / "engine"
    root.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", LOADING, str(root), str(tmp_path / "large.tar")],
        stdout=subprocess.PIPE,
        text=True,
    ) as engine:
        assert engine.stdout is not None and "Extracting" in engine.stdout.readline()
        (worker,) = children(engine.pid)
        engine.kill()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{worker}").exists(), "the worker ends with the engine"
    assert len(os.listdir(root / "tmp")) > 0
    service = new_service("engine")
    assert left_over(service) == [] and service.list(True, {}) == []
