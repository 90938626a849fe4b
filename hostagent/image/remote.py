"""The jobs of a worker that speak to a registry."""

from __future__ import annotations

import os

from hostagent.errors import EngineError, Invalid
from hostagent.image.config import parse_platform
from hostagent.image.jobs import (
    Access,
    Answer,
    Done,
    Fetch,
    Opened,
    OpenPush,
    PushBlob,
    Pushed,
    PushManifest,
    RemoteJob,
    Resolve,
    Resolved,
)
from hostagent.image.work import Pace, Tell, open_new
from hostagent.model.reference import Reference
from hostagent.registry.auth import Credentials
from hostagent.registry.client import Client, FetchedManifest
from hostagent.registry.config import Endpoint
from hostagent.registry.finding import open_for_push, open_repository
from hostagent.registry.manifest import MANIFEST_LIMIT, Descriptor, Index, choose, parse


def perform(job: RemoteJob, tell: Tell) -> Answer:
    """Run one job."""
    if isinstance(job, Resolve):
        return resolve(job)
    if isinstance(job, Fetch):
        return fetch(job, tell)
    if isinstance(job, OpenPush):
        client = open_for_push(_endpoints(job.endpoints), job.path, job.credentials)
        return Opened(
            Access(
                client.endpoint.url,
                client.endpoint.verify,
                job.path,
                client.authorization or "",
                job.credentials,
            )
        )
    if isinstance(job, PushBlob):
        return push_blob(job, tell)
    return push_manifest(job)


def _endpoints(listed: list[tuple[str, bool, bool]]) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(url, verify, mirror) for url, verify, mirror in listed)


def _access(client: Client, path: str, credentials: Credentials | None) -> Access:
    return Access(client.endpoint.url, client.endpoint.verify, path, client.authorization or "", credentials)


def _client(access: Access, actions: str) -> Client:
    endpoint = Endpoint(access.url, access.verify)
    return Client(endpoint, access.path, access.credentials, actions, access.authorization or None)


def resolve(job: Resolve) -> Resolved:
    """The manifest and configuration of a reference for a platform, as files."""
    reference = Reference.parse(job.reference)
    client, top = open_repository(_endpoints(job.endpoints), reference, job.credentials)
    chosen: FetchedManifest = top
    manifest = parse(top.raw)
    if isinstance(manifest, Index):
        chosen = client.manifest(choose(manifest, parse_platform(job.platform)).digest)
        manifest = parse(chosen.raw)
    if isinstance(manifest, Index):
        raise Invalid(f"{reference.familiar} has an index where a manifest belongs: it cannot be pulled")
    _small(client, manifest.config, job.config_into)
    _write_new(job.manifest_into, chosen.raw)
    # A mirror got no credentials and gets none for the layers either.
    known = None if client.endpoint.mirror else job.credentials
    access = Access(
        client.endpoint.url, client.endpoint.verify, reference.path, client.authorization or "", known
    )
    return Resolved(access, top.digest, chosen.digest)


def _small(client: Client, descriptor: Descriptor, into: str) -> None:
    if descriptor.size > MANIFEST_LIMIT:
        raise Invalid(f"the image's configuration has {descriptor.size} bytes: the limit is {MANIFEST_LIMIT}")
    fd = open_new(into)
    try:
        client.blob(descriptor.digest, descriptor.size, fd, lambda _done: None)
    finally:
        os.close(fd)


def _write_new(path: str, data: bytes) -> None:
    with open(open_new(path), "wb") as file:
        file.write(data)


def fetch(job: Fetch, tell: Tell) -> Done:
    """Download one layer."""
    pace = Pace(tell, "Downloading", job.size)
    fd = open_new(job.into)
    try:
        _client(job.access, "pull").blob(job.digest, job.size, fd, pace.at)
    finally:
        os.close(fd)
    return Done()


def push_blob(job: PushBlob, tell: Tell) -> Pushed:
    """Upload one blob unless the registry has it, here or in a repository it can be mounted from."""
    client = _client(job.access, "pull,push")
    if client.has_blob(job.digest):
        return Pushed("exists")
    for source in job.mounts:
        if client.mount(job.digest, source):
            return Pushed("mounted", source)
    client.push_blob(job.digest, job.size, job.file, Pace(tell, "Pushing", job.size).at)
    return Pushed("pushed")


def push_manifest(job: PushManifest) -> Done:
    with open(job.file, "rb") as file:
        raw = file.read(MANIFEST_LIMIT + 1)
    if len(raw) > MANIFEST_LIMIT:
        raise EngineError(f"the manifest has more than {MANIFEST_LIMIT} bytes: it cannot be pushed")
    _client(job.access, "pull,push").push_manifest(job.name, raw, job.media_type)
    return Done()
