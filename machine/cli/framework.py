"""What typer lacks for us: commands that are imported when they are used, help that opens with examples.

A command is one function with a docstring: its first line says what it does, the lines below are examples.
A `Row` names it without importing it, so `pymachine --help` imports no command at all.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command as build_command

if TYPE_CHECKING:
    from typer._click.core import Command as AnyCommand
    from typer._click.formatting import HelpFormatter

# The order in which groups of options are shown, in every command.
PANELS = ("What", "Where", "Limits", "Output")
_TRUTH = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


@dataclass(frozen=True)
class Row:
    """A command of a group: `target` is "module:function" below machine.cli, or the rows of a nested group."""

    name: str
    target: str | tuple[Row, ...]
    line: str
    section: str = "Commands"


@dataclass(frozen=True)
class Settings:
    """What stands before the command: `pymachine -m dev1 -v ps`."""

    machine: str | None = None
    verbose: int = 0


def settings_of(context: typer.Context) -> Settings:
    """The global options of this invocation."""
    found = context.find_root().obj
    return found if isinstance(found, Settings) else Settings()


class HelpfulCommand(TyperCommand):
    """One command: examples first, options in groups, Go's `--flag=true` spelling understood."""

    def format_help(self, ctx: Any, formatter: HelpFormatter) -> None:
        _write_head(self, ctx, formatter)
        self._format_panels(ctx, formatter)

    def _format_panels(self, ctx: Any, formatter: HelpFormatter) -> None:
        panels: dict[str, list[tuple[str, str]]] = {name: [] for name in PANELS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None or param.param_type_name == "argument":
                continue
            panel = getattr(param, "rich_help_panel", None) or "Output"
            panels.setdefault(panel, []).append(record)
        for name, records in panels.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records, col_max=30)

    def get_help_option(self, ctx: Any) -> Any:
        return _quick_help_option(super().get_help_option(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [param for param in self.params if param.param_type_name == "argument"]
        return ["[OPTIONS]", *(param.metavar or param.name.upper() for param in arguments if param.name)]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._without_flag_values(args))

    def _without_flag_values(self, args: Sequence[str]) -> list[str]:
        """`--rm=true` -> `--rm`, `--rm=false` -> nothing, or `--no-pause` where a flag has a word for it.

        Docker users write them, click does not read them.

        Stops at the first word that is no option: what follows may belong to the container.
        """
        flags = {
            opt: next(iter(param.secondary_opts), None)
            for param in self.params
            if getattr(param, "is_flag", False)
            for opt in param.opts
        }
        taking = {opt for param in self.params if not getattr(param, "is_flag", False) for opt in param.opts}
        words = list(args)
        kept: list[str] = []
        while words:
            word = words.pop(0)
            if word == "--" or not word.startswith("-"):
                return [*kept, word, *words]
            name, equals, value = word.partition("=")
            if equals and name in flags and value.lower() in _TRUTH:
                if said := name if _TRUTH[value.lower()] else flags[name]:
                    kept.append(said)
                continue
            kept.append(word)
            if word in taking and words:
                kept.append(words.pop(0))
        return kept


class LazyGroup(TyperGroup):
    """A group whose commands come from rows; a row's module is imported when its command is asked for."""

    def __init__(self, rows: Sequence[Row], **kwargs: Any) -> None:
        own = {"rich_markup_mode": None, "no_args_is_help": False, "invoke_without_command": True}
        super().__init__(**(kwargs | own))
        self._rows = {row.name: row for row in rows}

    @property
    def rows(self) -> Iterable[Row]:
        return self._rows.values()

    def get_help_option(self, ctx: Any) -> Any:
        return _quick_help_option(super().get_help_option(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self._rows)

    def get_command(self, ctx: Any, cmd_name: str) -> AnyCommand | None:
        row = self._rows.get(cmd_name)
        if row is None:
            return None
        if cmd_name not in self.commands:
            self.commands[cmd_name] = load(row)
        return self.commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, AnyCommand | None, list[str]]:
        if args[0] not in self._rows and not args[0].startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            close = get_close_matches(args[0], self._rows, n=1)
            hint = f" Did you mean:  {ctx.command_path} {close[0]}" if close else ""
            ctx.fail(f'no command "{args[0]}".{hint}')
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        if not ctx._protected_args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help())
            raise typer.Exit(0 if ctx.parent is None else 2)
        return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: HelpFormatter) -> None:
        _write_head(self, ctx, formatter)
        sections: dict[str, list[tuple[str, str]]] = {}
        for row in self.rows:
            sections.setdefault(row.section, []).append((row.name, row.line))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)
        records = [record for param in self.get_params(ctx) if (record := param.get_help_record(ctx))]
        with formatter.section("Options"):
            formatter.write_dl(records, col_max=30)


