"""kill -9 of `create` and `rm` before and after every change, in the account and on the laptop: nothing is lost.

The moments are counted, not timed: each journal line, each record, each call that changes something in AWS is one
before and one after. Three who do not know what happened clear up then: `create` again, `rm`, and gc on an empty
laptop. Everything is done in children of a process that has boto3 ready, and connections to nobody.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any, Final

import pytest

from machine.drivers import aws
from machine.drivers import base as drivers
from machine.drivers.aws_api import Aws, Profiles
from machine.store.journal import Journal
from machine.store.store import Entry, Store
from machine.workflow import collect
from machine.workflow.create import make
from machine.workflow.order import Agreed
from machine.workflow.request import Request
from tests.root.aws_driver.conftest import Desk

_CHANGES: Final = ("create_", "authorize_", "run_", "terminate_", "delete_", "revoke_")


class Moments:
    """Counts them in this process, and ends it at one; `last`: which one, and how many there were."""

    def __init__(self, fatal: int | None) -> None:
        self._fatal, self.names = fatal, list[str]()

    def reach(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) - 1 == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: type, method: str, name_of: Callable[..., str | None]) -> None:
        whole = getattr(owner, method)

        @functools.wraps(whole)
        def watched(*args: Any, **kwargs: Any) -> Any:
            name = name_of(*args)
            if name is None:
                return whole(*args, **kwargs)
            self.reach(f"before {name}")
            result = whole(*args, **kwargs)
            self.reach(f"after {name}")
            return result

        setattr(owner, method, watched)


def forked(work: Callable[[], object], fatal: int | None = None) -> tuple[list[str], Any] | None:
    """Does it in a child that dies at moment `fatal`: all moments and the result (as JSON has it); None if it died."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            moments = Moments(fatal)
            moments.around(Journal, "add", lambda journal, event, step="", *rest: f"journal {event} {step}")
            moments.around(Entry, "write", lambda entry, machine: "record")
            moments.around(Store, "forget", lambda store, name: "forget")
            moments.around(
                Aws, "call", lambda aws, region, name, *rest: name if name.startswith(_CHANGES) else None
            )
            result = work()
            os.write(writer, json.dumps([moments.names, result]).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writer)
    with open(reader) as said:
        text = said.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return None
    assert os.WEXITSTATUS(status) == 0, "the child raised, see its output"
    names, result = json.loads(text)
    return names, result


def by_create(desk: Desk, create: Callable[[], None]) -> None:
    if not any(summary.complete for summary in desk.store.list()):
        create()
    assert desk.account() == ["group", "instance"] and desk.store.list()[0].complete
    desk.rm()


def by_rm(desk: Desk, create: Callable[[], None]) -> None:
    if desk.store.names():
        desk.rm()


def by_gc(desk: Desk, create: Callable[[], None]) -> None:
    """Without local state. A whole machine is nothing that was left over; then it is known to everybody."""
    empty, options = desk.another("empty").store, {"region": "eu-central-1"}
    found = collect.survey(empty, "aws", options, lambda text: None, grace=0)
    collect.collect(empty, "aws", options, found.orphans, lambda text: None, lambda thing: None)
    if found.unknown:
        assert desk.account() == ["group", "instance"]
    if desk.store.names():
        desk.rm()


Finish = Callable[[Desk, Callable[[], None]], None]
FINISHES: Final[tuple[Finish, ...]] = (by_create, by_rm, by_gc)


def chosen(finishes: tuple[Finish, ...], number: int, moment: str, all_of_them: bool) -> tuple[Finish, ...]:
    """Each of them where AWS changes, elsewhere one in turn."""
    if all_of_them or moment.partition(" ")[2].startswith(_CHANGES):
        return finishes
    return (finishes[number % len(finishes)],)


@pytest.fixture
def ready(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Creates dev1, from an order that was settled once, with clients that are made once."""
    profiles = Profiles()
    monkeypatch.setattr(aws, "Profiles", lambda: profiles)
    for service in ("ec2", "sts", "ssm"):
        profiles.get(None)._client(service, "eu-central-1")
    settled = forked(lambda: desk.agree("dev1").request.options)
    assert settled is not None
    request = Request("aws", settled[1])

    def create() -> None:
        make(desk.store, Agreed(drivers.get("aws", desk.store), request, ("dev1",)), "dev1")

    return create


@pytest.mark.parametrize("all_of_them", [False, pytest.param(True, marks=pytest.mark.long)])
def test_create(desk: Desk, ready: Callable[[], None], all_of_them: bool) -> None:
    done = forked(ready)
    assert done is not None and len(done[0]) > 30 and "after run_instances" in done[0]
    assert desk.account() == ["group", "instance"]
    forked(desk.rm)
    for number, name in enumerate(done[0]):
        for finish in chosen(FINISHES, number, name, all_of_them):
            assert forked(ready, number) is None, name
            check(desk, finish, ready, name)


@pytest.mark.parametrize("all_of_them", [False, pytest.param(True, marks=pytest.mark.long)])
def test_rm(desk: Desk, ready: Callable[[], None], all_of_them: bool) -> None:
    forked(ready)
    done = forked(desk.rm)
    assert done is not None and "after terminate_instances" in done[0] and desk.account() == []
    for number, name in enumerate(done[0]):
        for finish in chosen(FINISHES[1:], number, name, all_of_them):
            forked(ready)
            assert forked(desk.rm, number) is None, name
            check(desk, finish, ready, name)


def check(desk: Desk, finish: Finish, create: Callable[[], None], moment: str) -> None:
    if "instance" in desk.account():
        assert desk.store.names() == ["dev1"], f"unlisted, {moment}"
    assert forked(lambda: finish(desk, create)) is not None
    assert desk.account() == [], f"left by {finish}, {moment}"
    assert desk.store.names() == [], moment
