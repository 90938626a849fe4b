"""What `create` is asked for: checked, kept in the journal, taken up again."""

from __future__ import annotations

from pathlib import Path

import pytest

from machine.errors import Conflict, Usage
from machine.model.registries import NONE, Registries
from machine.store.store import Store
from machine.workflow.order import admit
from machine.workflow.request import Request

ASKED = Request(
    "local",
    {"size": "2"},
    Registries.checked(
        ["https://mirror.example/v2", "http://[::1]:5000"], ["10.0.0.0/8", "hub.example:5000"]
    ),
)


def test_it_comes_back_from_the_journal() -> None:
    assert Request.of(ASKED.values(), "x") == ASKED
    whole = Request(
        "aws",
        {"type": "x"},
        NONE,
        ("ssh-ed25519 AAAA me", "ssh-rsa BBBB"),
        "0123",
        "8h",
        "2026-11-24T18:40:00+00:00",
    )
    assert Request.of(whole.values(), "x") == whole
    assert Request("aws").part_of(whole) and not Request("aws", ttl="9h").part_of(whole)
    assert Request("aws", {"settled plan": "..."}, ttl="8h").command("a") == "pymachine create aws a --ttl 8h"
    assert Request.of({}, "local") == Request("local")
    assert Request.of({"driver": "local", "option a": "b"}, "x") == Request(
        "local", {"a": "b"}
    )  # of older journals


@pytest.mark.parametrize(
    ("mirrors", "insecure"),
    [
        (["mirror.example"], []),
        (["ftp://mirror.example"], []),
        (["https://me:secret@mirror.example"], []),
        (["https://"], []),
        ([], ["http://hub.example"]),
        ([], ["hub.example/path"]),
        ([], ["two words"]),
        ([], [""]),
    ],
)
def test_what_the_engine_would_not_understand(mirrors: list[str], insecure: list[str]) -> None:
    with pytest.raises(Usage, match=r"cannot be (a registry mirror|an insecure registry): write"):
        Registries.checked(mirrors, insecure)


def test_the_drivers_name_is_enough_to_finish(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = store.make("dev1")
    assert admit(store, entry, ASKED) == ASKED
    entry.journal.add("order", values=ASKED.values())
    assert admit(store, entry, Request("local")) == ASKED
    assert admit(store, entry, ASKED) == ASKED
    # What was typed then, without what the driver had settled.
    settled = Request("ssh", {"host": "box", "host-key": "ssh-ed25519 AAAA"})
    assert Request("ssh", {"host": "box"}).part_of(settled)
    assert not Request("ssh", {"host": "other"}).part_of(settled)
    assert not Request("local", {"host": "box"}).part_of(settled)
    with pytest.raises(Conflict) as caught:
        admit(store, entry, Request("local", {"size": "3"}))
    assert "pymachine create local dev1 -o size=2 --registry-mirror https://mirror.example/v2" in str(
        caught.value
    )
