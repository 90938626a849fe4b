"""Why a container did not start, as Docker says it: the text, the kind, and the exit code that `docker run` gives."""

from __future__ import annotations

import errno

from hostagent.errors import EngineError, Invalid
from hostagent.runtime import program, protocol
from hostagent.runtime.program import NOT_INVOCABLE

COMMAND_NOT_FOUND = 127
CANNOT_INVOKE = 126
START_ERROR = 128
"""Shown by `inspect` when it never came to the command; `docker run` itself ends with 125."""

_RUNTIME = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: "
)
_PROCESS = f"{_RUNTIME}unable to start container process: "
_MOUNTED_ON_WRONG_KIND = (
    "Are you trying to mount a directory onto a file (or vice-versa)? "
    "Check if the specified host path exists and is the expected type"
)


class RefusedStart(Invalid):
    """The command is not there or cannot be run; `exit_code` as a shell would give it."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def exit_code(number: int) -> int:
    """126 for a program that is there but cannot be run, 127 for one that is not (POSIX shell)."""
    return CANNOT_INVOKE if number in NOT_INVOCABLE else COMMAND_NOT_FOUND


def error_of(failure: protocol.StartFailed) -> EngineError:
    """The error that a client gets for what init reported."""
    if failure.stage == "user":
        return EngineError(failure.message)  # found by dockerd itself, before any runtime
    if failure.stage == "config":  # found before there was a process
        return EngineError(f"{_RUNTIME}{failure.message}: unknown")
    text = f"{_PROCESS}{failure.message}: unknown"
    if failure.errno == errno.EISDIR and failure.stage == "exec":
        text += ": permission denied"
    if failure.errno == errno.ENOTDIR:
        return RefusedStart(f"{text}: {_MOUNTED_ON_WRONG_KIND}", COMMAND_NOT_FOUND)
    if failure.stage == "sysctl" and failure.errno == errno.ENOENT:
        return RefusedStart(text, COMMAND_NOT_FOUND)
    if failure.stage in ("exec", "cwd"):
        known = failure.errno in NOT_INVOCABLE or failure.errno in (errno.ENOENT, errno.ELOOP)
        return RefusedStart(text, exit_code(failure.errno) if known else START_ERROR)
    return EngineError(text)


def exec_error_of(failure: protocol.ExecFailed) -> EngineError:
    """The same for a further process."""
    text = program.exec_failure(failure.errno, failure.message)
    return EngineError(text) if text == failure.message else Invalid(text)
