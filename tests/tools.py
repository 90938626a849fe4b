"""What tests need from the machine: named with its Debian package, and never skipped silently in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

IN_CI = os.environ.get("CI", "") not in ("", "0", "false")


def unavailable(what: str) -> NoReturn:
    """This test cannot run here: a failure in CI, a visible skip on a developer's machine."""
    if IN_CI:
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


def need(command: str, package: str) -> str:
    """Absolute path of a command; without it the test is unavailable and names the package."""
    path = shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        unavailable(f"this test needs the command {command}: apt-get install {package}")
    return path


def need_root() -> None:
    """Tests that make namespaces need root, as scripts/test has it."""
    if os.geteuid() != 0:
        unavailable("this test makes namespaces: run it as root (scripts/test root)")
