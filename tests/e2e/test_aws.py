"""`pymachine create aws` from end to end: the real command, boto3, and an EC2 whose instances are namespace hosts.

The cloud is moto's server with a strictness of its own (tests/servers/aws). It and the laptop have loopback and the
bridge of the hosts, and no way out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.e2e.machine import Laptop, laptop
from tests.root.local_driver.conftest import caches
from tests.servers.aws.cloud import Cloud

__all__ = ["caches"]


@dataclass(frozen=True)
class Desk:
    """Somebody's laptop, and the cloud that it sees."""

    laptop: Laptop
    cloud: Cloud


@pytest.fixture(scope="module")
def desk(caches: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with laptop() as made:
        # A real disk: the hosts' are overlays.
        with Cloud(made.home / "cloud", made.namespace, hosts=True) as cloud:
            here = replace(made, extra=cloud.environment)
            here.make_key()
            yield Desk(here, cloud)
            for name in here.ok("ls", "-q").split():
                here.pymachine("rm", "--yes", name)


def test_a_life(desk: Desk, busybox_tar: Path) -> None:
    """Create, run, stop and start with another address, lost laptop, rm: and nothing is left in the account."""
    mine, cloud = desk.laptop, desk.cloud
    made = mine.pymachine("create", "aws", "dev1", "--yes", "-o", "tags=team=blue")
    assert made.code == 0, made.err
    assert "t3.small, eu-central-1a, debian-12 x86_64, 10 GB gp3: $0.0303/h" in made.err
    assert "host key rotated" in made.err and "known in the account" in made.err
    address = mine.ok("ip", "dev1")
    mine.ok("load", "-i", str(busybox_tar))
    assert mine.ok("run", "--rm", "busybox", "echo", "hello from a cloud") == "hello from a cloud"
    mine.ok("run", "-d", "--stop-timeout", "1", "--name", "kept", "busybox", "sleep", "1000")

    mine.ok("stop", "dev1")
    assert "stopped" in mine.ok("ls")
    mine.ok("start", "dev1")
    assert mine.ok("ip", "dev1") != address
    mine.ok("container", "start", "kept")
    assert "kept" in mine.ok("ps")

    other = mine.another("other")
    assert "dev1" in other.pymachine("gc", "aws", "--yes").err  # whole, not known there, and not touched
    assert "dev1" in other.pymachine("create", "aws", "dev1", "--yes").err
    denied = other.pymachine("adopt", "aws")
    assert (denied.code, other.ok("ls", "-q")) == (1, "") and "admits none of your keys" in denied.err
    (other.home / ".ssh").mkdir()
    for name in ("id_ed25519", "id_ed25519.pub"):
        path = other.home / ".ssh" / name
        path.write_bytes((mine.home / ".ssh" / name).read_bytes())
        path.chmod(0o600)
    assert other.ok("adopt", "aws") == "dev1"
    assert "kept" in other.ok("ps")
    other.ok("rm", "--yes", "dev1")
    assert cloud.everything() == []
    assert "absent" in mine.ok("ls") and "nothing is left over" in mine.pymachine("gc", "aws").err
    mine.ok("rm", "--yes", "dev1")
