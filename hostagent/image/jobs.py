"""What the daemon asks of a worker and what it hears back: one JSON line each, over the worker's stdin and stdout.

Paths are absolute. Files named `into`, `keep` or `report` are made by the worker; the daemon moves or deletes them.
"""

from __future__ import annotations

import msgspec

from hostagent import errors
from hostagent.image.buildjobs import BuildJob, Digested, Downloaded, DownloadJob, Finished, Received
from hostagent.image.contextjobs import ContextJob
from hostagent.image.filejobs import FileJob
from hostagent.image.remotejobs import RemoteAnswer, RemoteJob


class Part(msgspec.Struct, frozen=True):
    """`size` bytes of a file from `offset`; size -1 = to its end."""

    path: str
    offset: int = 0
    size: int = -1


class Apply(msgspec.Struct, frozen=True, tag=True):
    """Unpack a layer into the empty directory `into`. Answer: Applied.

    `diff_id` None = not known beforehand. `keep`: also write the layer there, as it is if gzip or zstd, else as gzip.
    """

    source: Part
    into: str
    diff_id: str | None = None
    keep: str | None = None


class Scan(msgspec.Struct, frozen=True, tag=True):
    """List the members of an outer archive (docker save, OCI layout) for `docker load`. Answer: Scanned.

    A compressed archive is inflated to `inflate` first. The listing is written to `report` as Member JSON lines.
    """

    path: str
    inflate: str
    report: str


class Pack(msgspec.Struct, frozen=True, tag=True):
    """Write a layer's directory as canonical tar. Answer: Packed. `keep` None = only hash it; else gzip it there."""

    directory: str
    keep: str | None = None


class Snapshot(msgspec.Struct, frozen=True, tag=True):
    """Copy overlay's upper directory, which may be in use, into the empty directory `into`. Answer: Applied.

    `leave_out`: members, relative, that are not copied; what is in them is, unless it is named too.
    """

    upper: str
    into: str
    leave_out: list[bytes] = []


LocalJob = Apply | Scan | Pack | Snapshot
Job = LocalJob | RemoteJob | FileJob | BuildJob | ContextJob | DownloadJob


class Applied(msgspec.Struct, frozen=True, tag=True):
    """`size` = bytes of regular files; `stored*` describe the file `keep` (empty when there is none)."""

    diff_id: str
    size: int
    files: int
    stored: str = ""
    stored_size: int = 0
    stored_type: str = ""


class Member(msgspec.Struct, frozen=True):
    """A regular file of the outer archive, or a link (then `link` names another member)."""

    name: str
    offset: int
    size: int
    link: str = ""


class Scanned(msgspec.Struct, frozen=True, tag=True):
    """`path` = the file that offsets are in."""

    path: str


class Packed(msgspec.Struct, frozen=True, tag=True):
    diff_id: str
    stored: str = ""
    stored_size: int = 0


class Done(msgspec.Struct, frozen=True, tag=True):
    pass


class Step(msgspec.Struct, frozen=True, tag=True):
    """Progress: `current` of `total` bytes (total 0 = unknown) of `phase`."""

    phase: str
    current: int
    total: int


class Failed(msgspec.Struct, frozen=True, tag=True):
    """`kind` = name of the class in hostagent.errors."""

    kind: str
    text: str

    def error(self) -> errors.EngineError:
        found = getattr(errors, self.kind, None)
        if isinstance(found, type) and issubclass(found, errors.EngineError):
            return found(self.text)
        return errors.EngineError(self.text)


class Ended(msgspec.Struct, frozen=True, tag=True):
    """Always the last message: a job's process is gone, and its mounts with it. `how` = why it gave no answer."""

    how: str = ""


Answer = Applied | Scanned | Packed | Done | RemoteAnswer | Digested | Finished | Downloaded | Received
Report = Answer | Step | Failed | Ended


class Request(msgspec.Struct, frozen=True, tag=True):
    """One line to the worker: a job, whose messages will have this number."""

    number: int
    job: Job


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """The other: kill a job."""

    number: int


Line = Request | Cancel


class Message(msgspec.Struct, frozen=True):
    """One line from the worker."""

    number: int
    report: Report
