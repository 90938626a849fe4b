"""The jobs of a worker that speak to a registry."""

from __future__ import annotations

import os

import msgspec

from hostagent.errors import EngineError, Invalid
from hostagent.image.config import parse_platform
from hostagent.image.jobs import Answer, Done
from hostagent.image.remotejobs import (
    Access,
    Fetch,
    ListTags,
    LoggedIn,
    Login,
    Look,
    Opened,
    OpenPush,
    PushBlob,
    Pushed,
    PushManifest,
    RemoteJob,
    Resolve,
    Resolved,
    SearchIndex,
    Source,
)
from hostagent.image.work import Pace, Tell, open_new
from hostagent.model.reference import Reference
from hostagent.registry import finding
from hostagent.registry.auth import Credentials
from hostagent.registry.client import Client, FetchedManifest
from hostagent.registry.config import Endpoint
from hostagent.registry.download import download
from hostagent.registry.login import login
from hostagent.registry.lookup import look
from hostagent.registry.manifest import (
    MANIFEST_LIMIT,
    Descriptor,
    Index,
    check_image,
    choose,
    parse,
)
from hostagent.registry.search import search
from hostagent.registry.upload import Upload


def perform(job: RemoteJob, tell: Tell) -> Answer:
    """Run one job."""
    match job:
        case Resolve():
            return resolve(job)
        case ListTags():
            return list_tags(job)
        case Look():
            reference = Reference.parse(job.source.reference)
            found = look(_endpoints(job.source, reference), reference, job.source.credentials)
            _write_new(job.into, msgspec.json.encode(found))
            return Done()
        case Fetch():
            return fetch(job, tell)
        case OpenPush():
            return open_push(job)
        case PushBlob():
            return push_blob(job, tell)
        case PushManifest():
            return push_manifest(job)
        case Login():
            return LoggedIn(login(job.registries.endpoints(job.domain, push=True), job.credentials))
        case SearchIndex():
            endpoints = job.registries.endpoints(job.domain, push=True)
            results = search(endpoints, job.domain, job.term, job.limit, job.credentials)
            _write_new(job.into, msgspec.json.encode(results))
            return Done()


def _endpoints(source: Source, reference: Reference, *, push: bool = False) -> tuple[Endpoint, ...]:
    return source.registries.endpoints(reference.domain, push=push)[source.skip :]


def _access(client: Client, credentials: Credentials | None) -> Access:
    # A mirror got no credentials and gets none for the layers either.
    known = None if client.endpoint.mirror else credentials
    return Access(client.endpoint, client.path, client.authorization or "", known)


def _client(access: Access, actions: str) -> Client:
    return Client(access.endpoint, access.path, access.credentials, actions, access.authorization or None)


def resolve(job: Resolve) -> Resolved:
    """The manifest and configuration of a reference for a platform, as files."""
    reference = Reference.parse(job.source.reference)
    endpoints = _endpoints(job.source, reference)

    def ask(client: Client) -> Resolved:
        top = client.manifest(reference.digest or reference.tag or "latest")
        chosen = _for_platform(client, top, reference, job.platform)
        manifest = parse(chosen.raw)
        if isinstance(manifest, Index):
            raise Invalid(f"{reference.familiar} has an index where a manifest belongs: it cannot be pulled")
        check_image(manifest, reference.familiar)
        _small(client, manifest.config, job.config_into)
        _write_new(job.manifest_into, chosen.raw)
        tried = job.source.skip + endpoints.index(client.endpoint) + 1
        return Resolved(_access(client, job.source.credentials), top.digest, chosen.digest, tried)

    return finding.first(endpoints, reference, job.source.credentials, ask)


def _for_platform(
    client: Client, top: FetchedManifest, reference: Reference, platform: str
) -> FetchedManifest:
    document = parse(top.raw)
    if not isinstance(document, Index):
        return top
    return client.manifest(choose(document, parse_platform(platform)).digest)


def list_tags(job: ListTags) -> Done:
    reference = Reference.parse(job.source.reference, default_tag=False)
    endpoints = _endpoints(job.source, reference)
    tags = finding.first(endpoints, reference, job.source.credentials, Client.tags)
    _write_new(job.into, msgspec.json.encode(tags))
    return Done()


def open_push(job: OpenPush) -> Opened:
    reference = Reference.parse(job.source.reference, default_tag=False)
    endpoints = _endpoints(job.source, reference, push=True)
    client = finding.open_for_push(endpoints, reference.path, job.source.credentials)
    return Opened(_access(client, job.source.credentials))


def _small(client: Client, descriptor: Descriptor, into: str) -> None:
    if descriptor.size > MANIFEST_LIMIT:
        raise Invalid(f"the image's configuration has {descriptor.size} bytes: the limit is {MANIFEST_LIMIT}")
    _take_away(into)
    fd = open_new(into)
    try:
        download(client, descriptor.digest, descriptor.size, fd, lambda _done: None)
    finally:
        os.close(fd)


def _write_new(path: str, data: bytes) -> None:
    _take_away(path)
    with open(open_new(path), "wb") as file:
        file.write(data)


def _take_away(path: str) -> None:
    """What an endpoint wrote that failed afterwards."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def fetch(job: Fetch, tell: Tell) -> Done:
    """Download one layer."""
    pace = Pace(tell, "Downloading", job.size)
    fd = open_new(job.into)
    try:
        download(_client(job.access, "pull"), job.digest, job.size, fd, pace.at)
    finally:
        os.close(fd)
    return Done()


def push_blob(job: PushBlob, tell: Tell) -> Pushed:
    """Upload one blob unless the registry has it, here or in a repository it can be mounted from."""
    client = _client(job.access, "pull,push")
    if client.has_blob(job.digest):
        return Pushed("exists")
    url = ""
    for source in job.mounts:
        url = client.begin_upload(job.digest, source)
        if not url:
            return Pushed("mounted", source)
    upload = Upload(client, job.digest, job.file, Pace(tell, "Pushing", job.size).at)
    upload.run(url or client.begin_upload())
    return Pushed("pushed")


def push_manifest(job: PushManifest) -> Done:
    with open(job.file, "rb") as file:
        raw = file.read(MANIFEST_LIMIT + 1)
    if len(raw) > MANIFEST_LIMIT:
        raise EngineError(f"the manifest has more than {MANIFEST_LIMIT} bytes: it cannot be pushed")
    _client(job.access, "pull,push").push_manifest(job.name, raw, job.media_type)
    return Done()