def _write_head(command: TyperCommand | TyperGroup, ctx: Any, formatter: HelpFormatter) -> None:
    line, examples = split_help(command.help or "")
    formatter.write(f"{line}\n\n")
    for example in examples:
        formatter.write(f"  {example}\n")
    formatter.write("\n")
    command.format_usage(ctx, formatter)


def split_help(text: str) -> tuple[str, list[str]]:
    """A docstring's first line, and the lines below it: the examples."""
    first, *rest = inspect.cleandoc(text).splitlines() or [""]
    return first, [line.strip() for line in rest if line.strip()]


def load(row: Row) -> AnyCommand:
    """Imports what a row names and makes the command of it."""
    if not isinstance(row.target, str):
        names = [f"pymachine {row.name} {inner.name}" for inner in row.target[:2]]
        examples = [f"  {name} --help" for name in names]
        if len(names) == 1:
            examples += [f"  {names[0]}"]
        return LazyGroup(row.target, name=row.name, help="\n".join([row.line, "", *examples]))
    module, _, function = row.target.partition(":")
    return command_of(getattr(importlib.import_module(f"machine.cli.{module}"), function), row.name)


def command_of(function: Callable[..., None], name: str) -> AnyCommand:
    """The command that calls `function`. What follows the first argument is not searched for options if the
    function is marked with `passes_on` (docker's `run IMAGE COMMAND -x`)."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    all_words = getattr(function, "forwards", False)
    context = {
        "allow_interspersed_args": not (all_words or getattr(function, "passes_on", False)),
        "ignore_unknown_options": all_words,
    }
    app.command(name, cls=HelpfulCommand, context_settings=context)(function)
    return quicken(build_command(app))


@dataclass(frozen=True)
class _Plain:
    """Turns the words of a parameter into `kind`. typer would import pydantic for it: 40 ms for each command."""

    kind: type[str] | type[int] | type[float] | type[bool]  # a flag's value is a bool already, or None

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        return [self._one(word, param, ctx) for word in value] if many else self._one(value, param, ctx)

    def _one(self, word: Any, param: Any, ctx: Any) -> Any:
        try:
            return self.kind(word)
        except ValueError:
            what = "whole number" if self.kind is int else "number"
            raise typer.BadParameter(f'"{word}" is not a {what}', ctx=ctx, param=param) from None


_ITEMS: dict[Any, type] = {list[str]: str, list[int]: int, list[float]: float}
_PLAIN: dict[Any, _Plain] = {kind: _Plain(kind) for kind in (str, int, float, bool)}


def quicken(command: AnyCommand) -> AnyCommand:
    """Gives its parameters our converters, where typer 0.29 looks for them. Without them all is right, but slower."""
    for param in command.params:
        _quicken(param)
    return command


def _quick_help_option(option: Any) -> Any:
    """typer makes this one by itself."""
    _quicken(option)
    return option


def _quicken(param: Any) -> None:
    annotation = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    plain = _PLAIN.get(_ITEMS.get(annotation, annotation))
    if plain is not None:
        param._runtime_param = plain


def passes_on(function: Callable[..., None]) -> Callable[..., None]:
    """Marks a command whose words after the first argument belong to a program elsewhere."""
    function.passes_on = True  # type: ignore[attr-defined]  # read back by command_of
    return function


def forwards(function: Callable[..., None]) -> Callable[..., None]:
    """Marks a command whose words, options too, all belong to a program elsewhere; only --help is its own."""
    function.forwards = True  # type: ignore[attr-defined]  # read back by command_of
    return function
