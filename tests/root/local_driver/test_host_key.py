"""The host's key is known before the host is; another one is refused; the first one is replaced at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from machine.ssh.keys import generate
from tests.root.local_driver.conftest import Laptop

pytestmark = pytest.mark.root


def test_rotated_and_strict(shared: Laptop) -> None:
    machine = shared.machine("dev1")
    seed = shared.home / "machines/dev1/local/upper/var/lib/cloud/seed/nocloud/user-data"
    assert machine.host_key.split()[1] not in seed.read_text()
    assert machine.next_host_key is None
    assert not list((shared.home / "machines/dev1").glob("host_key*"))
    shown = shared.namespace.run(["ssh-keyscan", "-t", "ed25519", machine.address]).stdout
    assert machine.host_key.split()[1] in shown

    shared.store.save(replace(machine, host_key=generate("impostor").public))
    said = shared.call("ssh", "dev1", "true", status=1)
    assert said.startswith("HostKeyMismatch: ") and "nothing was sent" in said
    shared.store.save(machine)


def test_a_rotation_that_was_cut_off_locks_nobody_out(shared: Laptop) -> None:
    """The host already shows the next key, and the record does not know that the switch was made."""
    machine = shared.machine("dev1")
    shared.store.save(replace(machine, host_key=generate("old").public, next_host_key=machine.host_key))
    journal = shared.home / "machines/dev1/journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    kept = [line for line in lines if "complete" not in line and not ("done" in line and "rotated" in line)]
    journal.write_text("".join(kept))
    shared.call("create", "dev1")
    after = shared.machine("dev1")
    assert after.next_host_key is None and after.host_key == machine.host_key
    assert shared.ssh("dev1", "hostname") == "dev1"
