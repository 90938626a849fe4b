"""Fills a parsed template with data: JSON-like values, fields found as Go would find them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from machine.cli.template_parser import (
    Assign,
    Block,
    Call,
    Dot,
    Field,
    Literal,
    Node,
    Print,
    Term,
    Text,
    Variable,
    parse,
)
from machine.errors import Usage


class Template:
    """`Template("{{.Names}}").fill({"Names": "web"}) == "web"`. Raises Usage: syntax, no such field or function."""

    def __init__(self, text: str) -> None:
        self._nodes = parse(text)

    def fill(self, data: object) -> str:
        return "".join(_write(self._nodes, data, {"$": data}))


def _write(nodes: Sequence[Node], dot: object, variables: dict[str, object]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Text):
            yield node.text
        elif isinstance(node, Print):
            yield printed(_value(node.term, dot, variables))
        elif isinstance(node, Assign):
            variables[node.name] = _value(node.term, dot, variables)
        elif node.kind == "range":
            yield from _write_range(node, dot, variables)
        else:
            value = _value(node.term, dot, variables)
            inner = dict(variables)
            if node.names:
                inner[node.names[0]] = value
            if value:
                yield from _write(node.body, value if node.kind == "with" else dot, inner)
            else:
                yield from _write(node.otherwise, dot, inner)


def _write_range(block: Block, dot: object, variables: dict[str, object]) -> Iterator[str]:
    over = _value(block.term, dot, variables)
    items: list[tuple[object, object]]
    if isinstance(over, Mapping):
        items = sorted(over.items(), key=lambda pair: str(pair[0]))
    elif isinstance(over, int) and not isinstance(over, bool):
        items = [(number, number) for number in range(over)]
    elif isinstance(over, list | tuple):
        items = list(enumerate(over))
    elif not over:
        items = []
    else:
        raise Usage(f"template: range over {printed(over)!r}, which has no elements")
    for key, item in items:
        inner = dict(variables)
        if len(block.names) == 1:
            inner[block.names[0]] = item
        elif block.names:
            inner[block.names[0]], inner[block.names[1]] = key, item
        yield from _write(block.body, item, inner)
    if not items:
        yield from _write(block.otherwise, dot, variables)


def _value(term: Term, dot: object, variables: Mapping[str, object]) -> Any:
    if isinstance(term, Literal):
        return term.value
    if isinstance(term, Dot):
        return dot
    if isinstance(term, Variable):
        if term.name not in variables:
            raise Usage(f"template: {term.name} is not set")
        return variables[term.name]
    if isinstance(term, Field):
        return _field(_value(term.of, dot, variables), term.name)
    return _call(term, dot, variables)


def _field(value: object, name: str) -> object:
    """A member by its name; a missing one of an object is an error, as in docker, but nil has nil members."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        close = [key for key in value if str(key).lower() == name.lower()]
        hint = f". Did you mean .{close[0]}?" if close else f". There is: {', '.join(map(str, value))}"
        raise Usage(f"template: no field .{name}{hint}")
    raise Usage(f"template: .{name} of {printed(value)!r}, which has no fields")


def _call(call: Call, dot: object, variables: Mapping[str, object]) -> object:
    if call.name in ("and", "or"):
        found: object = None
        for argument in call.arguments:
            found = _value(argument, dot, variables)
            if bool(found) == (call.name == "or"):
                break
        return found
    function = FUNCTIONS.get(call.name)
    if function is None:
        raise Usage(
            f'template: no function "{call.name}". There is: {", ".join(sorted([*FUNCTIONS, "and", "or"]))}'
        )
    try:
        return function(*(_value(argument, dot, variables) for argument in call.arguments))
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise Usage(f"template: {call.name}: {error}") from error


def printed(value: object) -> str:
    """As Go's fmt prints it: `true`, `[a b]`, `map[a:b]`."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        inside = " ".join(
            f"{key}:{printed(item)}" for key, item in sorted(value.items(), key=lambda p: str(p[0]))
        )
        return f"map[{inside}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(printed(item) for item in value)}]"
    return str(value)


def _index(value: Any, *keys: Any) -> object:
    for key in keys:
        if value is None:
            return None
        # A key that a map lacks is its zero value in Go, not an error.
        value = value.get(key) if isinstance(value, Mapping) else value[key]
    return "" if value is None else value


def _printf(form: str, *values: object) -> str:
    return form.replace("%v", "%s").replace("%q", '"%s"') % tuple(
        value if isinstance(value, int | float) and not isinstance(value, bool) else printed(value)
        for value in values
    )


def _truncate(text: str, length: int) -> str:
    return text[:length]


FUNCTIONS: Final[Mapping[str, Callable[..., object]]] = {
    "json": lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
    "index": _index,
    "len": len,
    "join": lambda items, separator: separator.join(printed(item) for item in items or ()),
    "split": lambda text, separator: text.split(separator),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "title": lambda text: text.title(),
    "truncate": _truncate,
    "pad": lambda text, before, after: " " * before + text + " " * after if text else text,
    "slice": lambda text, start, end=None: text[start:end],
    "print": lambda *values: "".join(printed(value) for value in values),
    "println": lambda *values: " ".join(printed(value) for value in values) + "\n",
    "printf": _printf,
    "eq": lambda first, *others: any(first == other for other in others),
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "not": lambda value: not value,
}
