"""dockerd 26.1 beside us: in the Debian 13 tree, in namespaces of its own."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.leaks import ENGINE, TAG
from tests.peers import tree
from tests.servers.cgroups import remove_cgroup
from tests.servers.engine import REGISTRY_PORT, Engine
from tests.servers.hostagent import give_uplink
from tests.servers.namespace import Namespace
from tests.tools import need

ENTER = Path(__file__).with_name("enter-tree")
START_SECONDS = 30


@contextmanager
def dockerd(cli: Path) -> Iterator[Engine]:
    """A running dockerd; `cli` is the docker client that the Engine uses."""
    # Not pytest's folder: the path of a unix socket may have 107 bytes.
    with (
        tempfile.TemporaryDirectory(prefix="pmt-peer-") as name,
        Namespace() as outside,
        Namespace() as inside,
    ):
        work, parent = Path(name), f"/{TAG}{ENGINE}-dockerd"
        engine = Engine("dockerd", work / "docker.sock", work / "share", inside, cli)
        engine.share.mkdir()
        give_uplink(inside, outside)
        with (work / "dockerd.log").open("wb") as log:
            process = subprocess.Popen(
                inside.command(_command(work, parent)), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            try:
                _wait(engine, process, work / "dockerd.log")
                yield engine
            finally:
                # unshare's --kill-child takes the PID namespace along: dockerd, containerd and all containers.
                process.kill()
                process.wait()
                remove_cgroup(parent)


def _command(work: Path, parent: str) -> list[str]:
    unshare = [
        need("unshare", "util-linux"),
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--propagation=private",
    ]
    daemon = ["dockerd", f"--host=unix://{work}/docker.sock", f"--data-root={work}/docker"]
    daemon += [f"--cgroup-parent={parent}", "--storage-driver=overlay2"]
    daemon += [f"--insecure-registry=127.0.0.1:{REGISTRY_PORT}", "--dns=198.51.100.1"]
    # docker-init is PID 1 there: it reaps what containerd's shims leave.
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    entered = ["env", "-i", path, f"TMPDIR={work}", "docker-init", "--", *daemon]
    return [*unshare, str(ENTER), str(tree.tree()), str(work), *entered]


def _wait(engine: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (os.path.exists(engine.socket) and engine.docker("version").code == 0):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"dockerd did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.1)
