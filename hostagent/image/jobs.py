"""What the daemon asks of a worker and what it hears back: one JSON line each, over the worker's stdin and stdout.

Paths are absolute. Files named `into`, `keep` or `report` are made by the worker; the daemon moves or deletes them.
"""

from __future__ import annotations

import msgspec

from hostagent import errors
from hostagent.image.buildjobs import BuildJob, Digested, Finished
from hostagent.image.contextjobs import ContextJob
from hostagent.image.filejobs import FileJob
from hostagent.registry.auth import Credentials


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


class Access(msgspec.Struct, frozen=True):
    """A registry's repository as opened: where, and what to send as Authorization ("" = nothing yet)."""

    url: str
    verify: bool
    path: str
    authorization: str = ""
    credentials: Credentials | None = None


class Resolve(msgspec.Struct, frozen=True, tag=True):
    """Find a reference, its manifest for a platform, and its configuration. Answer: Resolved."""

    reference: str
    endpoints: list[tuple[str, bool, bool]]  # url, verify, mirror
    platform: str
    manifest_into: str
    config_into: str
    credentials: Credentials | None = None


class Fetch(msgspec.Struct, frozen=True, tag=True):
    """Download one blob into a new file. Answer: Done."""

    access: Access
    digest: str
    size: int
    into: str


class OpenPush(msgspec.Struct, frozen=True, tag=True):
    """Choose the endpoint for a push. Answer: Opened."""

    path: str
    endpoints: list[tuple[str, bool, bool]]
    credentials: Credentials | None = None


class PushBlob(msgspec.Struct, frozen=True, tag=True):
    """Get one blob to the registry; `mounts` = its other repositories that may have it. Answer: Pushed."""

    access: Access
    digest: str
    size: int
    file: str
    mounts: list[str] = []


class PushManifest(msgspec.Struct, frozen=True, tag=True):
    """Put a manifest, the content of `file`, under `name`. Answer: Done."""

    access: Access
    name: str
    media_type: str
    file: str


LocalJob = Apply | Scan | Pack | Snapshot
RemoteJob = Resolve | Fetch | OpenPush | PushBlob | PushManifest
Job = LocalJob | RemoteJob | FileJob | BuildJob | ContextJob


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


class Resolved(msgspec.Struct, frozen=True, tag=True):
    """`digest` is the reference's own (an index's, if it is one); `manifest` that of the chosen manifest."""

    access: Access
    digest: str
    manifest: str


class Opened(msgspec.Struct, frozen=True, tag=True):
    access: Access


class Pushed(msgspec.Struct, frozen=True, tag=True):
    """`how`: exists, mounted or pushed; `source` = the repository it was mounted from."""

    how: str
    source: str = ""


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


Answer = Applied | Scanned | Packed | Resolved | Opened | Pushed | Done | Digested | Finished
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
