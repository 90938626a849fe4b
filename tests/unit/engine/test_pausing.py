"""Pausing what ends at the same moment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hostagent.engine.container import Container
from hostagent.engine.life.pausing import Pausing
from hostagent.engine.state import State
from hostagent.errors import Conflict
from hostagent.wire import ContainerCreate


async def test_a_container_whose_group_is_gone_does_not_run() -> None:
    """Its end is on its way to the daemon: no word about the host's freezer."""
    container = Container(
        "a" * 64, "web", 0, "sha256:0", ContainerCreate(), "/nowhere", state=State(phase="running")
    )
    containers = SimpleNamespace(find=lambda reference: container)
    bundles = SimpleNamespace(cgroup=lambda each: "/pymachine-test/no-such-group")
    pausing = Pausing(cast("Any", containers), cast("Any", bundles), cast("Any", None))
    with pytest.raises(Conflict, match="is not running"):
        await pausing.pause("web")
