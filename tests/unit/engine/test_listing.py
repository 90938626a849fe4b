"""The list's entries: kept while nothing changes, new when anything does."""

from __future__ import annotations

import time

from msgspec.structs import replace

from hostagent import wire
from hostagent.engine import listing, views
from hostagent.engine.container import Container
from hostagent.engine.state import State

IMAGE = "sha256:" + "a" * 64


def test_an_entry_is_made_anew_only_when_something_changed() -> None:
    config = wire.ContainerCreate(
        image="busybox", cmd=["sleep", "1"], host_config=wire.HostConfig(network_mode="none")
    )
    state = State(phase="running", started_ns=time.time_ns() - 10**12)
    box = Container("b" * 64, "box", 1, IMAGE, config, "/nowhere", state=state)
    first = listing.entry(box, IMAGE, ())
    assert first == views.summary(box, IMAGE, ())
    assert listing.entry(box, IMAGE, ()) is first
    box.name = "case"
    assert listing.entry(box, IMAGE, ()).names == ["/case"]
    assert listing.entry(box, None, ()).image == IMAGE
    assert listing.entry(box, None, ("/other/alias",)).names == ["/case", "/other/alias"]
    box.state = replace(state, phase="exited", exit_code=3, finished_ns=time.time_ns())
    assert listing.entry(box, None, ()).status.startswith("Exited (3)")
    box.config = replace(config, labels={"a": "b"})
    assert listing.entry(box, None, ()).labels == {"a": "b"}
