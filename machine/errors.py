"""The errors that leave the laptop's side, each with the exit code of the command that it ends.

    MachineError                1    the work was not done
    ├── Usage                   2    wrong arguments; nothing was changed
    ├── NotFound                1    no such machine, container, image, file, ...
    ├── Conflict                1    a name or a state stands in the way
    ├── Unsupported             1    known, but not on this system or not built (yet)
    ├── Unavailable             1    a host or its engine does not answer (may pass: worth another try)
    ├── Denied                  1    the host or the cloud refused our credentials
    ├── HostKeyMismatch         1    the host is not the one that we made: never retried
    ├── Spoiled                 1    what an earlier step made is of no use any more: it is made again
    ├── CommandFailed           1    a command on the host ended with an error
    ├── DaemonError             1    the engine on the host refused a call (has its HTTP status)
    └── RunFailed               125  docker's codes for `run` and `exec`: the container did not start
        ├── CannotInvoke        126  its command cannot be executed
        └── CommandNotFound     127  its command is not in the image

The text is for a person: what happened, why, and what to do. The edge (machine.cli) prints it and exits.
"""

from __future__ import annotations

from typing import ClassVar


class MachineError(Exception):
    """Root of the tree; `exit_code` is what the command exits with."""

    exit_code: ClassVar[int] = 1


class Usage(MachineError):
    exit_code = 2


class NotFound(MachineError):
    pass


class Conflict(MachineError):
    pass


class Unsupported(MachineError):
    pass


class Unavailable(MachineError):
    pass


class Denied(MachineError):
    pass


class HostKeyMismatch(MachineError):
    pass


class Spoiled(MachineError):
    """`step` is the name of the step that has to be done again; empty: none, the reason lies elsewhere."""

    def __init__(self, text: str, step: str = "") -> None:
        super().__init__(text)
        self.step = step


class CommandFailed(MachineError):
    """A command on the host exited with `status` (0-255; -1: killed or cut off); `output` is its stderr."""

    def __init__(self, text: str, status: int, output: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.output = output


class DaemonError(MachineError):
    """The engine answered with an HTTP error; the text is its own message, which clients know by heart."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class RunFailed(MachineError):
    exit_code = 125


class CannotInvoke(RunFailed):
    exit_code = 126


class CommandNotFound(RunFailed):
    exit_code = 127
