"""What is asked of registries without moving an image: login, search, what there is under a name.

In a worker that is kept warm: the HTTP client is large, and the daemon would hold it for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from hostagent import wire
from hostagent.image.crewpool import CrewPool
from hostagent.image.jobs import Done, Job
from hostagent.image.remotejobs import LoggedIn, Login, Look, SearchIndex, Source
from hostagent.image.store import ImageStore
from hostagent.model.reference import DEFAULT_DOMAIN, Reference
from hostagent.registry.auth import Credentials, credentials
from hostagent.registry.config import RegistryConfig
from hostagent.registry.lookup import Looked
from hostagent.registry.search import Found, check_filters, checked_limit, chosen, split_term

ResultT = TypeVar("ResultT")

_HUB_NAMES = ("", "docker.io", "index.docker.io", "registry-1.docker.io")


class RegistryCalls:
    """All raise Unauthorized, Unavailable, and Invalid before anything is sent."""

    def __init__(self, store: ImageStore, registries: RegistryConfig, crews: CrewPool) -> None:
        self._store = store
        self._registries = registries
        self._crews = crews

    async def login(self, auth: wire.AuthConfig) -> wire.AuthResult:
        """Try the credentials; the server's address is a host, or a URL as old clients keep it."""
        host = auth.serveraddress.partition("://")[2] or auth.serveraddress
        host = host.partition("/")[0]
        domain = DEFAULT_DOMAIN if host in _HUB_NAMES else Reference.parse(f"{host}/x").domain
        known = credentials(auth) or Credentials()
        async with self._crews.crew() as crew:
            answer = await crew.run(Login(domain, self._registries, known), LoggedIn)
        return wire.AuthResult(identity_token=answer.identity_token)

    async def search(
        self, term: str, limit: int, filters: Mapping[str, Sequence[str]], auth: wire.AuthConfig | None
    ) -> Sequence[wire.SearchResult]:
        """docker search; `limit` 0 = the usual number."""
        check_filters(filters)
        domain, rest = split_term(term)
        limit = checked_limit(limit)
        async with self._store.lease() as lease:
            into = lease.scratch("found")
            job = SearchIndex(domain, self._registries, rest, limit, str(into), credentials(auth))
            found = await self._run(job, into, list[Found])
        return [wire.SearchResult(**msgspec.structs.asdict(each)) for each in chosen(found, filters)]

    async def look(self, reference: Reference, auth: wire.AuthConfig | None) -> wire.DistributionInspect:
        """What a registry has under a name. Raises NotFound."""
        async with self._store.lease() as lease:
            into = lease.scratch("found")
            source = Source(str(reference), self._registries, credentials(auth))
            found = await self._run(Look(source, str(into)), into, Looked)
        return wire.DistributionInspect(
            descriptor=wire.Descriptor(media_type=found.media_type, digest=found.digest, size=found.size),
            platforms=[
                wire.DistributionPlatform(**msgspec.structs.asdict(platform)) for platform in found.platforms
            ],
        )

    async def _run(self, job: Job, into: Path, kind: type[ResultT]) -> ResultT:
        async with self._crews.crew() as crew:
            await crew.run(job, Done)
        return msgspec.json.decode(await asyncio.to_thread(into.read_bytes), type=kind)
