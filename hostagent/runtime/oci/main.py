"""The command line: parse, one call, print."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys

from hostagent.errors import EngineError, Invalid
from hostagent.runtime import spec as specs
from hostagent.runtime.oci import create, verbs
from hostagent.runtime.oci.state import Store
from hostagent.runtime.selfexe import reexec_from_sealed_python

DEFAULT_ROOT = "/run/pymachine/oci"


def main() -> None:
    """Exit code: the program's for attached run and exec; else 0, or 1 with one sentence on stderr."""
    arguments = _parser().parse_args()
    if arguments.verb in {"create", "run", "exec"}:
        reexec_from_sealed_python()
    try:
        code = _dispatch(arguments)
    except (EngineError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


def _dispatch(a: argparse.Namespace) -> int:
    store = Store(os.path.abspath(a.root))
    match a.verb:
        case "create":
            create.create(store, a.id, os.path.abspath(a.bundle), a.pid_file, a.console_socket)
        case "start":
            create.start(store, a.id)
        case "run":
            return create.run(store, a.id, os.path.abspath(a.bundle), a.pid_file, a.detach)
        case "plan":
            print(verbs.plan(os.path.abspath(a.bundle)))
        case "state":
            print(verbs.state(store, a.id))
        case "kill":
            verbs.kill(store, a.id, _signal(a.signal), a.all)
        case "delete":
            verbs.delete(store, a.id, a.force)
        case "exec":
            return verbs.execute(store, a.id, _process(store, a), a.detach, a.pid_file)
    return 0


def _process(store: Store, a: argparse.Namespace) -> specs.Process:
    if a.process:
        with open(a.process, encoding="utf-8") as file:
            return specs.parse_process(json.load(file))
    if not a.args:
        raise Invalid("exec needs a command, or --process FILE")
    base = specs.load(os.path.join(store.load(a.id).bundle, "config.json")).process
    return verbs.process_like(base, tuple(a.args), tuple(a.env), a.cwd, a.user, a.tty)


def _signal(text: str) -> signal.Signals:
    """TERM, SIGTERM or 15."""
    try:
        if text.isdecimal():
            return signal.Signals(int(text))
        return signal.Signals[text if text.startswith("SIG") else f"SIG{text}"]
    except (KeyError, ValueError):
        raise Invalid(f"unknown signal {text!r}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hostagent.runtime", description="OCI runtime command")
    parser.add_argument(
        "--root", default=DEFAULT_ROOT, help=f"where states are kept (default {DEFAULT_ROOT})"
    )
    verb = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    for name, text in (("create", "build a container up to its program"), ("run", "create and start")):
        sub = verb.add_parser(name, help=text)
        sub.add_argument("-b", "--bundle", default=".")
        sub.add_argument("--pid-file")
        if name == "create":
            sub.add_argument("--console-socket")
        else:
            sub.add_argument("-d", "--detach", action="store_true")
        sub.add_argument("id")

    sub = verb.add_parser("plan", help="print the steps that create would take to build the root")
    sub.add_argument("-b", "--bundle", default=".")

    for name, text in (("start", "run a created container's program"), ("state", "print the state as JSON")):
        verb.add_parser(name, help=text).add_argument("id")

    sub = verb.add_parser("kill", help="send a signal")
    sub.add_argument("-a", "--all", action="store_true", help="to every process of the container")
    sub.add_argument("id")
    sub.add_argument("signal", nargs="?", default="TERM")

    sub = verb.add_parser("delete", help="remove what is left of a container")
    sub.add_argument("-f", "--force", action="store_true", help="end it first")
    sub.add_argument("id")

    sub = verb.add_parser("exec", help="run a further process in a container")
    sub.add_argument("-p", "--process", help="JSON file with the process object")
    sub.add_argument("-d", "--detach", action="store_true")
    sub.add_argument("-t", "--tty", action="store_true")
    sub.add_argument("--pid-file")
    sub.add_argument("--cwd")
    sub.add_argument("-e", "--env", action="append", default=[])
    sub.add_argument("-u", "--user")
    sub.add_argument("id")
    sub.add_argument("args", nargs=argparse.REMAINDER)
    return parser
