"""POST /build as Docker's classic clients use it: a tar in, lines of JSON out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeVar

from hostagent import wire
from hostagent.api.images import tagged
from hostagent.api.message import Answer, Request, Stream
from hostagent.api.ports import Builds, ReportProgress
from hostagent.api.query import Query
from hostagent.api.router import Route
from hostagent.api.streams import progress_lines
from hostagent.build.builder import Request as BuildRequest
from hostagent.build.options import Options
from hostagent.build.report import short
from hostagent.errors import Invalid, Unsupported
from hostagent.model.image import Image, Platform
from hostagent.model.reference import Reference

T = TypeVar("T")

_ACCOUNTS = "x-registry-config"
_HUB = "https://index.docker.io/v1/"
_BUILDKIT = "2"


def routes(builds: Builds) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    yield "POST", "/build", Route(_Build(builds).build, abandoned_with_client=True, lends_body=True)


@dataclass(frozen=True)
class _Build:
    builds: Builds

    async def build(self, request: Request) -> Answer:
        if request.query.text("version") == _BUILDKIT:
            raise Unsupported("builds by BuildKit's protocol are not supported yet: set DOCKER_BUILDKIT=0")
        return build_stream(
            request, self.builds.platform, lambda asked: self.builds.build(asked, request.body)
        )


def build_stream(
    request: Request,
    here: Platform,
    run: Callable[[BuildRequest], Awaitable[Image]],
    secrets: Mapping[str, bytes] = MappingProxyType({}),
) -> Stream:
    """What a build says, as Docker's classic builder says it; `run` builds what the parameters of `request` ask for."""
    query = request.query
    options = replace(_options(query, here), secrets=secrets)
    accounts = _accounts(request.headers.get(_ACCOUNTS))
    quiet = query.flag("q")

    async def work(report: ReportProgress) -> object:
        def say(text: str) -> None:
            if text and not quiet:
                report(wire.Progress(stream=text))

        image = await run(BuildRequest(options, accounts, say))
        report(wire.Progress(aux={"ID": image.id}))
        say(f"Successfully built {short(image.id)}\n")
        for tag in options.tags:
            say(f"Successfully tagged {tag.familiar}\n")
        return image.id

    def last(result: object) -> wire.Progress | None:
        return wire.Progress(stream=f"{result}\n") if quiet else None

    return Stream(progress_lines(work, last), head_first=False)


def _options(query: Query, here: Platform) -> Options:
    """Invalid for a parameter that cannot be read, Unsupported for one that asks for what is not built."""
    if query.flag("squash"):
        raise Invalid("squash is only supported with experimental mode")
    if query.text("outputs"):
        raise Unsupported("outputs other than an image need BuildKit's protocol, which is not supported yet")
    if (isolation := query.text("isolation")) not in (None, "", "default"):
        raise Invalid(f'unsupported isolation: "{isolation}"')
    arguments = _json(query, "buildargs", dict[str, str | None])
    epoch = arguments.get("SOURCE_DATE_EPOCH")
    if epoch is not None and not epoch.isdecimal():
        raise Invalid(f"SOURCE_DATE_EPOCH is {epoch!r}: it has to be whole seconds since 1970")
    return Options(
        platform=_platform(query.text("platform"), here),
        dockerfile=query.text("dockerfile") or "Dockerfile",
        remote=query.text("remote") or "",
        target=query.text("target") or "",
        arguments={name: value for name, value in arguments.items() if value is not None},
        labels=_json(query, "labels", dict[str, str]),
        tags=tuple(tagged(name, None) for name in dict.fromkeys(query.texts("t")) if name),
        use_cache=not query.flag("nocache"),
        cache_from=tuple(_json(query, "cachefrom", list[str])),
        pull=query.flag("pull"),
        host=_host(query),
        epoch=int(epoch) if epoch is not None else None,
    )


def _platform(text: str | None, here: Platform) -> Platform:
    if not text:
        return here
    system, _, rest = text.lower().partition("/")
    architecture, _, variant = rest.partition("/")
    return Platform(system, architecture or here.architecture, variant)


def _host(query: Query) -> wire.HostConfig:
    """Limits of the processes of RUN."""
    mode = query.text("networkmode") or "default"
    return wire.HostConfig(
        network_mode=mode,
        extra_hosts=[each for text in query.texts("extrahosts") for each in text.split(",") if each] or None,
        memory=query.number("memory") or 0,
        memory_swap=query.number("memswap") or 0,
        cpu_shares=query.number("cpushares") or 0,
        cpu_period=query.number("cpuperiod") or 0,
        cpu_quota=query.number("cpuquota") or 0,
        cpuset_cpus=query.text("cpusetcpus") or "",
        cpuset_mems=query.text("cpusetmems") or "",
        shm_size=query.number("shmsize") or 0,
        cgroup_parent=query.text("cgroupparent") or "",
        security_opt=_json(query, "securityopt", list[str]) or None,
        ulimits=_json(query, "ulimits", list[wire.Ulimit]) or None,
    )


def _json(query: Query, name: str, kind: type[T]) -> T:
    """A parameter that is JSON; what is missing or null is empty."""
    text = query.text(name)
    try:
        return wire.decode(text, kind) if text and text != "null" else kind()
    except ValueError as error:
        raise Invalid(f"invalid parameter {name}: {error}") from None


def _accounts(header: str | None) -> _Accounts:
    """X-Registry-Config: credentials by registry."""
    if not header:
        return _Accounts({})
    text = header.strip().rstrip("=").replace("+", "-").replace("/", "_")
    try:
        found = wire.decode(
            base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), dict[str, wire.AuthConfig]
        )
    except (ValueError, binascii.Error):
        return _Accounts({})
    return _Accounts(found)


@dataclass(frozen=True)
class _Accounts:
    by_registry: Mapping[str, wire.AuthConfig]

    def __call__(self, reference: Reference) -> wire.AuthConfig | None:
        domain = reference.domain
        hub = self.by_registry.get(_HUB) if domain == "docker.io" else None
        return self.by_registry.get(domain) or self.by_registry.get(f"https://{domain}") or hub
