"""`pymachine`: reads the global options, runs one command, turns errors into text and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage (125 for `run`, `exec` and `container create`, as docker has it, so
that a container's own 2 stays its own), 130 Ctrl-C; `run` and `exec` exit with the container's own code.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from machine.cli.commands import TOP
from machine.cli.completion import machine_names
from machine.cli.ending import Ended
from machine.cli.framework import LazyGroup, Settings, quicken
from machine.errors import MachineError, RunFailed

_EXITS_LIKE_DOCKER = ("run", "exec", "container run", "container exec", "container create")
# What the surroundings are to blame for (errno(3)).
_OF_THE_SYSTEM = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
        *(errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
    }
)


class _Root(LazyGroup):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(TOP, **kwargs)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"pymachine {version('pymachine-engine')}")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    machine: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--machine",
            metavar="NAME",
            help="act on this machine (else PYMACHINE_MACHINE, `pymachine use`, or the only one)",
            autocompletion=machine_names,
        ),
    ] = None,
    verbose: Annotated[
        int,
        typer.Option(
            "-v",
            "--verbose",
            count=True,
            show_default=False,
            help="say what each step does; show the traceback of a bug",
        ),
    ] = 0,
    version: Annotated[  # read by its callback
        bool, typer.Option("--version", help="print the version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Make Linux hosts and run containers on them.

    pymachine create local dev1
    pymachine run -it debian bash
    """
    ctx.obj = Settings(machine=machine, verbose=verbose)


def root_command() -> Any:
    """The whole command tree, nothing of it imported yet."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback(cls=_Root)(_root)
    return quicken(get_command(app))


def main() -> NoReturn:
    """Entry point of the `pymachine` command."""
    sys.exit(invoke(sys.argv[1:]))


def invoke(args: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; whatever goes wrong is told on stderr."""
    try:
        code = root_command().main(list(args), prog_name="pymachine", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except TyperException as error:
        return _tell_usage(error, args)
    except MachineError as error:
        return _tell(error)
    except (KeyboardInterrupt, typer.Abort):
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output is gone (`| head`): end quietly, also at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), sys.stdout.fileno())
        return 141
    except Ended as error:
        return 128 + error.number
    except OSError as error:
        return _tell_system(error, args)
    except Exception as error:
        return _tell_bug(error, args)


def _tell(error: MachineError) -> int:
    from machine.cli.console import print_error

    print_error(str(error))
    return error.exit_code


def _tell_usage(error: TyperException, args: Sequence[str]) -> int:
    from machine.cli.console import print_error

    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "pymachine"
    message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    print_error(f"{message}\nsee:  {path} --help")
    command = path.partition(" ")[2]
    return RunFailed.exit_code if command in _EXITS_LIKE_DOCKER else 2


def _tell_system(error: OSError, args: Sequence[str]) -> int:
    """A full disk or another user's file is not our bug."""
    if error.errno not in _OF_THE_SYSTEM:
        return _tell_bug(error, args)
    where = f": {error.filename}" if error.filename else ""
    return _tell(MachineError(f"this computer refused: {error.strerror}{where}"))


def _tell_bug(error: Exception, args: Sequence[str]) -> int:
    from machine.cli.console import print_error

    if any(word in ("-v", "-vv", "--verbose") for word in args[:4]):
        import traceback

        traceback.print_exception(error)
    name = type(error).__name__
    print_error(
        f"pymachine itself failed ({name}: {error}). This is a bug, please report it.\n"
        f"more:  pymachine -v {' '.join(args)}"
    )
    return 1


if __name__ == "__main__":
    main()
