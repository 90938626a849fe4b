"""Bind mounts, tmpfs, and the files that the engine puts into every container."""

from __future__ import annotations

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]


def test_a_missing_source_of_a_mount(same: Same) -> None:
    """`--mount` refuses it, at create already; `-v` makes it."""
    same("create", "--mount", "type=bind,src=SHARE/missing,dst=/data", "busybox")
    same("run", "--rm", "-v", "SHARE/made/below:/data", "busybox", "stat", "-c", "%U %a", "/data")


def test_two_mounts_in_one_place(same: Same) -> None:
    same("create", "-v", "SHARE:/data", "--tmpfs", "/data", "busybox")
    same("create", "-v", "SHARE:/data", "-v", "SHARE:/data/", "busybox")


def test_a_read_only_root_has_read_only_files(same: Same) -> None:
    script = "for name in hosts hostname resolv.conf; do echo x > /etc/$name; done"
    same("run", "--rm", "--read-only", "busybox", "sh", "-c", script)


def test_cgroups_have_their_usual_names(same: Same) -> None:
    same("run", "--rm", "busybox", "ls", "/sys/fs/cgroup")


def test_a_host_name_with_dots(engine: Engine) -> None:
    shown = engine.ok(
        "run", "--rm", "--hostname", "box.example.org", "busybox", "tail", "-n", "1", "/etc/hosts"
    )
    assert shown.split()[1:] == ["box.example.org", "box"]


def test_mac_address(same: Same) -> None:
    same("run", "--rm", "--mac-address", "02:42:ac:11:00:99", "busybox", "cat", "/sys/class/net/eth0/address")


def test_bind_targets_among_the_volumes(engine: Engine) -> None:
    """docker-py names them in both places."""
    host = {"Binds": [f"{engine.share}:/data:ro"]}
    body = {"Image": "busybox", "Volumes": {"/data": {}}, "HostConfig": host}
    assert engine.api("POST", "/v1.44/containers/create", body).status == 201
