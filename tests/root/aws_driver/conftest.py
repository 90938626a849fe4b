"""A cloud without hosts, and a laptop whose `create` ends where SSH would begin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from machine.drivers import aws_instance
from machine.drivers.aws_api import Aws
from machine.drivers.base import Ask, Step
from machine.store.store import Store
from machine.workflow import create, remove
from machine.workflow.create import make
from machine.workflow.order import Agreed, agree
from machine.workflow.plan import plan
from machine.workflow.remove import remove as rm
from tests.servers.aws.cloud import REGION, Cloud
from tests.servers.aws.control import UNSEEN_SECONDS

_OF_SSH = ("ssh, host key verified", "host key rotated", "hostagent")

Options = Mapping[str, str]
NONE: Final[Options] = {}


@dataclass(frozen=True)
class Desk:
    """Somebody at an empty laptop."""

    cloud: Cloud
    store: Store
    home: Path

    def agree(self, *names: str, ask: Ask = lambda question: False, options: Options = NONE) -> Agreed:
        return agree(self.store, "aws", names, dict(options), keys=(), ask=ask)

    def create(self, name: str = "dev1", options: Options = NONE, *, keep: bool = False) -> None:
        make(self.store, self.agree(name, options=options), name, keep=keep)

    def rm(self, name: str = "dev1") -> None:
        rm(self.store, name)

    def another(self, name: str) -> Desk:
        return Desk(self.cloud, Store(self.home / name), self.home)

    def records(self) -> dict[str, dict[str, str]]:
        """What is on record of each machine, by name."""
        return {name: self.store.get(name).driver_data for name in self.store.names()}

    def aws(self, operation: str, **request: Any) -> dict[str, Any]:
        """A call of EC2, as the account's owner."""
        return Aws(None).call(REGION, operation, **request)

    def instances(self) -> list[dict[str, Any]]:
        """As DescribeInstances gives them, those that live."""
        self.cloud.everything()
        found = self.aws("describe_instances")["Reservations"]
        every = [instance for reservation in found for instance in reservation["Instances"]]
        return [instance for instance in every if instance["State"]["Name"] != "terminated"]

    def account(self) -> list[str]:
        """Kinds of what exists, when nothing changes any more."""
        return sorted(thing["kind"] for thing in self.cloud.everything())


def _without_ssh(*arguments: object) -> tuple[Step, ...]:
    steps = plan(*arguments)  # type: ignore[arg-type]  # passed on as they came
    return tuple(step for step in steps if not step.name.startswith(_OF_SSH))


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud")) as cloud:
        yield cloud


@pytest.fixture
def desk(moto: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setattr(create, "plan", _without_ssh)
    monkeypatch.setattr(remove, "plan", _without_ssh)
    monkeypatch.setattr(aws_instance, "_PAUSE", 0.05)
    monkeypatch.setattr(aws_instance, "_ECHO_SECONDS", 4 * UNSEEN_SECONDS)
    yield Desk(moto, Store(tmp_path / "home"), tmp_path)
    moto.control(reset=True)
