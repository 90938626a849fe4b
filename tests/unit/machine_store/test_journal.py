"""The journal: what a crash can leave of it is read, what it cannot is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from machine.errors import MachineError
from machine.store.journal import Journal


def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def test_no_file_is_an_empty_history(tmp_path: Path) -> None:
    history = journal(tmp_path).read()
    assert (history.order, history.state, history.complete, history.unfinished) == ({}, {}, False, "")


def test_life_of_a_create(tmp_path: Path) -> None:
    book = journal(tmp_path)
    book.add("order", values={"driver": "local"})
    book.add("begun", "keys")
    assert book.read().unfinished == "keys" and not book.read().is_done("keys")
    book.add("done", "keys")
    book.add("begun", "host dev1")
    book.add("failed", "host dev1", "no room")
    history = book.read()
    assert history.order == {"driver": "local"}
    assert history.is_done("keys") and history.unfinished == "host dev1" and history.failure == "no room"
    book.add("begun", "host dev1")
    book.add("done", "host dev1")
    book.add("complete")
    assert book.read().complete and not book.read().unfinished and not book.read().failure


def test_a_removal_that_has_begun_is_not_complete(tmp_path: Path) -> None:
    book = journal(tmp_path)
    for event, step in (("begun", "keys"), ("done", "keys"), ("complete", "")):
        book.add(event, step)  # type: ignore[arg-type]  # a loop over literals
    book.add("undone", "keys")
    assert book.read().removing and not book.read().complete


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_torn_last_line_is_dropped_and_written_over(tmp_path: Path, cut: int) -> None:
    book, path = journal(tmp_path), tmp_path / "journal.jsonl"
    book.add("begun", "keys")
    whole = path.read_bytes()
    book.add("done", "keys")
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    assert book.read().state == {"keys": "begun"}
    book.add("failed", "keys", "why")
    assert book.read().state == {"keys": "failed"}


def test_damage_elsewhere_is_an_error(tmp_path: Path) -> None:
    book = journal(tmp_path)
    book.add("begun", "keys")
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"\0\0\0\n" + path.read_bytes())
    with pytest.raises(MachineError, match="damaged in line 1"):
        book.read()


def test_it_is_private(tmp_path: Path) -> None:
    journal(tmp_path).add("begun", "keys")
    assert (tmp_path / "journal.jsonl").stat().st_mode & 0o777 == 0o600
