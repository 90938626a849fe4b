"""The keys of a machine: ours to log in with, and the host's own until it is rotated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cloud_init.spec import HostKey, HostSpec, User
from machine.drivers.base import Driver, Say
from machine.model.machine import Machine
from machine.store.files import write_atomically
from machine.store.store import Entry
from machine.workflow.request import Request

_HOST_KEY = "host_key"  # removed after the rotation: by then it is worthless


def host_spec(entry: Entry, driver: Driver, request: Request) -> HostSpec:
    """The spec of the machine, from its order and the keys that KeysStep made."""
    ours = entry.identity_file.with_suffix(".pub").read_text().strip()
    host_key = entry.directory / _HOST_KEY
    return HostSpec(
        hostname=entry.name,
        users=(User(name=driver.user(), keys=(ours, *request.keys)),),
        host_key=HostKey(
            private=host_key.read_text(), public=host_key.with_suffix(".pub").read_text().strip()
        ),
        packages=driver.packages(),
        ends=datetime.fromisoformat(request.ends) if request.ends else None,
    )


def forget_first_host_key(entry: Entry) -> None:
    for path in (entry.directory / _HOST_KEY, entry.directory / f"{_HOST_KEY}.pub"):
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class KeysStep:
    """Both key pairs, made here: so the host is known before it exists, and nothing is trusted on first use."""

    entry: Entry
    driver: Driver
    name: str = "keys"

    def describe(self) -> str:
        return "make our key for this machine, and the key that the host will show"

    def execute(self, machine: Machine, say: Say) -> Machine:
        from machine.ssh.keys import generate

        for path, comment in (
            (self.entry.identity_file, f"pymachine {machine.name}"),
            (self.entry.directory / _HOST_KEY, machine.name),
        ):
            # The public half is written last: there, it means that the pair is whole.
            if not path.with_suffix(".pub").exists():
                pair = generate(comment)
                write_atomically(path, pair.private.encode())
                write_atomically(path.with_suffix(".pub"), f"{pair.public}\n".encode(), 0o644)
        return replace(
            machine,
            user=self.driver.user(),
            identity_file=str(self.entry.identity_file),
            host_key=(self.entry.directory / f"{_HOST_KEY}.pub").read_text().strip(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def undo(self, machine: Machine, say: Say) -> None:
        """The keys go with the machine's folder, which is the last to go."""
        say("removed")
