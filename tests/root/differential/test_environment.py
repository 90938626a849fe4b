"""Environment, user, groups and working directory of what runs inside."""

from __future__ import annotations

import os

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]


def test_order_of_the_environment(both: tuple[Engine, Engine], same: Same) -> None:
    """A known name keeps its place, a new one comes last, HOME behind them all."""
    # By the API: the docker CLI sends what -e gives in any order.
    for number, (user, env) in enumerate([("", ["Z=1", "A=2"]), ("www", ["PATH=/bin", "B=1"])]):
        name = f"env{number}"
        body = {"Image": "busybox", "Cmd": ["env"], "Hostname": "box", "User": user, "Env": env}
        for engine in both:
            assert engine.api("POST", f"/v1.44/containers/create?name={name}", body).status == 201
            assert engine.ok("start", "-a", name)
        same("logs", name)
    same("run", "-d", "--name", "box", "--hostname", "box", "-e", "A=1", "busybox", "sleep", "60")
    same("exec", "-e", "N=1", "-e", "A=2", "box", "env")


@pytest.mark.parametrize("user", ["", "0", "root", "www", "www:staff", "1234", "1234:5678", ":50", "33:50"])
def test_the_primary_group_is_one_of_the_groups(same: Same, user: str) -> None:
    same("run", "--rm", *(["-u", user] if user else []), "busybox", "id")


@pytest.mark.parametrize("user", ["ghost", "www:ghosts", "99999999999"])
def test_an_unknown_user(same: Same, user: str) -> None:
    same("run", "--rm", "-u", user, "busybox", "true")


def test_a_missing_working_directory_is_made(same: Same) -> None:
    same("run", "--rm", "-w", "/a/b/c", "busybox", "sh", "-c", "pwd; stat -c '%U %a' /a /a/b /a/b/c")
    same("run", "--rm", "-w", "/a/../b/", "-u", "www", "busybox", "pwd")
    same("run", "--rm", "-w", "relative", "busybox", "pwd")


@pytest.mark.parametrize("command", ["/etc", "/etc/passwd", "nosuch", "/no/such", ""])
def test_what_is_no_program(same: Same, command: str) -> None:
    same("run", "--rm", "busybox", command)


def test_capabilities(same: Same) -> None:
    same("run", "--rm", "--cap-add", "NOPE", "busybox", "true")
    same("run", "--rm", "--cap-drop", "nope", "busybox", "true")
    same("run", "--rm", "busybox", "sh", "-c", "mknod /tmp/tun c 10 200 && cat /tmp/tun")


def test_names_with_quotes_and_names_that_are_too_long(same: Same) -> None:
    same("run", "--rm", "--entrypoint", '["a\\b"]', "busybox", "x")
    same("run", "--rm", "-h", "a" * 65, "busybox", "true")


def test_the_list_of_mounts_has_its_old_name(both: tuple[Engine, Engine], same: Same) -> None:
    """/etc/mtab is in every container, and neither a change of its files nor in what is made from them."""
    same("run", "--name", "ran", "--read-only", "busybox", "sh", "-c", "readlink /etc/mtab; ls -ld /etc")
    same("diff", "ran")
    same("ps", "-as", "--format", "{{.Size}}")
    same("create", "--name", "made", "busybox", "true")
    same("cp", "made:/etc/mtab", "SHARE/mtab")
    assert [os.readlink(engine.share / "mtab") for engine in both] == ["/proc/mounts"] * 2
    same("diff", "made")
    same("ps", "-as", "--format", "{{.Size}}")
    same("commit", "-c", "CMD true", "ran", "committed")
    same("history", "--format", "{{.Size}}", "committed")
    same("run", "--rm", "--tmpfs", "/etc", "busybox", "ls", "/etc/mtab")
    same("run", "--name", "own", "busybox", "ln", "-sf", "/elsewhere", "/etc/mtab")
    same("start", "-a", "own")
