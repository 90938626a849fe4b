"""`pymachine image push-to`."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from machine.cli import target
from machine.cli.completion import image_names, machine_names
from machine.cli.options import MachineOption

if TYPE_CHECKING:
    from machine.client.docker_handover import Handovers
    from machine.client.push_to import Outcome


def _words(ctx: typer.Context, incomplete: str) -> list[str]:
    return [name for name, _ in machine_names(incomplete)] + image_names(ctx, incomplete)


def push_to(
    ctx: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="MACHINE... IMAGE", autocompletion=_words)],
    machine: MachineOption = None,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="no progress", rich_help_panel="Output")
    ] = False,
) -> None:
    """Copy an image from the chosen machine to others; only layers that they lack travel, and what arrived stays.

    pymachine image push-to web-1 web-2 app:1.2
    pymachine image push-to --machine build1 web-1 app:1.2
    """
    from machine.cli.console import note, paint, print_error
    from machine.client import push_to as client
    from machine.errors import MachineError, Usage

    *names, image = dict.fromkeys(words)
    here = target.machine_name(ctx, machine)
    if not names:
        raise Usage(f"{image} alone says no machine: pymachine image push-to MACHINE... IMAGE")
    if here in names:
        raise Usage(
            f"{here} is where the image comes from: name other machines, or another one with --machine"
        )
    began = time.monotonic()
    with ExitStack() as stack:
        source = stack.enter_context(target.engine(ctx, here)).handovers
        targets: dict[str, Handovers] = {}
        failed: dict[str, MachineError] = {}
        for name in names:
            try:
                targets[name] = stack.enter_context(target.engine(None, name)).handovers
            except MachineError as error:
                failed[name] = error
        with _Live(f"{image} from {here}", quiet=quiet) as live:
            _, outcomes = client.push_to(source, targets, image, live.sent)
    failed |= {name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None}
    for name, outcome in outcomes.items():
        if outcome.error is None and not quiet:
            note(f"  {paint('✓', 'green')} {name}  {_told(outcome)}  {time.monotonic() - began:.1f} s")
    for name, reason in failed.items():
        print_error(f"{name}: {reason}")
    if failed:
        raise typer.Exit(1)


def _told(outcome: Outcome) -> str:
    from machine.cli import show

    if not outcome.lacked:
        return f"has all {outcome.layers} layers"
    return f"{outcome.lacked} of {outcome.layers} layers  {show.size(outcome.sent)}"


class _Live:
    """One line for all machines."""

    def __init__(self, title: str, *, quiet: bool) -> None:
        from machine.cli.transfer_progress import LiveLine

        self._line = None if quiet else LiveLine(sys.stderr)
        self._title = title
        self._bytes: dict[str, int] = {}
        self._lock = threading.Lock()

    def sent(self, name: str, size: int) -> None:
        """Called by several threads."""
        from machine.cli import show

        with self._lock:
            self._bytes[name] = self._bytes.get(name, 0) + size
            if self._line is not None:
                told = "  ".join(f"{each} {show.size(count)}" for each, count in self._bytes.items())
                self._line.show(f"{self._title}  {told}")

    def __enter__(self) -> _Live:
        if self._line is not None:
            self._line.show(self._title)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        from machine.cli.console import note

        if self._line is not None:
            self._line.clear()
        if kind is KeyboardInterrupt:
            note("what has arrived stays on the machines: the same command goes on from there")
