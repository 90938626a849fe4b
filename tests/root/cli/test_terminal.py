"""`run -it` in a real terminal: size, keys, detach, and the terminal's state after any end."""

from __future__ import annotations

import signal

import pytest

from tests.root.cli.pymachine import Terminal, pymachine
from tests.servers.engine import Engine

pytestmark = pytest.mark.root


def test_size_keys_exit_code(engine: Engine) -> None:
    with Terminal(engine, "run", "-it", "--rm", "busybox", "sh", size=(33, 101)) as terminal:
        terminal.expect(b"# ")
        assert terminal.state() != terminal.before
        terminal.keys(b"stty size; echo o''k\n")
        terminal.expect(b"33 101")
        terminal.expect(b"ok")
        terminal.resize(20, 70)
        terminal.signal(signal.SIGWINCH)
        terminal.keys(b"sleep 0.3; stty size\n")
        terminal.expect(b"20 70")
        # Ctrl-C belongs to the program inside.
        terminal.keys(b"echo g''o; sleep 99\n")
        terminal.expect(b"go\r\n")
        terminal.keys(b"\x03")
        terminal.expect(b"# ")
        terminal.keys(b"echo st''ill; exit 9\n")
        terminal.expect(b"still")
        code, _ = terminal.end()
        assert code == 9
        assert terminal.state() == terminal.before


def test_detach_and_attach(engine: Engine) -> None:
    with Terminal(engine, "run", "-it", "--name", "box", "busybox", "sh") as terminal:
        terminal.expect(b"# ")
        terminal.keys(b"\x10\x11")
        terminal.expect(b"detached; it goes on:  pymachine container attach")
        code, _ = terminal.end()
        assert code == 0
        assert terminal.state() == terminal.before
    assert pymachine(engine, "ps", "--format", "{{.Names}}").out == "box\n"
    with Terminal(engine, "container", "attach", "box") as terminal:
        terminal.keys(b"echo ba''ck; exit 4\n")
        terminal.expect(b"back")
        assert terminal.end()[0] == 4
        assert terminal.state() == terminal.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_terminal_is_restored_when_we_are_ended(engine: Engine, number: signal.Signals) -> None:
    with Terminal(engine, "run", "-it", "--name", "box", "busybox", "sh") as terminal:
        terminal.expect(b"# ")
        terminal.signal(number)
        code, _ = terminal.end()
        assert code == 128 + number
        assert terminal.state() == terminal.before


def test_terminal_is_restored_when_the_container_is_killed(engine: Engine) -> None:
    with Terminal(engine, "run", "-it", "--name", "box", "busybox", "sh") as terminal:
        terminal.expect(b"# ")
        assert pymachine(engine, "container", "kill", "box").code == 0
        code, _ = terminal.end()
        assert code == 137
        assert terminal.state() == terminal.before


def test_exec_it(engine: Engine) -> None:
    pymachine(engine, "run", "-d", "--name", "box", "busybox", "sleep", "60")
    with Terminal(engine, "exec", "-it", "box", "sh", size=(33, 101)) as terminal:
        terminal.expect(b"# ")
        terminal.keys(b"stty size; exit 6\n")
        terminal.expect(b"33 101")
        assert terminal.end()[0] == 6
        assert terminal.state() == terminal.before
