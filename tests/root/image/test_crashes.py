"""kill -9 of the daemon at random points of what it does with images and builds: afterwards everything that it lists is
whole, nothing else is on its disk or in its cgroup, and the same commands work.

Repeat a run's dice with PYMACHINE_FAULT_SEED; the moments still depend on the machine.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import sqlite3
import tarfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.root.image.samples import archived, member, tar_of
from tests.servers.engine import Engine, UnixConnection
from tests.servers.hostagent import Daemon

pytestmark = pytest.mark.root

SEED = int(os.environ.get("PYMACHINE_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
IMAGE = "127.0.0.1:5000/victim"


def layers(dice: random.Random) -> list[bytes]:
    """Two layers, the lower one the same for every image."""
    base = tar_of(*((member(f"base/{n}"), bytes([n % 251]) * 3000) for n in range(400)))
    return [base, tar_of(*((member(f"own/{n}"), dice.randbytes(2000)) for n in range(300)))]


DOCKERFILE = """\
FROM busybox AS made
ARG SALT
RUN --mount=type=cache,target=/kept --mount=type=bind,target=/from cp -r /from /made && echo $SALT > /kept/salt
FROM busybox
COPY . /all
WORKDIR /work
COPY --from=made /made/own /own
ARG SALT
RUN echo $SALT > salt && rm -r /all/base
"""


def prepared(engine: Engine, dice: random.Random, folder: Path) -> list[list[str]]:
    """Images in the registry and in archives, a context; the commands to interrupt."""
    context = engine.share / "context"
    context.mkdir(exist_ok=True)
    for data in layers(dice):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extractall(context)
    (context / "Dockerfile").write_text(DOCKERFILE)
    build = ["build", "-q", "-t", f"{IMAGE}:built", str(context)]
    for tag in ("1", "2"):
        data = archived(folder / f"{tag}.tar", [f"{IMAGE}:{tag}"], layers(dice))
        (engine.share / f"{tag}.tar").write_bytes(data)
        engine.ok("load", "-i", str(engine.share / f"{tag}.tar"))
        engine.ok("push", f"{IMAGE}:{tag}")
        (engine.share / f"{tag}.root.tar").write_bytes(layers(dice)[1])
    return [
        *(["pull", f"{IMAGE}:{tag}"] for tag in "12"),
        *(["load", "-i", str(engine.share / f"{tag}.tar")] for tag in "12"),
        *(["rmi", f"{IMAGE}:{tag}"] for tag in "12"),
        *(["import", str(engine.share / f"{tag}.root.tar"), f"{IMAGE}:imported"] for tag in "12"),
        ["image", "prune", "-f"],
        ["push", f"{IMAGE}:1"],
        *([*build, "--build-arg", f"SALT={salt}"] for salt in range(6)),
        *([*build, "--no-cache", "--build-arg", f"SALT={salt}"] for salt in range(2)),
        *(["builder", "prune", "-af"] for _ in range(3)),
    ]


def whole(engine: Engine) -> None:
    """Each image can be saved, and each blob of it is what its name says."""
    for identity in set(engine.ok("images", "-aq", "--no-trunc").split()):
        connection = UnixConnection(engine.socket)
        with closing(connection):
            connection.request("GET", f"/v1.44/images/{identity}/get")
            answer = connection.getresponse()
            data = answer.read()
        assert answer.status == 200, data
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            blobs = [each for each in tar if each.isreg() and each.name.startswith("blobs/sha256/")]
            assert blobs
            for each in blobs:
                content = (tar.extractfile(each) or io.BytesIO()).read()
                assert hashlib.sha256(content).hexdigest() == each.name.rpartition("/")[2]


def nothing_else(root: Path) -> None:
    """What lies on the disk is what the database wants."""
    with closing(sqlite3.connect(f"file:{root}/state.db?mode=ro", uri=True)) as db:
        kept = {row[0] for row in db.execute("SELECT id FROM image UNION SELECT manifest FROM image")}
        kept |= {row[0] for row in db.execute("SELECT digest FROM layer_blob")}
        chains = {row[0] for row in db.execute("SELECT chain_id FROM layer")}
    on_disk = {f"sha256:{path.name}" for path in (root / "blobs/sha256").iterdir()}
    assert on_disk <= kept, "blobs that nothing wants"
    assert {f"sha256:{path.name}" for path in (root / "layers").iterdir()} == chains
    assert not list((root / "tmp").iterdir())
    assert not list((root / "containers").iterdir())


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.long)])
def test_kills_at_random_points(daemon: Daemon, tmp_path: Path, kills: int) -> None:
    dice = random.Random(SEED)
    engine = daemon.engine
    commands = prepared(engine, dice, tmp_path)
    print(f"PYMACHINE_FAULT_SEED={SEED}")
    for number in range(1, kills + 1):
        command = dice.choice(commands)
        print(" ".join(command))
        client = engine.start(*command)
        time.sleep(dice.uniform(0.02, 0.5))  # the dice's moment, not a wait for anything
        daemon.kill()
        client.communicate(timeout=30)
        daemon.ensure()
        nothing_else(daemon.containers.parent)
        assert not daemon.residue()
        if number % 5 == 0:
            whole(engine)
    for tag in "12":
        engine.ok("pull", f"{IMAGE}:{tag}")
        engine.ok("rmi", f"{IMAGE}:{tag}")
    built = next(command for command in commands if command[0] == "build")
    engine.ok(*built)
    assert engine.ok("run", "--rm", f"{IMAGE}:built", "sh", "-c", "cat salt; ls /own | wc -l; ls /all") == (
        "0\n300\nDockerfile\nown"
    )
    engine.ok("rmi", f"{IMAGE}:built")
    engine.ok("builder", "prune", "-af")
    nothing_else(daemon.containers.parent)
