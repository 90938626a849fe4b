"""Each driver with all that it needs around it: the suite in test_every_driver.py knows only this.

A driver of somebody's own passes the same suite: a `Rig` for it, and a line in RIGS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from cloud_init.spec import HostKey, HostSpec, User
from machine.drivers import aws_instance
from machine.drivers import base as drivers
from machine.drivers.base import Driver, Order
from machine.model.machine import Machine
from machine.ssh.keys import generate
from machine.store.store import Store
from tests.leaks import SANDBOXED
from tests.servers.aws.cloud import Cloud
from tests.tools import need_root, unavailable
from tests.unit.machine_ssh.sshd import Sshd


@dataclass(frozen=True)
class Rig:
    """`options`: a good order. `wrong`: orders that are refused at once. `left`: what the provider has of ours."""

    driver: Driver
    store: Store
    options: dict[str, str]
    wrong: tuple[dict[str, str], ...]
    left: Callable[[], object]

    def order(self) -> Order:
        """Settled, with keys that were made for it; its record is in the store."""
        settled = self.driver.settle(self.options, lambda question: False)
        entry = self.store.make("dev1")
        entry.write(self.machine())
        return Order("dev1", "0123456789abcdef", entry.directory / self.driver.name, settled, self.spec)

    def machine(self) -> Machine:
        return Machine(
            name="dev1", driver=self.driver.name, address="", user="pymachine", host_key=_HOST.public
        )

    def spec(self) -> HostSpec:
        key = HostKey(private=_HOST.private, public=_HOST.public)
        return HostSpec(hostname="dev1", users=(User(name="pymachine", keys=(_HOST.public,)),), host_key=key)


_HOST: Final = generate("dev1")


@contextmanager
def _local(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    need_root()
    if not SANDBOXED:
        unavailable("this test makes a bridge: run it in scripts/sandbox (scripts/test root)")
    store = Store(folder / "home")
    drivers.get("local", store).prepare(lambda text: None)
    yield Rig(drivers.get("local", store), store, {}, ({"size": "1"},), lambda: sorted(folder.rglob("upper")))


@contextmanager
def _ssh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with Sshd(folder) as server:
        store = Store(folder / "home")
        key = " ".join(server.host_pair.public.split()[:2])
        options = {"host": f"127.0.0.1:{server.port}", "host-key": key}
        wrong: tuple[dict[str, str], ...] = ({}, {"host": "a b"}, {"host": "box", "port": "many"})
        yield Rig(drivers.get("ssh", store), store, options, wrong, lambda: None)


@contextmanager
def _aws(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(aws_instance, "_PAUSE", 0.05)
    with Cloud(folder / "cloud") as cloud:
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        store = Store(folder / "home")
        wrong = ({"type": "large"}, {"region": "x"}, {"disk-size": "-1"})
        yield Rig(drivers.get("aws", store), store, {}, wrong, cloud.everything)


RIGS: Final[dict[str, Callable[[Path, pytest.MonkeyPatch], AbstractContextManager[Rig]]]] = {
    "aws": _aws,
    "local": _local,
    "ssh": _ssh,
}


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("HOME", str(tmp_path))
    with RIGS[request.param](tmp_path, monkeypatch) as made:
        yield made
