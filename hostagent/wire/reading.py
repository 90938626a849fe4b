"""Requests' bodies as wire types, read as Go's encoding/json reads them, which clients have come to rely on.

Keys are found whatever their case, unknown ones ignored; null is "not given", in a list or map the zero value; one
string stands for a list of one where Docker has its strslice; broken UTF-8 becomes U+FFFD. A number with a point or
exponent is no integer, and an integer has 64 bits.
"""

from __future__ import annotations

import json
import re
from functools import cache
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeVar, get_args, get_origin

import msgspec

from hostagent.wire.base import STRING_LISTS, Wire
from hostagent.wire.exec import ExecCreate

T = TypeVar("T")

_SURROGATES = re.compile("[\ud800-\udfff]")
# Go's unsigned fields, with the bits that they have.
_UNSIGNED = {"BlkioWeight": 16, "Weight": 16, "Mode": 32} | dict.fromkeys(
    ("IOMaximumIOps", "IOMaximumBandwidth", "Rate", "ConsoleSize"), 64
)
# Go's map[string]struct{}: sets, whose values may be any object.
_SETS = frozenset(("ExposedPorts", "Volumes"))
_KINDS = {bool: "a boolean", int: "an integer", str: "a string", float: "a number"}
_ZEROS: dict[object, object] = {bool: False, int: 0, str: "", float: 0.0}


def read(raw: bytes, kind: type[T]) -> T:
    """`raw` as `kind`. Raises ValueError naming the field (`HostConfig.Memory`) that does not fit, and how."""
    try:
        value = json.loads(raw.decode("utf-8", "replace"), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        extra = error.msg == "Extra data"
        raise ValueError("unexpected content after JSON" if extra else str(error)) from None
    if value is None:
        value = {}
    return msgspec.convert(_read(value, kind, "", ""), type=kind)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _read(value: Any, kind: Any, at: str, key: str) -> Any:
    if get_origin(kind) is UnionType:
        if value is None:
            return None
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    if kind is Any:
        return value
    if isinstance(kind, type) and issubclass(kind, Wire):
        return _read_struct(value, kind, at)
    match get_origin(kind):
        case origin if origin is list:
            return _read_list(value, get_args(kind)[0], at, key)
        case origin if origin is tuple:
            return _read_tuple(value, get_args(kind), at, key)
        case origin if origin is dict:
            return _read_map(value, get_args(kind)[1], at, key)
        case _:
            return _read_plain(value, kind, at, key)


def _read_struct(value: Any, kind: type[Wire], at: str) -> dict[str, Any]:
    if value is None:
        return {}
    _expect(isinstance(value, dict), value, at, "an object")
    fields, read = _fields(kind), {}
    for key, item in value.items():
        found = fields.get(key) or fields.get(key.casefold())
        if found is not None and item is not None:
            name, wanted = found
            # moby has a plain list for the command of an exec, and its strslice everywhere else.
            hint = "" if kind is ExecCreate and name == "Cmd" else name
            read[name] = _read(item, wanted, f"{at}.{name}" if at else name, hint)
    return read


@cache
def _fields(kind: type[Wire]) -> dict[str, tuple[str, Any]]:
    """JSON key, exact and in lower case -> (exact key, type)."""
    found: dict[str, tuple[str, Any]] = {}
    for field in msgspec.structs.fields(kind):
        found.setdefault(field.encode_name.casefold(), (field.encode_name, field.type))
        found[field.encode_name] = (field.encode_name, field.type)
    return found


def _read_list(value: Any, item: Any, at: str, key: str) -> list[Any]:
    if isinstance(value, str) and key in STRING_LISTS:
        value = [value]
    _expect(isinstance(value, list), value, at, "a list")
    return [_read_or_zero(each, item, f"{at}[{index}]", "") for index, each in enumerate(value)]


def _read_tuple(value: Any, items: tuple[Any, ...], at: str, key: str) -> list[Any]:
    """A Go array: what is missing is zero, what is too much is dropped."""
    _expect(isinstance(value, list), value, at, "a list")
    padded = [*value, *[None] * len(items)]
    return [
        _read_or_zero(each, item, f"{at}[{index}]", key)
        for index, (each, item) in enumerate(zip(padded, items, strict=False))
    ]


def _read_map(value: Any, item: Any, at: str, key: str) -> dict[str, Any]:
    _expect(isinstance(value, dict), value, at, "an object")
    if key in _SETS:
        value = {name: {} if isinstance(each, dict) else each for name, each in value.items()}
    return {_text(name): _read_or_zero(each, item, f"{at}.{name}", "") for name, each in value.items()}


def _read_or_zero(value: Any, kind: Any, at: str, key: str) -> Any:
    if value is None and get_origin(kind) is not UnionType:
        return _ZEROS.get(kind, [] if get_origin(kind) is list else {})
    return _read(value, kind, at, key)


def _read_plain(value: Any, kind: Any, at: str, key: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    _expect(type(value) is kind, value, at, _KINDS[kind])
    if kind is int and not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{at} is {value:.3e}, more than 64 bits hold: use a smaller number")
    if key in _UNSIGNED and not 0 <= value < 1 << _UNSIGNED[key]:
        raise ValueError(f"{at} is {value}: it must be from 0 to {(1 << _UNSIGNED[key]) - 1}")
    return _text(value) if kind is str else value


def _text(value: str) -> str:
    """Without halves of surrogate pairs, which \\u can write but UTF-8 cannot."""
    return _SURROGATES.sub("\ufffd", value)


def _expect(good: bool, value: Any, at: str, wanted: str) -> None:
    if not good:
        raise ValueError(f"{at or 'the body'} must be {wanted}, not {_described(value)}")


def _described(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return str(json.dumps(value))[:60]
