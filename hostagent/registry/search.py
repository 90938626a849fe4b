"""`docker search`: the index of a registry. Source: Docker Hub's search API as moby 26.1 registry/search.go uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from urllib.parse import urlencode

import msgspec
from urllib3.exceptions import HTTPError

from hostagent.errors import EngineError, Invalid, Unavailable
from hostagent.model.reference import DEFAULT_DOMAIN
from hostagent.registry.answers import reason_of
from hostagent.registry.auth import Credentials
from hostagent.registry.config import Endpoint
from hostagent.registry.session import Session

INDEX = "index.docker.io"
ANSWER_LIMIT = 4 << 20  # bytes
MOST, USUAL = 100, 25  # results
_SCOPE = "registry:catalog:search"
_FILTERS = frozenset(("is-automated", "is-official", "stars"))


class Found(msgspec.Struct, frozen=True):
    """One repository, as the index and Docker's API write it."""

    star_count: int = 0
    is_official: bool = False
    name: str = ""
    is_automated: bool = False
    description: str = ""


class _Page(msgspec.Struct):
    results: list[Found] | None = None


def split_term(term: str) -> tuple[str, str]:
    """The registry to ask and what to look for there. Raises Invalid."""
    if term.startswith(("http://", "https://")):
        raise Invalid(f"invalid repository name: repository name ({term}) should not have a scheme")
    head, slash, tail = term.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        return (DEFAULT_DOMAIN, tail) if head == INDEX else (head, tail)
    return DEFAULT_DOMAIN, term.removeprefix("library/")


def checked_limit(limit: int) -> int:
    """How many results to ask for; 0 = the usual number. Raises Invalid."""
    limit = limit or USUAL
    if not 1 <= limit <= MOST:
        raise Invalid(f"limit {limit} is outside the range of [1, {MOST}]")
    return limit


def search(
    endpoints: Sequence[Endpoint], domain: str, term: str, limit: int, credentials: Credentials | None
) -> list[Found]:
    """What the first endpoint that answers knows. Raises Unavailable, NotFound, Unauthorized."""
    if domain == DEFAULT_DOMAIN:
        endpoints = [Endpoint(f"https://{INDEX}")]
    for endpoint in endpoints:
        try:
            return _at(endpoint, term, limit, credentials)
        except Unavailable:
            if endpoint is endpoints[-1]:
                raise
    raise AssertionError("there is always an endpoint")


def _at(endpoint: Endpoint, term: str, limit: int, credentials: Credentials | None) -> list[Found]:
    with closing(Session(endpoint, credentials, (_SCOPE,))) as session:
        answer = session.send("GET", f"{endpoint.url}/v1/search?{urlencode({'q': term, 'n': limit})}")
        if answer.status != 200:
            raise session.refuse(answer, "search failed: not every registry has an index")
        try:
            raw = answer.read(ANSWER_LIMIT + 1, decode_content=False)
            return msgspec.json.decode(raw, type=_Page).results or []
        except (HTTPError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise EngineError(f"error decoding registry search results: {reason_of(error)}") from error


def chosen(found: Sequence[Found], filters: Mapping[str, Sequence[str]]) -> list[Found]:
    """Those that pass. Nothing is automated any more, as in Docker: what the index says of it is outdated."""
    official = filters.get("is-official")
    if _flag(filters, "is-automated"):
        return []
    wanted = _flag(filters, "is-official") if official is not None else None
    stars = max((_count(text) for text in filters.get("stars", ())), default=0)
    return [
        msgspec.structs.replace(each, is_automated=False)
        for each in found
        if (wanted is None or each.is_official == wanted) and each.star_count >= stars
    ]


def check_filters(filters: Mapping[str, Sequence[str]]) -> None:
    """Raises Invalid in Docker's words, before anything is sent."""
    if unknown := sorted(set(filters) - _FILTERS):
        raise Invalid(f"invalid filter '{unknown[0]}'")
    chosen((), filters)


def _flag(filters: Mapping[str, Sequence[str]], key: str) -> bool:
    if key not in filters:
        return False
    values = filters[key]
    true, false = (any(value in words for value in values) for words in (("1", "true"), ("0", "false")))
    if true == false:
        raise Invalid(f"invalid filter '{key}=[{' '.join(values)}]'")
    return true


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"invalid filter 'stars={text}': write a number") from None
