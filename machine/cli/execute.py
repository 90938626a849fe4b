"""`pymachine exec` and `container attach`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from machine.cli.framework import passes_on
from machine.cli.options import DetachKeysOption, MachineOption, RunningName

_What = "What"
_Output = "Output"


@passes_on
def execute(
    ctx: typer.Context,
    container: RunningName,
    command: Annotated[list[str], typer.Argument(metavar="COMMAND [ARG]...")],
    machine: MachineOption = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "-e", "--env", metavar="NAME[=VALUE]", help="environment variable", rich_help_panel=_What
        ),
    ] = None,
    env_file: Annotated[
        list[str] | None,
        typer.Option(
            "--env-file", metavar="FILE", help="file of environment variables", rich_help_panel=_What
        ),
    ] = None,
    workdir: Annotated[
        str, typer.Option("-w", "--workdir", metavar="DIR", help="working directory", rich_help_panel=_What)
    ] = "",
    user: Annotated[
        str,
        typer.Option("-u", "--user", metavar="USER[:GROUP]", help="name or number", rich_help_panel=_What),
    ] = "",
    interactive: Annotated[
        bool, typer.Option("-i", "--interactive", help="keep stdin open", rich_help_panel=_Output)
    ] = False,
    tty: Annotated[
        bool, typer.Option("-t", "--tty", help="give it a terminal", rich_help_panel=_Output)
    ] = False,
    detach: Annotated[
        bool, typer.Option("-d", "--detach", help="run in the background", rich_help_panel=_Output)
    ] = False,
    detach_keys: DetachKeysOption = "ctrl-p,ctrl-q",
) -> None:
    """Run a command in a running container.

    pymachine exec -it web bash
    pymachine exec web cat /etc/hostname
    """
    from hostagent.wire import ExecCreate
    from machine.cli import session, target, terminal, values
    from machine.client.docker_call import run_failure
    from machine.errors import DaemonError, MachineError, RunFailed

    if interactive and tty and not detach and not os.isatty(0):
        raise RunFailed("-t needs a terminal, and stdin is none: leave -t out (a pipe needs -i alone)")
    console = terminal.size(1) if tty else None
    try:
        keys = terminal.parse_detach_keys(detach_keys)
        body = ExecCreate(
            user=user,
            tty=tty,
            console_size=console,
            attach_stdin=interactive and not detach,
            attach_stdout=not detach,
            attach_stderr=not detach,
            detach=detach,
            env=values.environment(env_file or (), env or (), os.environ) or None,
            working_dir=workdir,
            cmd=list(command),
        )
    except MachineError as error:
        raise RunFailed(str(error)) from error
    with target.engine(ctx, machine) as client:
        try:
            exec_id = client.execs.create(container, body)
        except DaemonError as error:
            # docker's exec exits with 1 when the container is not there or does not run.
            raise MachineError(str(error)) from error
        try:
            if detach:
                client.execs.start_detached(exec_id)
                return
            stream = client.execs.start(exec_id, tty=tty, console=console)
        except DaemonError as error:
            raise run_failure(error) from error
        with stream:
            far = session.Far(
                stream=stream,
                tty=tty,
                stdin=interactive,
                resize=lambda height, width: client.execs.resize(exec_id, height, width),
                detach_keys=keys,
            )
            if not session.join(far):
                return
        code = client.execs.inspect(exec_id).exit_code
    raise typer.Exit(code or 0)


def attach(
    ctx: typer.Context,
    container: RunningName,
    machine: MachineOption = None,
    no_stdin: Annotated[bool, typer.Option("--no-stdin", help="watch only", rich_help_panel=_Output)] = False,
    sig_proxy: Annotated[
        bool,
        typer.Option(
            "--sig-proxy/--no-sig-proxy", help="pass signals on to the container", rich_help_panel=_Output
        ),
    ] = True,
    detach_keys: DetachKeysOption = "ctrl-p,ctrl-q",
) -> None:
    """Attach the terminal to a running container.

    pymachine container attach box
    pymachine container attach --no-stdin web
    """
    from machine.cli import session, target, terminal
    from machine.cli.console import note
    from machine.errors import Conflict, Usage

    keys = terminal.parse_detach_keys(detach_keys)
    with target.engine(ctx, machine) as client:
        found = client.containers.inspect(container)
        if not found.state.running:
            raise Conflict(f"{container} does not run.  Start it:  pymachine container start {container}")
        tty, stdin = found.config.tty, found.config.open_stdin and not no_stdin
        if tty and stdin and not os.isatty(0):
            raise Usage(f"{container} has a terminal, and stdin is none: use a terminal, or --no-stdin")
        waiter = client.containers.wait(found.id, "not-running")
        with client.containers.attach(found.id, stdin=stdin, tty=tty) as stream:
            far = session.Far(
                stream=stream,
                tty=tty,
                stdin=stdin,
                resize=lambda height, width: client.containers.resize(found.id, height, width),
                kill=(lambda name: client.containers.kill(found.id, name)) if sig_proxy and not tty else None,
                detach_keys=keys,
            )
            if not session.join(far):
                note(f"\ndetached; it goes on:  pymachine container attach {container}")
                return
        result = waiter.result()
    raise typer.Exit(result.status_code)
