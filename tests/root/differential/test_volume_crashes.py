"""Volumes and a daemon that is killed: nothing half made stays, nothing held goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.servers import image
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon
from tests.tools import need

pytestmark = pytest.mark.root

MEGABYTES = 64


@pytest.fixture
def big_image(daemon: Daemon, tmp_path: Path) -> str:
    """An image with enough in the place of its volume that a copy of it can be seen under way."""
    base = image.busybox_layer(Path(need("busybox", "busybox-static")))
    data = os.urandom(1 << 20)
    files = [
        image.Entry("data", b"5", 0o755),
        *(image.Entry(f"data/{n}", data=data) for n in range(MEGABYTES)),
    ]
    image.archive(tmp_path / "image.tar", ["big:latest"], [base, image.layer(files)], {"Cmd": ["sh"]})
    daemon.engine.ok("load", "-i", str(tmp_path / "image.tar"))
    return "big"


def _places(engine: Engine) -> Path:
    """Where volumes are: the probe is removed again."""
    engine.ok("volume", "create", "probe")
    place = Path(engine.ok("volume", "inspect", "-f", "{{.Mountpoint}}", "probe")).parent.parent
    engine.ok("volume", "rm", "probe")
    return place


def test_a_kill_while_a_volume_is_filled(daemon: Daemon, big_image: str) -> None:
    engine = daemon.engine
    places = _places(engine)
    create = engine.start("create", "-v", "half:/data", "-v", "/more", big_image)
    deadline = time.monotonic() + 20
    while not (places / "half" / "_data" / "0").exists():
        assert time.monotonic() < deadline and create.poll() is None, "the copy was not seen"
    daemon.kill()
    create.communicate(timeout=20)
    assert create.returncode != 0
    daemon.start()
    assert engine.ok("volume", "ls", "-q") == ""
    assert engine.ok("ps", "-aq") == ""
    assert list(places.iterdir()) == []
    engine.ok("run", "--rm", "-v", "half:/data", big_image, "test", "-f", f"/data/{MEGABYTES - 1}")


def test_a_kill_between_create_and_start(daemon: Daemon, big_image: str) -> None:
    engine = daemon.engine
    engine.ok("create", "--name", "kept", "-v", "named:/data", "-v", "/anonymous", big_image)
    before = engine.ok("volume", "ls", "-q"), engine.inspect("kept", "{{json .Mounts}}")
    daemon.kill()
    daemon.start()
    assert (engine.ok("volume", "ls", "-q"), engine.inspect("kept", "{{json .Mounts}}")) == before
    assert engine.docker("volume", "rm", "named").code == 1
    engine.ok("rm", "-v", "kept")
    assert engine.ok("volume", "ls", "-q") == "named"


def test_data_without_a_row_is_taken_up_again(daemon: Daemon) -> None:
    """As after a power cut that lost the last commits; an empty directory is what a killed creation leaves."""
    engine = daemon.engine
    places = _places(engine)
    daemon.kill()
    (places / "found" / "_data").mkdir(parents=True)
    (places / "found" / "_data" / "file").write_text("hello")
    (places / "empty" / "_data").mkdir(parents=True)
    (places / ".gone-1" / "_data").mkdir(parents=True)
    daemon.start()
    assert engine.ok("volume", "ls", "-q") == "found"
    assert engine.ok("run", "--rm", "-v", "found:/x", "busybox", "cat", "/x/file") == "hello"
    assert sorted(each.name for each in places.iterdir()) == ["found"]


def test_a_failed_create_leaves_no_volume(daemon: Daemon, big_image: str) -> None:
    engine = daemon.engine
    assert engine.docker("create", "-v", "new:/data", "-v", "/etc/passwd", big_image).code == 1
    assert engine.ok("volume", "ls", "-q") == ""
    assert list(_places(engine).iterdir()) == []


def test_containers_that_come_together_find_one_full_volume(daemon: Daemon, big_image: str) -> None:
    engine = daemon.engine
    count = ("sh", "-c", "ls /data | wc -l")
    runs = [engine.start("run", "--rm", "-v", "shared:/data", big_image, *count) for _ in range(3)]
    assert [run.communicate(timeout=60)[0].strip() for run in runs] == [str(MEGABYTES).encode()] * 3


def test_a_volume_is_not_a_way_out(daemon: Daemon, tmp_path: Path) -> None:
    """An image whose volume is reached over symlinks to the host, with more of them inside, is copied as it is."""
    engine = daemon.engine
    target = engine.share / "target"
    target.mkdir(exist_ok=True)
    (target / "secret").write_text("secret")
    base = image.busybox_layer(Path(need("busybox", "busybox-static")))
    files = [
        image.Entry("out", b"2", 0o777, link=str(target)),
        image.Entry("data", b"5", 0o755),
        image.Entry("data/out", b"2", 0o777, link=str(target)),
        image.Entry("data/up", b"2", 0o777, link="../../../../../../../../" + str(target)),
    ]
    image.archive(tmp_path / "image.tar", ["hostile:latest"], [base, image.layer(files)], {"Cmd": ["sh"]})
    engine.ok("load", "-i", str(tmp_path / "image.tar"))
    assert engine.ok("run", "--rm", "-v", "one:/out", "hostile", "ls", "-A", "/out") == ""
    places = _places(engine)
    engine.ok("create", "-v", "two:/data", "hostile")
    assert os.readlink(places / "two" / "_data" / "out") == str(target)
    assert sorted(os.listdir(target)) == ["secret"]
