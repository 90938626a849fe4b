"""Options as data: the fields of a frozen dataclass become options of every command that takes one.

`run` and `container create` share a hundred options; they are written once, in run_options.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import Field, field, fields
from typing import Annotated, Any

import typer

_OPTION = "option"
_KIND = "kind"


def words(*names: str, metavar: str, help: str, panel: str) -> Any:
    """A field for an option that may be given several times: tuple[str, ...]."""
    return _field(names, (), list[str] | None, metavar=metavar, help=help, rich_help_panel=panel)


def value(
    *names: str, metavar: str, help: str, panel: str, kind: type | None = None, default: Any = None
) -> Any:
    """A field for an option with one value: `kind` (str; then not given is "", or None where `kind` was named)."""
    if kind is None and default is None:
        default = ""
    annotation = (kind or str) if default is not None else (kind or str) | None
    return _field(names, default, annotation, metavar=metavar, help=help, rich_help_panel=panel)


def flag(*names: str, help: str, panel: str) -> Any:
    """A field for an option without a value: bool."""
    return _field(names, False, bool, help=help, rich_help_panel=panel)


def _field(names: tuple[str, ...], default: object, annotation: object, **option: Any) -> Any:
    made: typer.models.OptionInfo = typer.Option(*names, show_default=False, **option)
    return field(default=default, metadata={_OPTION: made, _KIND: annotation})


def takes(parameter: str, kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The command's `parameter` is an instance of the dataclass `kind`, made of one option per field of it."""
    optional = {each.name: each for each in fields(kind) if _OPTION in each.metadata}

    def expanded(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)

        @functools.wraps(command)
        def called(**given: Any) -> None:
            chosen = {name: given.pop(name) for name in optional}
            chosen |= {
                name: tuple(chosen[name] or ()) for name, each in optional.items() if each.default == ()
            }
            command(**given, **{parameter: kind(**chosen)})

        parameters: list[inspect.Parameter] = []
        for each in signature.parameters.values():
            if each.name == parameter:
                parameters += [_parameter(found) for found in optional.values()]
            else:
                parameters.append(each.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by inspect
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        return called

    return expanded


def _parameter(found: Field[Any]) -> inspect.Parameter:
    default = None if found.default == () else found.default
    annotation: Any = Annotated.__class_getitem__((found.metadata[_KIND], found.metadata[_OPTION]))  # type: ignore[attr-defined]  # made at run time
    return inspect.Parameter(
        found.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
