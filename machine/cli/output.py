"""Lists and inspections on stdout: a narrow table, `--format`, `--json`, `-q`."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from machine.cli.template import Template
from machine.errors import Usage

# `\t` and `\n` as they are typed in a shell's single quotes.
_ESCAPED = {r"\t": "\t", r"\n": "\n"}


@dataclass(frozen=True)
class Column:
    """`title` in the table's head, `field` in `--format` and `--json`."""

    title: str
    field: str


Record = Mapping[str, object]


def print_list(
    records: Sequence[Record],
    columns: Sequence[Column],
    *,
    key: str,
    form: str | None = None,
    as_json: bool = False,
    quiet: bool = False,
    titles: Mapping[str, str] | None = None,
) -> None:
    """Prints one of the forms. `key` is what `-q` shows; `titles` are the heads of fields that are no columns."""
    if sum((form is not None, as_json, quiet)) > 1:
        raise Usage("--format, --json and --quiet exclude each other: take one of them")
    if quiet:
        _print_lines(str(record[key]) for record in records)
    elif as_json or form == "json":
        _print_lines(json.dumps(record, ensure_ascii=False) for record in records)
    elif form is None or form == "table":
        print_table(
            [column.title for column in columns], [[_cell(r, c.field) for c in columns] for r in records]
        )
    else:
        _print_formatted(records, form, {c.field: c.title for c in columns} | dict(titles or {}))


def _cell(record: Record, field: str) -> str:
    return str(record[field])


def _print_formatted(records: Sequence[Record], form: str, titles: Mapping[str, str]) -> None:
    table = form.startswith("table ")
    text = unescaped(form.removeprefix("table ").strip() if table else form)
    template = Template(text)
    rows = [template.fill(record) for record in records]
    if not table:
        _print_lines(rows)
        return
    heads = {name: titles.get(name, _title(name)) for name in _fields(records, text)}
    head = Template(text).fill(heads)
    print_table(head.split("\t"), [row.split("\t") for row in rows])


def _fields(records: Sequence[Record], text: str) -> set[str]:
    return set(re.findall(r"\.(\w+)", text)) | {name for record in records[:1] for name in record}


def _title(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).upper()


def unescaped(text: str) -> str:
    return re.sub(r"\\[tn]", lambda match: _ESCAPED[match[0]], text)


def _print_lines(lines: object) -> None:
    for line in lines:  # type: ignore[attr-defined]  # any iterable of str
        print(line)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need to be, three blanks apart."""
    widths = [max(width(row[i]) for row in [head, *rows] if i < len(row)) for i in range(len(head))]
    for row in [head, *rows]:
        cells = [
            cell + " " * (widths[i] - width(cell)) if i < len(widths) else cell for i, cell in enumerate(row)
        ]
        print("   ".join(cells).rstrip())


def width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def print_inspection(objects: Sequence[object], form: str | None) -> None:
    """All as one JSON array, or each through the template."""
    if form is None:
        json.dump(list(objects), sys.stdout, indent=4, ensure_ascii=False)
        print()
        return
    if form == "json":
        _print_lines(json.dumps(item, separators=(",", ":"), ensure_ascii=False) for item in objects)
        return
    template = Template(unescaped(form))
    _print_lines(template.fill(item) for item in objects)
