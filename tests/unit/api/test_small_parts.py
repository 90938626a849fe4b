"""Query, filters, credentials, versions, router: pure functions."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent import wire
from hostagent.api import filters, registryauth, version
from hostagent.api.message import NO_CONTENT, Answer, Request
from hostagent.api.query import Query
from hostagent.api.router import Route, Router
from hostagent.errors import Invalid


@pytest.mark.parametrize("text", ["", "a=", "a=0", "a=false", "a=No", "a=none", "a=%20FALSE%20", "b=1"])
def test_false(text: str) -> None:
    assert Query(text).flag("a") is False


@pytest.mark.parametrize("text", ["a=1", "a=true", "a=yes", "a=2", "a=x"])
def test_true(text: str) -> None:
    assert Query(text).flag("a") is True


def test_query_values() -> None:
    query = Query("a=1&b=%2Fx+y&names=p&names=q&t=12.5&bad=x")
    assert (query.number("a"), query.text("b"), query.texts("names")) == (1, "/x y", ["p", "q"])
    assert query.flag("missing", default=True) is True
    assert query.nanoseconds("t") == 12_500_000_000
    assert (query.text("none"), query.number("none"), query.nanoseconds("none")) == (None, None, 0)
    for wrong in ("bad", "b"):
        with pytest.raises(Invalid, match=wrong):
            query.number(wrong)
    with pytest.raises(Invalid, match="bad"):
        query.nanoseconds("bad")


@given(st.dictionaries(st.text(), st.lists(st.text(), unique=True)))
def test_both_forms_of_filters_are_one(wanted: dict[str, list[str]]) -> None:
    new = wire.encode(wanted).decode()
    old = wire.encode({name: dict.fromkeys(values, True) for name, values in wanted.items()}).decode()
    assert filters.parse(new) == filters.parse(old) == wanted


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', '{"a": [1]}', '"x"', '{"a": {"b": 2}}'])
def test_bad_filters(text: str) -> None:
    with pytest.raises(Invalid, match="invalid filter"):
        filters.parse(text)


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padded", [True, False])
def test_credentials(encode: object, padded: bool) -> None:
    assert callable(encode)
    raw = b'{"username":"ann","password":"~~~???","serveraddress":"r.example","x":1}'
    header: str = encode(raw).decode()
    auth = registryauth.decode(header if padded else header.rstrip("="))
    assert auth == wire.AuthConfig(username="ann", password="~~~???", serveraddress="r.example")


@pytest.mark.parametrize("header", [None, "", "e30=", "e30", "bnVsbA==", "%%%", "a", "W10="])
def test_no_credentials(header: str | None) -> None:
    assert registryauth.decode(header) is None


@given(st.text())
def test_any_credentials_header_is_survived(header: str) -> None:
    registryauth.decode(header)


def test_versions() -> None:
    assert version.from_segment("v1.47") == (1, 47)
    assert version.from_segment("v2") == (2, 0)
    assert [version.from_segment(text) for text in ("v", "1.47", "v1.47x", "containers")] == [None] * 4
    version.check((1, 24))
    version.check((1, 47))
    for wrong in ((1, 23), (1, 48), (0, 99)):
        with pytest.raises(Invalid):
            version.check(wrong)


async def _nothing(request: Request) -> Answer:
    return NO_CONTENT


def test_router() -> None:
    router = Router()
    routes = {
        pattern: Route(_nothing)
        for pattern in ("/a/json", "/a/{id}/json", "/a/{id}", "/i/{name...}/json", "/i/{name...}", "/i/get")
    }
    for pattern, route in routes.items():
        router.add("GET", pattern, route)

    def found(path: str) -> tuple[str, dict[str, str]] | None:
        match = router.find("GET", path.split("/"))
        return (next(p for p, r in routes.items() if r is match[0]), match[1]) if match else None

    assert found("a/json") == ("/a/json", {})
    assert found("a/json/json") == ("/a/{id}/json", {"id": "json"})
    assert found("a/x") == ("/a/{id}", {"id": "x"})
    assert found("i/get") == ("/i/get", {})
    assert found("i/get/json") == ("/i/{name...}/json", {"name": "get"})
    assert found("i/h:5000/a/b/json") == ("/i/{name...}/json", {"name": "h:5000/a/b"})
    assert found("i/json") == ("/i/{name...}", {"name": "json"})
    assert found("a/x/y") is found("a") is found("z") is None
    assert router.find("PUT", ["a", "json"]) is None
    for taken in ("/a/json", "/i/{name...}"):
        with pytest.raises(ValueError, match="twice"):
            router.add("GET", taken, Route(_nothing))
