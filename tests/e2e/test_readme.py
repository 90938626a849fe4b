"""The README's commands, as they stand there, run in order by a shell (what takes things away comes last)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.e2e.machine import PYMACHINE, laptop

README = Path(__file__).resolve().parents[2] / "README.md"
LAST = ("pymachine stop", "pymachine rm")
TYPED = {
    "pymachine run --rm -it busybox sh": "exit",
    "pymachine rm dev1": "y",
    "docker run --rm -i busybox cat": "hi",
}
NEEDS_TERMINAL = ("pymachine run --rm -it busybox sh", "pymachine rm dev1")


def commands() -> list[str]:
    """Lines that start with a prompt, without their comments; removals at the end."""
    found = re.findall(r"^\$ (.+?)(?:\s{2,}#.*)?$", README.read_text(), re.MULTILINE)
    return sorted(found, key=lambda command: command.startswith(LAST))


def shell_line(command: str) -> str:
    """With what a person would type into it."""
    line = f"script -qec '{command}' /dev/null" if command in NEEDS_TERMINAL else command
    return f"echo {TYPED[command]} | {line}" if command in TYPED else line


def test_commands_run_as_written(busybox_tar: Path, docker_cli: Path) -> None:
    lines = commands()
    assert len(lines) > 8, "the README lost its commands, or their form"
    with laptop() as made:
        (made.home / "busybox.tar").write_bytes(busybox_tar.read_bytes())
        (made.home / ".ssh").mkdir(mode=0o700)
        # ssh(1) takes the home of the account, not HOME: point it at this laptop's own configuration.
        tools = made.home / "bin"
        tools.mkdir()
        (tools / "ssh").write_text('#!/bin/sh\nexec /usr/bin/ssh -F "$HOME/.ssh/config" "$@"\n')
        (tools / "ssh").chmod(0o755)
        script = "\n".join(["cd ~", *(f"echo '== {n}'\n{shell_line(line)}" for n, line in enumerate(lines))])
        path = f"{tools}:{PYMACHINE.parent}:{docker_cli.parent}:{made.environment['PATH']}"
        done = subprocess.run(
            made.namespace.command(["bash", "-euo", "pipefail", "-c", script]),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            env=made.environment | {"PATH": path},
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.splitlines().count("hi") == 1
        assert made.ok("ls", "-q") == ""
