"""`pymachine login`, `logout`, `search`: the machine asks, the credentials are kept here, where docker keeps them."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from machine.cli import target
from machine.cli.options import FilterOption, FormatOption, JsonOption, MachineOption, NoTruncOption
from machine.cli.output import Column, Record, print_list

_What: Final = "What"
_COLUMNS: Final = (
    Column("NAME", "Name"),
    Column("DESCRIPTION", "Description"),
    Column("STARS", "StarCount"),
    Column("OFFICIAL", "IsOfficial"),
)
_Server = Annotated[str, typer.Argument(metavar="[SERVER]")]
_DESCRIPTION: Final = 45


def login(
    ctx: typer.Context,
    server: _Server = "",
    machine: MachineOption = None,
    username: Annotated[
        str, typer.Option("-u", "--username", metavar="NAME", help="who", rich_help_panel=_What)
    ] = "",
    password: Annotated[
        str,
        typer.Option("-p", "--password", metavar="TEXT", help="seen by others in ps", rich_help_panel=_What),
    ] = "",
    from_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="read the password from stdin", rich_help_panel=_What)
    ] = False,
) -> None:
    """Log in to a registry. The credentials are kept on this computer, where docker keeps them, and sent when needed.

    pymachine login registry.example.com
    pass show registry | pymachine login -u me --password-stdin registry.example.com
    """
    from hostagent.wire import AuthConfig
    from machine.cli import registry_auth, registry_store

    key = registry_auth.server_key(server)
    auth = AuthConfig(
        username=username or _ask("username: "),
        password=_password(password, from_stdin),
        serveraddress=key,
    )
    with target.engine(ctx, machine) as client:
        answer = client.login(auth)
    where = registry_store.keep(key, auth, answer.identity_token)
    print(answer.status)
    from machine.cli.console import note

    note(f"credentials of {server or 'Docker Hub'}: {where}")


def logout(ctx: typer.Context, server: _Server = "") -> None:
    """Forget the credentials of a registry.

    pymachine logout
    pymachine logout registry.example.com
    """
    from machine.cli import registry_auth, registry_store

    if registry_store.forget(registry_auth.server_key(server)):
        print(f"Removing login credentials for {server or 'Docker Hub'}")
    else:
        print(f"Not logged in to {server or 'Docker Hub'}")


def search(
    ctx: typer.Context,
    term: Annotated[str, typer.Argument(metavar="TERM")],
    machine: MachineOption = None,
    filter: FilterOption = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", help="at most so many", rich_help_panel=_What)
    ] = 25,
    no_trunc: NoTruncOption = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search a registry for images.

    pymachine search postgres
    pymachine search --filter is-official=true --limit 5 registry.example.com/web
    """
    from machine.cli import registry_auth, values

    with target.engine(ctx, machine) as client:
        found = client.images.search(
            term, limit, values.filters(filter or ()), registry_auth.credentials(term)
        )
    records: list[Record] = []
    for each in found:
        text = each.description.replace("\n", " ").replace("\r", " ")
        short = text if no_trunc or len(text) <= _DESCRIPTION else text[: _DESCRIPTION - 1] + "…"
        records.append(
            {
                "Name": each.name,
                "Description": short,
                "StarCount": str(each.star_count),
                "IsOfficial": "[OK]" if each.is_official else "",
            }
        )
    print_list(records, _COLUMNS, key="Name", form=form, as_json=as_json)


def _ask(question: str) -> str:
    from machine.cli.console import can_ask
    from machine.errors import Usage

    if not can_ask():
        raise Usage("there is no terminal to ask on: give -u NAME and --password-stdin")
    sys.stderr.write(question)
    sys.stderr.flush()
    answer = sys.stdin.readline().strip()
    if not answer:
        raise Usage("a registry needs a username: give -u NAME")
    return answer


def _password(given: str, from_stdin: bool) -> str:
    from machine.cli.console import can_ask, print_warning
    from machine.errors import Usage

    if given and from_stdin:
        raise Usage("--password and --password-stdin exclude each other: use the second")
    if given:
        print_warning("--password can be seen by others (ps, the shell's history): use --password-stdin")
        return given
    if from_stdin:
        found = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    elif can_ask():
        import getpass

        found = getpass.getpass("password: ")
    else:
        raise Usage("there is no terminal to ask on: give --password-stdin")
    if not found:
        raise Usage("a registry needs a password")
    return found
