"""The command tree: help of every command, speed, exit codes, hints, asking."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from machine.cli import commands, framework, main
from machine.cli import machine_rm as rm
from machine.model.machine import Machine
from machine.store.store import Store


def rows(group: tuple[framework.Row, ...], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for row in group:
        yield (*path, row.name)
        if not isinstance(row.target, str):
            yield from rows(row.target, (*path, row.name))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("PYMACHINE_HOME", str(tmp_path))
    monkeypatch.delenv("PYMACHINE_MACHINE", raising=False)
    return Store()


def add(store: Store, name: str) -> None:
    entry = store.make(name)
    entry.journal.add("order", values={"driver": "local"})
    entry.write(Machine(name=name, driver="local", address="127.0.0.1", host_key="ssh-ed25519 AAAA"))
    entry.journal.add("complete")


@pytest.mark.parametrize("path", list(rows(commands.TOP)), ids=" ".join)
def test_help(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.invoke([*path, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip()
    assert lines[1] == ""
    assert all(line.startswith("  ") for line in lines[2:4])
    assert all("pymachine" in line for line in lines[2:4])
    assert lines[4] == ""
    assert lines[5].startswith("Usage: pymachine")


def test_help_is_quick_and_imports_no_command() -> None:
    code = "import sys; from machine.cli.main import invoke; invoke(['--help']); print(len(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Machines:" in done.stdout
    # What an import costs does not depend on the machine's mood, as a time would.
    assert int(done.stdout.split()[-1]) < 200
    heavy = {"rich", "paramiko", "h11", "msgspec", "machine.cli.run", "machine.client.docker"}
    check = f"{code}; sys.exit(bool({heavy} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", check], capture_output=True, check=True)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["nosuch"], 2, 'no command "nosuch"'),
        (["imaegs"], 2, "Did you mean:  pymachine image"),
        (["ps", "--nosuch"], 2, "no such option"),
        (["run"], 125, "IMAGE"),
        (["run", "--nosuch", "x"], 125, "see:  pymachine run --help"),
        (["run", "-p", "x", "y"], 125, "invalid port"),
        (["exec", "web"], 125, "COMMAND"),
        (["create", "nosuch", "x"], 2, 'no driver "nosuch"'),
        (["create", "local", "_bad_"], 2, "host name"),
        (["ps"], 1, "there is no machine yet"),
        (["run", "x"], 125, "pymachine create local dev1"),
        (["use", "nosuch"], 1, 'no machine named "nosuch"'),
        (["rm", "nosuch"], 1, 'no machine named "nosuch"'),
        (["-m", "nosuch", "ps"], 1, 'no machine named "nosuch"'),
    ],
)
def test_errors(
    args: list[str], code: int, words: str, home: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.invoke(args) == code
    caught = capsys.readouterr()
    assert caught.err.startswith("error: ")
    assert words in caught.err
    assert caught.out == ""


def test_which_machine(
    home: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(home, "dev1")
    assert main.invoke(["ip"]) == 0
    assert capsys.readouterr().out == "127.0.0.1\n"
    add(home, "dev2")
    assert main.invoke(["ip"]) == 2
    assert "pymachine use dev1" in capsys.readouterr().err
    assert main.invoke(["use", "dev2"]) == 0
    assert main.invoke(["use"]) == 0
    assert capsys.readouterr().out == "dev2\n"
    assert main.invoke(["ls", "--local", "--format", "{{.Name}} {{.Active}}"]) == 0
    assert capsys.readouterr().out == "dev1 false\ndev2 true\n"


def test_stop_of_a_container_gives_the_hint(
    home: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from machine.cli import lookup

    add(home, "dev1")
    monkeypatch.setattr(lookup, "_has", lambda store, machine, container: container == "web")
    assert main.invoke(["stop", "web"]) == 1
    assert capsys.readouterr().err == (
        'error: no machine named "web". There is a container "web" on dev1:  pymachine container stop web\n'
    )
    assert main.invoke(["stop", "ghost"]) == 1
    assert "There is dev1" in capsys.readouterr().err


def test_rm_without_a_terminal_refuses(
    home: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(home, "dev1")
    monkeypatch.setattr(rm, "holdings", lambda store, name: f"{name} holds 2 running containers.")
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115  # closed with the test
    assert main.invoke(["rm", "dev1"]) == 2
    assert "pymachine rm --yes dev1" in capsys.readouterr().err
    assert home.exists("dev1")
    sys.stdin.close()


def test_rm_asks_and_no_is_the_default(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, "dev1")
    master, slave = pty.openpty()
    code = (
        "import sys; from machine.cli import machine_rm as rm, main\n"
        "rm.holdings = lambda store, name: 'dev1 holds much.'\nsys.exit(main.invoke(['rm', 'dev1']))"
    )
    environment = os.environ | {"PYMACHINE_HOME": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(master, 1000)
    assert b"dev1 holds much." in seen
    os.write(master, b"\n")
    assert process.wait(20) == 0
    os.close(slave)
    os.close(master)
    assert store.exists("dev1")


def test_completion(home: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    add(home, "dev1")
    for words, expected in (("pymachine sto", "stop"), ("pymachine stop ", "dev1"), ("pymachine logs ", "")):
        done = subprocess.run(
            [sys.executable, "-m", "machine.cli.main"],
            env=os.environ
            | {
                "_PYMACHINE_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(words.count(" ")),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.split() == expected.split(), done


def test_no_command_waits_for_pydantic(home: Store) -> None:
    """typer imports it to turn words into str and int, which takes longer than all of `pymachine ls`."""
    add(home, "dev1")
    program = (
        "import sys; from machine.cli.main import invoke; code = invoke(sys.argv[1:]); "
        "sys.exit(code or 'pydantic' in sys.modules)"
    )
    for words in (["ls", "-q"], ["logs", "--tail", "3", "--help"], ["env", "--unset"], ["rm", "--help"]):
        done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, check=False)
        assert done.returncode == 0, (words, done.stderr)


def test_numbers_are_checked(home: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.invoke(["stop", "-t", "soon", "dev1"]) == 2
    assert """invalid value for '-t' / '--time': "soon" is not a number""" in capsys.readouterr().err
    every = [param for path in rows(commands.TOP) for param in _command(path).params]
    assert all(hasattr(param, "_runtime_param") for param in every), (
        "typer keeps its converters elsewhere now"
    )


def _command(path: tuple[str, ...]) -> Any:
    found: Any = main.root_command()
    for name in path:
        found = found.get_command(None, name)
    return found
