"""Go's text/template, as far as docker users write it on a command line: text to a tree.

`{{.Names}}`, `{{json .State}}`, `{{index .Config.Labels "a"}}`, `{{(index .Ports "80/tcp").HostPort}}`,
`{{range $k, $v := .X}}…{{else}}…{{end}}`, `{{if eq .A "b"}}`, `{{with .X}}`, pipes, `{{- trimming -}}`.
Syntax: https://pkg.go.dev/text/template
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from machine.errors import Usage

_ACTION: Final = re.compile(r"\{\{(-\s)?((?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|(?!\}\}).)*?)(\s-)?\}\}", re.DOTALL)
_TOKEN: Final = re.compile(
    r'\s*(?:(?P<text>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)|(?P<variable>\$\w*)'
    r"|(?P<field>\.\w+)|(?P<dot>\.)|(?P<assign>:?=)|(?P<mark>[|(),])|(?P<word>[A-Za-z_]\w*))"
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


@dataclass(frozen=True)
class Literal:
    value: object


@dataclass(frozen=True)
class Dot:
    pass


@dataclass(frozen=True)
class Variable:
    name: str


@dataclass(frozen=True)
class Field:
    """`of.name`; a chain is nested."""

    of: Term
    name: str


@dataclass(frozen=True)
class Call:
    """A function with its arguments; a pipe's left side becomes the last argument."""

    name: str
    arguments: tuple[Term, ...]


Term = Literal | Dot | Variable | Field | Call


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Print:
    term: Term


@dataclass(frozen=True)
class Assign:
    name: str
    term: Term


@dataclass(frozen=True)
class Block:
    """`kind` is if, with or range; `names` are the variables that a range or with declares."""

    kind: str
    term: Term
    names: tuple[str, ...]
    body: list[Node] = field(default_factory=list)
    otherwise: list[Node] = field(default_factory=list)


Node = Text | Print | Assign | Block


def parse(template: str) -> list[Node]:
    """Raises Usage, with what is wrong."""
    root: list[Node] = []
    # Each level: where nodes go, and the block that an `end` closes. `else if` opens a block that ends with its own.
    levels: list[tuple[list[Node], Block | None, bool]] = [(root, None, False)]
    place, trim = 0, False
    for match in _ACTION.finditer(template):
        _add_text(levels[-1][0], template[place : match.start()], trim, bool(match[1]))
        place, trim = match.end(), bool(match[3])
        source = match[2].strip()
        if not source.startswith("/*"):
            _Action(source, template).apply(levels)
    _add_text(levels[-1][0], template[place:], trim, False)
    if "{{" in _ACTION.sub("", template):
        raise Usage(f"template {template!r}: {{{{ without }}}}")
    if len(levels) > 1:
        raise Usage(f"template {template!r}: an {{{{end}}}} is missing")
    return root


def _add_text(nodes: list[Node], text: str, trim_left: bool, trim_right: bool) -> None:
    text = text.lstrip() if trim_left else text
    text = text.rstrip() if trim_right else text
    if text:
        nodes.append(Text(text))


class _Action:
    """What stands between two pairs of braces."""

    def __init__(self, source: str, template: str) -> None:
        self._template = template
        self._tokens: list[tuple[str, str, bool]] = []
        self._next = 0
        place = 0
        while place < len(source.rstrip()):
            match = _TOKEN.match(source, place)
            if match is None:
                raise self._wrong(f'"{source[place:].strip()[:20]}" is not understood')
            kind = match.lastgroup or ""
            glued = match.start(kind) == place and place > 0
            self._tokens.append((kind, match[kind], glued))
            place = match.end()

    def _wrong(self, what: str) -> Usage:
        return Usage(f"template {self._template!r}: {what}")

    def apply(self, levels: list[tuple[list[Node], Block | None, bool]]) -> None:
        word = self._tokens[0][1] if self._tokens and self._tokens[0][0] == "word" else ""
        if word in ("if", "with", "range"):
            self._next = 1
            block = self._block(word)
            levels[-1][0].append(block)
            levels.append((block.body, block, False))
        elif word == "else":
            self._else(levels)
        elif word == "end":
            while True:
                _, block_, chained = levels.pop()
                if block_ is None:
                    raise self._wrong("an {{end}} too many")
                if not chained:
                    break
        else:
            levels[-1][0].append(self._statement())
            self._finish()

    def _else(self, levels: list[tuple[list[Node], Block | None, bool]]) -> None:
        _, block, chained = levels.pop()
        if block is None:
            raise self._wrong("{{else}} without {{if}}")
        levels.append((block.otherwise, block, chained))
        if len(self._tokens) > 1:
            self._next = 2
            inner = self._block(self._tokens[1][1])
            block.otherwise.append(inner)
            levels.append((inner.body, inner, True))

    def _block(self, kind: str) -> Block:
        names: list[str] = []
        start = self._next
        while self._peek() == "variable":
            names.append(self._take())
            if self._peek_text() == ",":
                self._take()
        if self._peek() == "assign" and names:
            self._take()
        else:
            names, self._next = [], start
        block = Block(kind, self._pipeline(), tuple(names))
        self._finish()
        return block

    def _statement(self) -> Node:
        if len(self._tokens) > 1 and self._tokens[0][0] == "variable" and self._tokens[1][0] == "assign":
            name = self._take()
            self._take()
            return Assign(name, self._pipeline())
        return Print(self._pipeline())

    def _finish(self) -> None:
        if self._next < len(self._tokens):
            raise self._wrong(f'"{self._tokens[self._next][1]}" is too much')

    def _pipeline(self) -> Term:
        term = self._command(())
        while self._peek_text() == "|":
            self._take()
            term = self._command((term,))
        return term

    def _command(self, piped: tuple[Term, ...]) -> Term:
        if self._peek() == "word" and self._peek_text() not in ("true", "false", "nil"):
            name = self._take()
            arguments: list[Term] = []
            while self._peek() not in ("", "assign") and self._peek_text() not in ("|", ")", ","):
                arguments.append(self._operand())
            return Call(name, (*arguments, *piped))
        if piped:
            raise self._wrong("a | must be followed by a function")
        return self._operand()

    def _operand(self) -> Term:
        kind, text = self._peek(), self._take()
        term: Term
        if kind == "text":
            term = Literal(text[1:-1] if text[0] == "`" else _unescape(text[1:-1]))
        elif kind == "number":
            term = Literal(float(text) if "." in text else int(text))
        elif kind == "variable":
            term = Variable(text)
        elif kind == "field":
            term = Field(Dot(), text[1:])
        elif kind == "dot":
            term = Dot()
        elif kind == "word" and text in ("true", "false", "nil"):
            term = Literal({"true": True, "false": False, "nil": None}[text])
        elif kind == "word":
            term = Call(text, ())
        elif text == "(":
            term = self._pipeline()
            if self._take() != ")":
                raise self._wrong("a ) is missing")
        else:
            raise self._wrong(f'"{text}" is not expected here' if text else "something is missing")
        while self._peek() == "field" and self._tokens[self._next][2]:
            term = Field(term, self._take()[1:])
        return term

    def _peek(self) -> str:
        return self._tokens[self._next][0] if self._next < len(self._tokens) else ""

    def _peek_text(self) -> str:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else ""

    def _take(self) -> str:
        text = self._peek_text()
        self._next += 1
        return text


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text)
