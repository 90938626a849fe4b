"""Further processes in a running container."""

from __future__ import annotations

import os

import pytest

from tests.root.runtime.bundle import Bundle, execute, read_all, talk

pytestmark = pytest.mark.root


def test_is_inside_in_every_respect(bundle: Bundle) -> None:
    with bundle.running(bundle.document(["sleep", "100"])) as container:
        assert talk(container) is None
        result = execute(container, ["sh", "-c", "cat /proc/1/cmdline; cat /proc/self/cgroup; exit 6"])
        assert result.code == 6
        assert result.out.startswith("sleep\x00100\x00")
        assert all(line.endswith(":/") for line in result.out.splitlines()[1:])
        for kind in ("mnt", "pid", "uts", "ipc", "net", "cgroup"):
            inside = execute(container, ["stat", "-L", "-c", "%i", f"/proc/self/ns/{kind}"]).out
            assert int(inside) == os.stat(f"/proc/{container.child.pid}/ns/{kind}").st_ino, kind


def test_many_times_with_own_rights(bundle: Bundle) -> None:
    with bundle.running(bundle.document(["sleep", "100"])) as container:
        assert talk(container) is None
        for number in range(5):
            caps = {"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"]}
            result = execute(
                container,
                ["sh", "-c", "id -u; pwd; grep CapEff /proc/self/status"],
                cwd="/etc",
                capabilities=caps,
            )
            assert result.out == "0\n/etc\nCapEff:\t0000000000000001\n", number
        assert execute(container, ["id", "-un"], user={"username": "ann"}).out == "ann\n"


def test_errors(bundle: Bundle) -> None:
    with bundle.running(bundle.document(["sleep", "100"])) as container:
        assert talk(container) is None
        failed = execute(container, ["nosuch"]).failed
        assert failed is not None
        assert failed.message == 'exec: "nosuch": executable file not found in $PATH'
        failed = execute(container, ["true"], cwd="/nosuch").failed
        assert failed is not None
        assert "chdir to cwd" in failed.message


def test_terminal(bundle: Bundle) -> None:
    with bundle.running(bundle.document(["sleep", "100"])) as container:
        assert talk(container) is None
        assert execute(container, ["tty"], terminal=True).out == "/dev/pts/0\r\n"


def test_a_cwd_that_leads_outside_is_refused(bundle: Bundle) -> None:
    with bundle.running(bundle.document(["sleep", "100"])) as container:
        assert talk(container) is None
        for number in range(3, 12):
            failed = execute(container, ["cat", "etc/passwd"], cwd=f"/proc/self/fd/{number}").failed
            assert failed is not None


def test_ends_with_the_container(bundle: Bundle) -> None:
    with bundle.running(bundle.document(["sh", "-c", "sleep 1"])) as container:
        assert talk(container) is None
        result = execute(container, ["sleep", "100"])
        assert result.code == 137
        assert read_all(container.streams["stdout"]) == ""
