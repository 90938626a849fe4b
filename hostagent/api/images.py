"""Routes of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hostagent import wire
from hostagent.api import filters, registryauth, versioned
from hostagent.api.message import Answer, Reply, Request, Stream, json_reply
from hostagent.api.ports import ImageRemoval, Images, ReportProgress
from hostagent.api.router import Route
from hostagent.api.streams import progress_lines
from hostagent.errors import Denied, Invalid, Unsupported
from hostagent.model.reference import Reference, is_digest

_TAR = "application/x-tar"


def routes(images: Images, removal: ImageRemoval) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Images(images, removal)
    yield "GET", "/images/json", Route(handlers.list)
    yield "POST", "/images/create", Route(handlers.create, abandoned_with_client=True)
    yield "POST", "/images/prune", Route(handlers.prune)
    yield "POST", "/images/load", Route(handlers.load)
    yield "GET", "/images/get", Route(handlers.save_many, abandoned_with_client=True)
    yield "GET", "/images/{name...}/get", Route(handlers.save_one, abandoned_with_client=True)
    yield "GET", "/images/{name...}/json", Route(handlers.inspect)
    yield "GET", "/images/{name...}/history", Route(handlers.history)
    yield "POST", "/images/{name...}/push", Route(handlers.push, abandoned_with_client=True)
    yield "POST", "/images/{name...}/tag", Route(handlers.tag)
    yield "DELETE", "/images/{name...}", Route(handlers.remove)


@dataclass(frozen=True)
class _Images:
    images: Images
    removal: ImageRemoval

    async def list(self, request: Request) -> Answer:
        query = request.query
        wanted = filters.parse(query.text("filters"))
        pattern = query.text("filter")
        if pattern is not None and request.version < (1, 41):
            wanted.setdefault("reference", []).append(pattern)
        shared_size = query.flag("shared-size") if request.version >= (1, 42) else False
        found = self.images.list(query.flag("all"), wanted, shared_size)
        return json_reply([versioned.listed_image(image, request.version) for image in found])

    async def inspect(self, request: Request) -> Answer:
        return json_reply(versioned.image(self.images.inspect(request.variables["name"]), request.version))

    async def history(self, request: Request) -> Answer:
        return json_reply(self.images.history(request.variables["name"]))

    async def create(self, request: Request) -> Answer:
        """Pull (fromImage) or import (fromSrc)."""
        name = request.query.text("fromImage")
        return await self._pull(request, name) if name is not None else await self._import(request)

    async def _pull(self, request: Request, name: str) -> Answer:
        # Clients of all ages pull all tags of a repository by "name:" or by leaving the tag out.
        reference = _with_tag(name.removesuffix(":"), request.query.text("tag"))
        if reference.familiar_repository == "scratch":
            raise Denied("'scratch' is a reserved name")
        platform = request.query.text("platform") if request.version >= (1, 32) else None
        auth = registryauth.decode(request.headers.get(registryauth.HEADER))

        async def work(report: ReportProgress) -> object:
            if reference.tag is None and reference.digest is None:
                return await self.images.pull_all(reference, platform, auth, report)
            return await self.images.pull(reference, platform, auth, report)

        return Stream(progress_lines(work), head_first=False)

    async def _import(self, request: Request) -> Answer:
        query = request.query
        source = query.text("fromSrc")
        if source is None:
            raise Invalid("neither fromImage nor fromSrc is given: nothing to make an image from")
        if source != "-":
            raise Unsupported(
                "import from a URL (fromSrc) is not built yet: fetch it and send it as the body"
            )
        repository = query.text("repo")
        target = tagged(repository, query.text("tag")) if repository is not None else None
        message = query.text("message") or "Imported from -"

        async def work(report: ReportProgress) -> object:
            return await self.images.import_(request.body.chunks(), target, message, query.texts("changes"))

        return Stream(
            progress_lines(work, lambda image_id: wire.Progress(status=str(image_id))), head_first=False
        )

    async def load(self, request: Request) -> Answer:
        async def work(report: ReportProgress) -> object:
            return await self.images.load(request.body.chunks(), report)

        # Clients look for an error of a load in the stream only.
        return Stream(progress_lines(work, tells_all=True), head_first=False)

    async def push(self, request: Request) -> Answer:
        if request.version >= (1, 46) and (platform := request.query.text("platform")):
            raise Unsupported(
                f"push of one platform ({platform}) is not built yet: an image here has only one"
            )
        reference = _with_tag(request.variables["name"], request.query.text("tag"))
        header = request.headers.get(registryauth.HEADER)
        # Before there was a header the credentials were the body; whoever still sends them so is read.
        auth = (
            registryauth.decode(header)
            if header
            else registryauth.from_body(await request.body.read(1 << 16))
        )

        async def work(report: ReportProgress) -> object:
            return await self.images.push(reference, auth, report)

        return Stream(progress_lines(work), head_first=False)

    async def save_one(self, request: Request) -> Answer:
        return self._save([request.variables["name"]])

    async def save_many(self, request: Request) -> Answer:
        names = request.query.texts("names")
        if not names:
            raise Invalid("names is missing: name the images to save")
        return self._save(names)

    def _save(self, names: Sequence[str]) -> Answer:
        return Stream(self.images.save(names), _TAR, head_first=False)

    async def tag(self, request: Request) -> Answer:
        repository = request.query.text("repo")
        if repository is None:
            raise Invalid("repo is missing: name the new reference")
        self.images.tag(request.variables["name"], tagged(repository, request.query.text("tag")))
        return Reply(201)

    async def remove(self, request: Request) -> Answer:
        query = request.query
        removed = await self.removal.remove(
            request.variables["name"], query.flag("force"), not query.flag("noprune")
        )
        return json_reply(removed)

    async def prune(self, request: Request) -> Answer:
        return json_reply(await self.removal.prune(filters.parse(request.query.text("filters"))))


def _with_tag(name: str, tag: str | None) -> Reference:
    """`name`, which may have a tag or digest of its own, with the tag or digest given beside it."""
    reference = Reference.parse(name, default_tag=False)
    if tag is None:
        return reference
    return reference.at(tag) if is_digest(tag) else reference.tagged(tag)


def tagged(repository: str, tag: str | None) -> Reference:
    """The new name of an image. Raises Invalid for a digest, which cannot be chosen."""
    reference = Reference.parse(repository, default_tag=False)
    if reference.digest is not None:
        raise Invalid("refusing to create a tag with a digest reference")
    if reference.familiar_repository == "sha256":
        raise Invalid("refusing to create an ambiguous tag using digest algorithm as name")
    return reference.tagged(tag or reference.tag or "latest")
