"""The first login, and the rotation of the host key right after it."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import dataclass, replace

from machine.drivers.base import Driver, Say
from machine.model.machine import Machine
from machine.model.paths import run_directory
from machine.store.store import Entry
from machine.workflow.identity import forget_first_host_key
from machine.workflow.session import Session

_KEY = "/etc/ssh/ssh_host_ed25519_key"
_NEXT = "/etc/ssh/.pymachine_next_host_key"
# A pair that was left by a rotation which was cut off before we learned of it is made anew.
_MAKE = f"rm -f {_NEXT} {_NEXT}.pub && ssh-keygen -q -t ed25519 -N '' -C {{comment}} -f {_NEXT} && cat {_NEXT}.pub"
# The private half moves first: a host with a new private key and an old .pub shows the new key.
_SWITCH = (
    f"if [ -e {_NEXT} ]; then mv -f {_NEXT} {_KEY} && mv -f {_NEXT}.pub {_KEY}.pub; fi && sync {_KEY} {_KEY}.pub && "
    "{ systemctl reload ssh.service 2>/dev/null || systemctl reload sshd.service; }"
)


@dataclass(frozen=True)
class SshStep:
    """Waits until the host lets us in. Its key is known: another one ends the workflow at once."""

    driver: Driver
    session: Session
    deadline: float = 300.0  # seconds; clouds take half a minute, and some images two
    name: str = "ssh, host key verified"

    def describe(self) -> str:
        return "log in, refusing any host key but the one on record"

    def execute(self, machine: Machine, say: Say) -> Machine:
        if self.driver.state(machine) == "stopped":  # a create resumed after the laptop was off
            machine = self.driver.start(machine, say)
        self.session.first(machine, self.driver, say, deadline=self.deadline)
        say(f"{machine.user}@{machine.address}")
        return machine

    def undo(self, machine: Machine, say: Say) -> None:
        from machine.client.keeper_start import forget_keeper

        forget_keeper(machine.name)
        with suppress(OSError):
            run_directory(machine.name).rmdir()  # only when no other machine has a keeper


@dataclass(frozen=True)
class RotateHostKeyStep:
    """The first host key was in the user-data, which metadata services hand to anyone on the host: replace it.

    The new key is made on the host and never leaves it. It is on record as `next_host_key` before the host shows it, so
    that at any moment the host's key is one that we accept.
    """

    entry: Entry
    session: Session
    name: str = "host key rotated"

    def describe(self) -> str:
        return "make a new host key on the host, put it on record, switch to it, check it by a new login"

    def execute(self, machine: Machine, say: Say) -> Machine:
        from machine.ssh.hostkey import fingerprint

        connection = self.session.connection(machine, say)
        if machine.next_host_key is None:
            command = _MAKE.format(comment=shlex.quote(machine.name))
            public = connection.run(f"sudo -n sh -c {shlex.quote(command)}").text
            machine = replace(machine, next_host_key=public)
            self.entry.write(machine)
        connection.run(f"sudo -n sh -c {shlex.quote(_SWITCH)}")
        self.session.close()
        machine = replace(machine, host_key=machine.next_host_key or machine.host_key, next_host_key=None)
        self.session.connection(machine, say)
        self.entry.write(machine)
        forget_first_host_key(self.entry)
        say(fingerprint(machine.host_key))
        return machine

    def undo(self, machine: Machine, say: Say) -> None:
        """Nothing: there is no way back to a key that others may know."""
