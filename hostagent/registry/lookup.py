"""`docker manifest inspect` of old and `GET /distribution/…/json`: what a registry has, without pulling it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from hostagent.model.reference import Reference
from hostagent.registry.auth import Credentials
from hostagent.registry.client import Client
from hostagent.registry.config import Endpoint
from hostagent.registry.download import download
from hostagent.registry.finding import open_repository
from hostagent.registry.manifest import MANIFEST_LIMIT, Descriptor, DescriptorPlatform, Index, parse


class Looked(msgspec.Struct, frozen=True):
    """The manifest or index that the reference means, and the platforms that it has."""

    media_type: str
    digest: str
    size: int
    platforms: list[DescriptorPlatform]


def look(endpoints: Sequence[Endpoint], reference: Reference, credentials: Credentials | None) -> Looked:
    """Raises what a pull would."""
    client, top = open_repository(endpoints, reference, credentials)
    document = parse(top.raw)
    if isinstance(document, Index):
        platforms = [entry.platform for entry in document.manifests if entry.platform is not None]
    else:
        platforms = _of_configuration(client, document.config)
    return Looked(document.media_type or top.media_type, top.digest, len(top.raw), platforms)


def _of_configuration(client: Client, config: Descriptor) -> list[DescriptorPlatform]:
    if config.size > MANIFEST_LIMIT:
        return []
    fd = os.memfd_create("configuration", os.MFD_CLOEXEC)
    try:
        download(client, config.digest, config.size, fd, lambda _done: None)
        data = os.pread(fd, config.size, 0)
    finally:
        os.close(fd)
    try:
        return [msgspec.json.decode(data, type=DescriptorPlatform)]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []  # an artifact, whose configuration may be anything
