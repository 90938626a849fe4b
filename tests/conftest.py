"""Rules for every test: nothing is left behind, and what is missing on the machine is said."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Iterator

import pytest
from _pytest.runner import runtestprotocol

from tests import leaks
from tests.tools import need_root

# Daemons and their shims inherit it, so that a process which outlived its parent is still known as ours.
os.environ[leaks.TAG_VARIABLE] = leaks.TAG

pytest_plugins = ["tests.servers.fixtures", "tests.peers.fixtures"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folder names are marks (tests/root, tests/e2e); coroutine tests are watched for left tasks."""
    for item in items:
        parts = item.path.parts
        for mark in ("root", "e2e", "vm"):
            if mark in parts[-4:-1]:
                item.add_marker(mark)
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = _without_task_leaks(item.obj)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if any(item.get_closest_marker(mark) for mark in ("root", "e2e", "vm")):
        need_root()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """dockerd loses the output of a short `docker run` once in some thousands: a scenario that fails on dockerd gets a
    second chance there, on ours never."""
    if "[dockerd" not in item.nodeid:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in reports):
        item._initrequest()  # type: ignore[attr-defined]  # fixtures of the function's own, anew
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails a test that leaves a process, fd, mount, interface, nft table or cgroup (see tests/leaks.py)."""
    base = str(tmp_path_factory.getbasetemp())
    before = leaks.take(base)
    yield
    left = leaks.difference(before, base)
    if left:
        pytest.fail("left behind by this test:\n  " + "\n  ".join(left), pytrace=False)


def _without_task_leaks(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def watched(*args: object, **kwargs: object) -> None:
        before = asyncio.all_tasks()
        await test(*args, **kwargs)
        # One turn of the loop for callbacks of tasks that have just finished.
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() - before if not task.done()]
        assert not left, f"this test left asyncio tasks running: {left}"

    return watched
