"""`pymachine create aws` from end to end: the real command, boto3, and an EC2 whose instances are namespace hosts.

The cloud is moto's server with a strictness of its own (tests/servers/aws). It and the laptop have loopback and the
bridge of the hosts, and no way out.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.e2e.machine import Laptop, laptop
from tests.root.local_driver.conftest import caches
from tests.servers.aws.cloud import Cloud

__all__ = ["caches"]
README = Path(__file__).parents[2] / "README.md"


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


def test_it_ends_by_itself(desk: Desk) -> None:
    """The host's own timer, moved to the present: the cloud then removes it, and nobody's laptop is asked."""
    mine, cloud = desk.laptop, desk.cloud
    made = mine.pymachine("create", "aws", "dev2", "--yes", "--ttl", "90m")
    assert made.code == 0 and "$0.0303/h, $0.05 until they end themselves" in made.err, made.err
    (line,) = [line for line in mine.ok("ls").splitlines() if line.startswith("dev2")]
    assert line.split()[-5:-3] == ["0.0303", "0.00"] and "in 1h 29m" in line
    told = mine.ok("ssh", "dev2", "systemctl list-timers --no-legend pymachine-end.timer")
    assert "pymachine-end.service" in told
    drop_in = "/run/systemd/system/pymachine-end.timer.d"
    now = f"mkdir -p {drop_in} && printf '[Timer]\\nOnCalendar=\\nOnActiveSec=1\\n' >{drop_in}/now.conf"
    mine.ok(
        "ssh",
        "dev2",
        f'sudo sh -c "{now}" && sudo systemctl daemon-reload && sudo systemctl restart pymachine-end.timer',
    )
    assert wait_until(lambda: not cloud.control()["hosts"])
    assert "absent" in mine.ok("ls") and [thing["kind"] for thing in cloud.everything()] == ["group"]
    mine.ok("rm", "--yes", "dev2")
    assert cloud.everything() == []


def test_the_readmes_commands(desk: Desk) -> None:
    """As they stand there, but for the question about money; the machine is made by the first one."""
    text = README.read_text().partition("## In AWS")[2].partition("```\n")[2].partition("```")[0]
    lines = [shlex.split(line.partition("  # ")[0]) for line in text.splitlines()]
    assert len(lines) > 3
    for words in lines:
        assert words[0] == "pymachine"
        asks = words[1] == "gc" or (words[1] == "create" and "--dry-run" not in words and "help" not in words)
        desk.laptop.ok(*words[1:], *(["--yes"] if asks else []))
    desk.laptop.ok("rm", "--yes", "dev1")
    assert desk.cloud.everything() == []


def wait_until(happened: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not happened() and time.monotonic() < end:
        time.sleep(0.2)
    return happened()
