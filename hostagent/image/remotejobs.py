"""Jobs of a worker that speak to a registry, and their answers (hostagent.image.jobs says how they travel)."""

from __future__ import annotations

import msgspec

from hostagent.registry.auth import Credentials
from hostagent.registry.config import Endpoint, RegistryConfig


class Access(msgspec.Struct, frozen=True):
    """A registry's repository as opened: where, and what to send as Authorization ("" = nothing yet)."""

    endpoint: Endpoint
    path: str
    authorization: str = ""
    credentials: Credentials | None = None


class Source(msgspec.Struct, frozen=True):
    """A reference and where it may come from. The first `skip` endpoints have failed already."""

    reference: str
    registries: RegistryConfig
    credentials: Credentials | None = None
    skip: int = 0


class Resolve(msgspec.Struct, frozen=True, tag=True):
    """Find a reference, its manifest for a platform, and its configuration. Answer: Resolved."""

    source: Source
    platform: str
    manifest_into: str
    config_into: str


class ListTags(msgspec.Struct, frozen=True, tag=True):
    """Write all tags of the reference's repository as a JSON list to a new file. Answer: Done."""

    source: Source
    into: str


class Look(msgspec.Struct, frozen=True, tag=True):
    """Write what the registry has for the reference (hostagent.registry.lookup) to a new file. Answer: Done."""

    source: Source
    into: str


class Fetch(msgspec.Struct, frozen=True, tag=True):
    """Download one blob into a new file. Answer: Done."""

    access: Access
    digest: str
    size: int
    into: str


class OpenPush(msgspec.Struct, frozen=True, tag=True):
    """Choose the endpoint for a push. Answer: Opened."""

    source: Source


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


class Login(msgspec.Struct, frozen=True, tag=True):
    """Try credentials on a registry. Answer: LoggedIn."""

    domain: str
    registries: RegistryConfig
    credentials: Credentials


class SearchIndex(msgspec.Struct, frozen=True, tag=True):
    """Write what a registry's index knows (hostagent.registry.search) to a new file. Answer: Done."""

    domain: str
    registries: RegistryConfig
    term: str
    limit: int
    into: str
    credentials: Credentials | None = None


RemoteJob = Resolve | ListTags | Look | Fetch | OpenPush | PushBlob | PushManifest | Login | SearchIndex


class Resolved(msgspec.Struct, frozen=True, tag=True):
    """`digest` is the reference's own (an index's, if it is one); `manifest` that of the chosen manifest.

    `tried` endpoints come no more into question when this one fails.
    """

    access: Access
    digest: str
    manifest: str
    tried: int


class Opened(msgspec.Struct, frozen=True, tag=True):
    access: Access


class Pushed(msgspec.Struct, frozen=True, tag=True):
    """`how`: exists, mounted or pushed; `source` = the repository it was mounted from."""

    how: str
    source: str = ""


class LoggedIn(msgspec.Struct, frozen=True, tag=True):
    """`identity_token`: to be kept instead of the password, "" = there is none."""

    identity_token: str


RemoteAnswer = Resolved | Opened | Pushed | LoggedIn
