"""`pymachine forward`: ports of a machine here (-L), ports of here on a machine (-R)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.cli.options import FormatOption, JsonOption, MaybeMachineName, QuietOption
from machine.cli.output import Column, Record, print_list
from machine.errors import Usage

if TYPE_CHECKING:
    from machine.client.keeper.protocol import Address, Forward

_LOOPBACK: Final = "127.0.0.1"
_WORD: Final = r"\[[0-9a-fA-F:.]+\]|[^:\[\]]+"
_COLUMNS: Final = (
    Column("ID", "ID"),
    Column("KIND", "Kind"),
    Column("LISTENS", "Listen"),
    Column("LEADS TO", "Target"),
    Column("PROBLEM", "Problem"),
)


def forward(
    ctx: typer.Context,
    machine: MaybeMachineName = None,
    local: Annotated[
        list[str] | None,
        typer.Option(
            "-L",
            metavar="[ADDR:]PORT[:[HOST:]PORT]",
            help="a port of the machine here",
            rich_help_panel="What",
        ),
    ] = None,
    reverse: Annotated[
        list[str] | None,
        typer.Option(
            "-R",
            metavar="[ADDR:]PORT[:[HOST:]PORT]",
            help="a port of here on the machine",
            rich_help_panel="What",
        ),
    ] = None,
    remove: Annotated[
        list[int] | None, typer.Option("--rm", metavar="ID", help="end a forward", rich_help_panel="What")
    ] = None,
    quiet: QuietOption = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forward ports between this computer and a machine; without options: list. They last until --rm.

    pymachine forward -L 8080:80 dev1
    pymachine forward -R 5000:127.0.0.1:5000 dev1
    """
    from machine.cli import target
    from machine.client import forwards

    # All is parsed before anything is opened.
    wanted = [(parse(word), False) for word in local or ()] + [(parse(word), True) for word in reverse or ()]
    if not (wanted or remove):
        found = forwards.list_forwards(target.machine(ctx, machine).name)
        print_list(
            [record(one) for one in found], _COLUMNS, key="ID", form=form, as_json=as_json, quiet=quiet
        )
        return
    host = target.machine(ctx, machine)
    for number in remove or ():
        forwards.remove_forward(host.name, number)
    for (listen, goal), backwards in wanted:
        make = forwards.forward_reverse if backwards else forwards.forward_local
        made = make(host, listen, goal, ask=target.ask_passphrase)
        here, there = ("here", host.name) if not backwards else (host.name, "here")
        print(
            f"{made.number}: {_shown(made.listen)} {here} -> {_shown(made.target)} on {there}".replace(
                "on here", "here"
            )
        )


def parse(word: str) -> tuple[Address, Address]:
    """`80`, `8080:80`, `8080:db:5432`, `0.0.0.0:8080:db:5432` as (listen, target), like ssh -L."""
    parts = re.findall(_WORD, word)
    if ":".join(parts) != word or not 1 <= len(parts) <= 4:
        raise Usage(f'invalid forward "{word}": write [ADDRESS:]PORT[:[HOST:]PORT], for example 8080:80')
    texts = [part.strip("[]") for part in parts]
    if len(texts) == 1:
        return (_LOOPBACK, _port(texts[0], word)), (_LOOPBACK, _port(texts[0], word))
    if len(texts) == 2:
        return (_LOOPBACK, _port(texts[0], word)), (_LOOPBACK, _port(texts[1], word))
    address = texts.pop(0) if len(texts) == 4 else _LOOPBACK
    return (address, _port(texts[0], word)), (texts[1], _port(texts[2], word))


def _port(text: str, word: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise Usage(f'invalid forward "{word}": "{text}" is no port')
    return int(text)


def record(found: Forward) -> Record:
    return {
        "ID": str(found.number),
        "Kind": "-R" if found.reverse else "-L",
        "Listen": _shown(found.listen),
        "Target": _shown(found.target),
        "Problem": found.problem or "-",
    }


def _shown(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
