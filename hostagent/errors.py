"""The errors that leave the engine, each with its kind.

    EngineError (500)
    ├── Invalid       400  the request is wrong; nothing was changed
    ├── Unauthorized  401  credentials are missing or refused
    ├── Denied        403  allowed to nobody, or not by this host
    ├── NotFound      404  no such container, image, exec, ...
    ├── Conflict      409  a name, a port, or a state stands in the way
    ├── Unsupported   501  known to Docker, not built here (yet)
    ├── Unavailable   503  something that we depend on is down
    ├── NotModified   304  already as asked (start of a started container)
    └── StepFailed    500  a process of a build ended with a code that is not 0

Handlers only raise; the edge (hostagent.api) turns `status` and the text into Docker's `{"message": ...}`.
The text says what happened, why, and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class EngineError(Exception):
    """Root of the tree; `status` is the HTTP status that the API answers with."""

    status: ClassVar[int] = 500


class Invalid(EngineError):
    status = 400


class Unauthorized(EngineError):
    status = 401


class Denied(EngineError):
    status = 403


class NotFound(EngineError):
    status = 404


class Conflict(EngineError):
    status = 409


class Unsupported(EngineError):
    status = 501


class Unavailable(EngineError):
    status = 503


class NotModified(EngineError):
    status = 304


class StepFailed(EngineError):
    """`code` is the process's: clients end with it."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code
