"""Puts the agent on a host over SSH: versions side by side, switched by a symlink."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import msgspec

from machine.drivers.base import Say
from machine.errors import CommandFailed, Denied, MachineError, Unavailable, Unsupported
from machine.model.machine import Machine
from machine.workflow import bundle
from machine.workflow.bundle import Bundle, Target
from machine.workflow.existing import FOUND_ENGINE
from machine.workflow.root import as_root
from machine.workflow.session import Session

if TYPE_CHECKING:
    from machine.ssh.connection import Connection

_PIECE: Final = 256 * 1024
_REACHABLE: Final = 10.0  # seconds
_MINIMUM: Final = (3, 11)
# The program comes first on stdin, its data after it: no file is left on the host, and no quoting is needed.
_LOADER: Final = (
    "/usr/bin/python3 -c 'import sys; "
    'exec(compile(sys.stdin.buffer.read(int(sys.argv.pop(1))), "install.py", "exec"))\' '
)
_FACTS: Final = (
    "/usr/bin/python3 -c 'import json, os, platform, sys; "
    'names = os.listdir("/opt/pymachine/versions") if os.path.isdir("/opt/pymachine/versions") else []; '
    'print(json.dumps({"python": list(sys.version_info[:2]), "arch": platform.machine(), "versions": names}))\''
)


class Facts(msgspec.Struct, frozen=True):
    """What the host says of itself."""

    python: tuple[int, int]
    arch: str
    versions: tuple[str, ...]


class Active(msgspec.Struct, frozen=True):
    """The version that runs now, and the highest Engine API version that it speaks."""

    active: str
    api: str


@dataclass(frozen=True)
class AgentStep:
    """The engine, of this laptop's version, running and answering."""

    session: Session
    release: str
    whole_host: bool  # the host is ours: it goes as a whole, and nothing on it has to be taken back

    @property
    def name(self) -> str:
        return f"hostagent {self.release}"

    def describe(self) -> str:
        return "unpack the agent below /opt/pymachine/versions, switch `current` to it, start its units"

    def execute(self, machine: Machine, say: Say) -> Machine:
        connection = self.session.connection(machine, say)
        facts = _facts(connection, machine)
        made = bundle.ensure(Target(".".join(map(str, facts.python)), facts.arch), say)
        if made.version not in facts.versions:
            say(f"sending {made.size / 1e6:.1f} MB")
            send(connection, made)
        settings = {
            "registry-mirrors": machine.registry_mirrors,
            "insecure-registries": machine.insecure_registries,
        }
        answer = activate(
            connection, made.version, say, {key: value for key, value in settings.items() if value}
        )
        say(f"{answer.active}, API {answer.api}")
        return replace(machine, agent=answer.active)

    def undo(self, machine: Machine, say: Say) -> None:
        """On a host that stays: the engine goes, with its containers, images and volumes, if it came with us."""
        if self.whole_host or FOUND_ENGINE not in machine.driver_data:
            return
        if found := machine.driver_data[FOUND_ENGINE]:
            say(f"stays: {found} was there before")
            return
        try:
            connection = self.session.connection(machine, say, deadline=_REACHABLE)
        except (Unavailable, Denied) as error:
            raise type(error)(
                f"{error}\nThe engine is still on it. Try again when it can be reached, or forget the machine and "
                f"leave the engine there:  pymachine rm --keep {machine.name}"
            ) from error
        say("stopping its containers")
        _remote(connection, ["remove", machine.user])
        say("removed")


def send(connection: Connection, made: Bundle) -> None:
    """Unpacks the bundle beside the versions that are there. MachineError: it arrived damaged, or a full disk."""
    _remote(connection, ["install", made.version, made.sha256, str(made.size)], made)


def activate(
    connection: Connection, version: str, say: Say, settings: Mapping[str, Sequence[str]] | None = None
) -> Active:
    """Switches to an installed version; one that does not start is switched back, and MachineError raised.

    `settings` replace those keys of the host's daemon.json; others, which its administrator may have set, stay.
    """
    # The first boot installs what the agent needs, and its apt would hold locks. The exit status is not asked: 2 means
    # that some module was unhappy, which is for the log; what matters is whether the agent starts.
    say("waiting for the host's first boot to end")
    connection.run("cloud-init status --wait >/dev/null 2>&1", check=False, timeout=900)
    say("starting")
    asked = msgspec.json.encode(settings or {}).decode()
    return msgspec.json.decode(
        _remote(connection, ["activate", version, asked, connection.machine.user]), type=Active
    )


def _facts(connection: Connection, machine: Machine) -> Facts:
    try:
        text = connection.run(_FACTS).stdout
    except CommandFailed as error:
        raise Unsupported(f"{machine.name} has no python3: install it there (apt install python3)") from error
    facts = msgspec.json.decode(text, type=Facts)
    if facts.python < _MINIMUM:
        raise Unsupported(
            f"{machine.name} has Python {facts.python[0]}.{facts.python[1]}, the engine needs 3.11: "
            "use Debian 12, Ubuntu 24.04 or newer"
        )
    return facts


def _remote(connection: Connection, arguments: list[str], sent: Bundle | None = None) -> bytes:
    """Runs host/install.py there; its last line of output."""
    program = files("machine.workflow").joinpath("host", "install.py").read_bytes()

    def stdin() -> Iterator[bytes]:
        yield program
        if sent is not None:
            with open(sent.path, "rb") as file:
                while piece := file.read(_PIECE):
                    yield piece

    command = as_root(connection.machine, _LOADER + shlex.join([str(len(program)), *arguments]))
    try:
        done = connection.run(command, stdin=stdin(), timeout=300)
    except CommandFailed as error:
        verb = "removed" if arguments[0] == "remove" else "installed"
        raise MachineError(f"the agent could not be {verb}: {error.output or error}") from error
    return done.stdout.strip().splitlines()[-1]
