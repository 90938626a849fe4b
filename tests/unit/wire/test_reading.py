"""Bodies as Go's decoder reads them, and what it would not read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent import wire
from hostagent.wire.reading import read


def create(text: str | bytes) -> wire.ContainerCreate:
    return read(text.encode() if isinstance(text, str) else text, wire.ContainerCreate)


def host(text: str) -> wire.HostConfig:
    found = create(f'{{"HostConfig": {text}}}').host_config
    assert found is not None
    return found


def test_what_go_forgives() -> None:
    assert create('{"image": "a", "CMD": "ls", "Nope": [1], "Env": [null, "b"]}') == wire.ContainerCreate(
        image="a", cmd=["ls"], env=["", "b"]
    )
    assert create("null") == create("{}") == create('{"Image": null, "HostConfig": null}')
    assert host('{"ConsoleSize": [1]}').console_size == (1, 0)
    assert host('{"ConsoleSize": [1, 2, 3]}').console_size == (1, 2)
    assert host('{"PortBindings": {"80/tcp": null}}').port_bindings == {"80/tcp": None}
    assert create('{"Volumes": {"/a": {"b": 1}, "/c": null}}').volumes == {"/a": {}, "/c": None}
    assert create('{"Image": "a", "image": "b"}').image == "b"
    assert create(b'{"Image": "\xff"}').image == create('{"Image": "\\ud800"}').image == "\ufffd"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"Image": 5}', "Image must be a string, not 5"),
        ('{"HostConfig": {"Memory": 1.0}}', "HostConfig.Memory must be an integer, not 1.0"),
        ('{"HostConfig": {"Memory": true}}', "HostConfig.Memory must be an integer, not true"),
        (
            '{"HostConfig": {"Memory": 9223372036854775808}}',
            "HostConfig.Memory is 9.223e+18, more than 64 bits",
        ),
        (
            '{"HostConfig": {"Mounts": [{}, {"ReadOnly": 1}]}}',
            "HostConfig.Mounts[1].ReadOnly must be a boolean",
        ),
        (
            '{"HostConfig": {"BlkioWeight": 70000}}',
            "HostConfig.BlkioWeight is 70000: it must be from 0 to 65535",
        ),
        ('{"Labels": ["a"]}', "Labels must be an object, not a list"),
        ('{"Env": {"A": "b"}}', "Env must be a list, not an object"),
        ("[]", "the body must be an object, not a list"),
        ('{"Image": NaN}', "NaN is not a JSON value"),
        ("{} {}", "unexpected content after JSON"),
        ('{"a": ' + "[" * 100_000, "it is nested too deeply"),
        ('{"Image"', "Expecting"),
    ],
)
def test_what_does_not_fit_is_told(text: str, words: str) -> None:
    with pytest.raises(ValueError) as told:
        create(text)
    assert str(told.value).startswith(words)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from([*wire.Config.__struct_encode_fields__, "HostConfig", "NetworkingConfig"])


@given(st.dictionaries(_FIELDS, _JSON, max_size=4))
def test_any_value_in_any_field_is_read_or_refused_by_name(body: dict[str, object]) -> None:
    try:
        read(json.dumps(body).encode(), wire.ContainerCreate)
    except ValueError as error:
        assert str(error).startswith(tuple(body))


@given(st.dictionaries(st.sampled_from(wire.HostConfig.__struct_encode_fields__), _JSON, max_size=4))
def test_any_value_in_any_field_of_the_host(body: dict[str, object]) -> None:
    try:
        read(json.dumps({"HostConfig": body}).encode(), wire.ContainerCreate)
    except ValueError as error:
        assert str(error).startswith(tuple(f"HostConfig.{name}" for name in body))
