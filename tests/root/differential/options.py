"""Which test uses which option of docker's commands for containers, read from the tests' source.

`python -m tests.root.differential.options` prints the table. A test counts for a short option only when it stands in
the same call, list or tuple behind the command (`same("run", "-d", ...)`); a long one also elsewhere in the function,
or in what it names of its module (`*options.split()`), as long as the command is there too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.peers import tree

ROOT = Path(__file__).parents[3]
COMMANDS = (
    *(
        "attach",
        "commit",
        "cp",
        "create",
        "diff",
        "events",
        "exec",
        "export",
        "info",
        "inspect",
        "kill",
        "logs",
    ),
    *(
        "pause",
        "port",
        "ps",
        "rename",
        "restart",
        "rm",
        "run",
        "start",
        "stats",
        "stop",
        "top",
        "unpause",
        "update",
    ),
    *("version", "wait", "container prune", "system df"),
)
_OPTION = re.compile(r"^ +(?:(-[a-zA-Z]), )? *(--[a-z0-9-]+)", re.MULTILINE)
_BUNDLE = re.compile(r"-[a-zA-Z]{1,6}")


@dataclass(frozen=True)
class Option:
    long: str
    short: str
    """"" when there is none."""

    def is_in(self, word: str) -> bool:
        """Whether a word of a command line gives this option: --name, --name=value, -n, or -n among others."""
        if word == self.long or word.startswith(f"{self.long}="):
            return True
        return bool(self.short and _BUNDLE.fullmatch(word) and self.short[1] in word[1:])


def documented(cli: Path, command: str) -> tuple[Option, ...]:
    """The options that `docker COMMAND --help` lists."""
    done = subprocess.run([str(cli), *command.split(), "--help"], check=True, capture_output=True, text=True)
    return tuple(Option(long, short) for short, long in _OPTION.findall(done.stdout) if long != "--help")


@dataclass(frozen=True)
class Test:
    name: str
    """path::function, as pytest has it."""
    lines: tuple[tuple[str, ...], ...]
    """Words that stand together."""
    words: frozenset[str]
    """All words of the function."""

    def uses(self, command: str, option: Option | None) -> bool:
        wanted = tuple(command.split())
        lines = [line[len(wanted) :] for line in self.lines if line[: len(wanted)] == wanted]
        if option is None:
            return bool(lines)
        if any(option.is_in(word) for line in lines for word in line):
            return True
        long = Option(option.long, "")
        return self.words.issuperset(wanted) and any(long.is_in(word) for word in self.words)


def tests() -> list[Test]:
    """Those on engines, in tests/root and tests/e2e; of the differential ones first."""
    here = Path(__file__).parent
    files = [path for folder in ("tests/root", "tests/e2e") for path in (ROOT / folder).rglob("test_*.py")]
    files.sort(key=lambda path: (path.parent != here, path))
    return [test for path in files for test in _tests_of(path)]


def _tests_of(path: Path) -> Iterator[Test]:
    module = ast.parse(path.read_text())
    named = {name: node for node in module.body for name in _names(node)}
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            used = [
                named[each.id] for each in ast.walk(node) if isinstance(each, ast.Name) and each.id in named
            ]
            nodes = [each for top in (node, *used) for each in ast.walk(top)]
            words = [word for each in nodes for word in _words(each)]
            lines = [_line(each) for each in nodes if isinstance(each, ast.Call | ast.List | ast.Tuple)]
            yield Test(f"{path.relative_to(ROOT)}::{node.name}", tuple(lines), frozenset(words))


def _names(node: ast.stmt) -> list[str]:
    """What a statement of a module gives a name, tests apart."""
    match node:
        case ast.Assign(targets=targets):
            return [each.id for each in targets if isinstance(each, ast.Name)]
        case ast.FunctionDef(name=name) if not name.startswith("test_"):
            return [name]
    return []


def _words(node: ast.AST) -> list[str]:
    return node.value.split() if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _line(node: ast.Call | ast.List | ast.Tuple) -> tuple[str, ...]:
    parts = node.args if isinstance(node, ast.Call) else node.elts
    flat = [each for part in parts for each in (part.value.elts if _is_spread(part) else [part])]  # type: ignore[attr-defined]
    return tuple(
        each.value for each in flat if isinstance(each, ast.Constant) and isinstance(each.value, str)
    )


def _is_spread(node: ast.expr) -> bool:
    """*("a", "b")"""
    return isinstance(node, ast.Starred) and isinstance(node.value, ast.Tuple | ast.List)


def table(cli: Path) -> Mapping[tuple[str, str], str | None]:
    """(command, option) -> the first test that uses it; "" stands for a command without options. `create` and `run`
    read what they have in common with the same code: a test of either counts."""
    known = tests()
    found: dict[tuple[str, str], str | None] = {}
    for command in COMMANDS:
        alike = ("create", "run") if command in ("create", "run") else (command,)
        for option in (None, *documented(cli, command)):
            name = option.long if option else ""
            users = (test.name for each in alike for test in known if test.uses(each, option))
            found[command, name] = next(users, None)
    return found


def main() -> None:
    """The table, as text."""
    for (command, option), test in table(tree.cli_newest()).items():
        sys.stdout.write(f"{command:16} {option:24} {test or '-'}\n")


if __name__ == "__main__":
    main()
