"""The local driver's decisions: subnets, addresses, mirrors, resolvers, and what the bundle says."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import pytest

from machine.drivers import base
from machine.drivers.local_apt import source_lines
from machine.drivers.local_bundle import HostBundle, hierarchies
from machine.drivers.local_files import resolver
from machine.drivers.local_network import Bridge, choose_address, choose_subnet, hardware_address
from machine.errors import Conflict, Usage
from machine.store.store import Store

GATEWAY = ipaddress.IPv4Interface("10.89.0.1/24")


def test_the_first_subnet_is_taken_unless_it_is_routed() -> None:
    assert str(choose_subnet(["default", "192.168.1.0/24"], None)) == "10.89.0.0/24"
    assert str(choose_subnet(["10.89.0.128/25", "10.89.1.7"], None)) == "10.89.2.0/24"
    assert str(choose_subnet(["0.0.0.0/0", "unreachable"], None)) == "10.89.0.0/24"
    with pytest.raises(Conflict, match="remove a route"):
        choose_subnet(["10.0.0.0/8"], None)


def test_the_subnet_of_before_is_preferred() -> None:
    assert str(choose_subnet([], "10.89.7.0/24")) == "10.89.7.0/24"
    assert str(choose_subnet(["10.89.7.0/24"], "10.89.7.0/24")) == "10.89.0.0/24"


def test_addresses() -> None:
    assert choose_address(GATEWAY, [], "") == "10.89.0.2"
    assert choose_address(GATEWAY, ["10.89.0.2", "10.89.0.4"], "") == "10.89.0.3"
    assert choose_address(GATEWAY, ["10.89.0.2"], "10.89.0.9") == "10.89.0.9"
    assert choose_address(GATEWAY, ["10.89.0.9"], "10.89.0.9") == "10.89.0.2"
    assert choose_address(GATEWAY, [], "10.88.0.9") == "10.89.0.2"
    with pytest.raises(Conflict, match="all addresses"):
        choose_address(GATEWAY, [f"10.89.0.{n}" for n in range(2, 255)], "")


def test_hardware_addresses_follow_ip_addresses() -> None:
    assert hardware_address("10.89.0.255") == "02:50:0a:59:00:ff"


def test_interface_names_fit() -> None:
    assert len(Bridge("0123abcd").name) <= 15


def debian(tmp_path: Path, name: str, text: str, identity: str = "debian") -> list[str]:
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "os-release").write_text(f"NAME=x\nID={identity}\n")
    (tmp_path / "apt" / name).write_text(text)
    return source_lines("bookworm", tmp_path)


DEB822 = """\
Types: deb deb-src
URIs: http://near.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://near.example/debian-security
Suites: trixie-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie
"""


def test_the_laptops_mirror_in_both_formats(tmp_path: Path) -> None:
    expected = [
        "deb http://near.example/debian bookworm main",
        "deb http://near.example/debian bookworm-updates main",
        "deb http://near.example/debian-security bookworm-security main",
    ]
    assert debian(tmp_path / "a", "sources.list.d/debian.sources", DEB822) == expected
    lines = (
        "# deb http://off.example/debian trixie main\n"
        "deb [signed-by=/x.gpg arch=amd64] http://near.example/debian trixie main contrib\n"
        "deb-src http://src.example/debian trixie main\n"
        "deb http://near.example/debian-security trixie-security main\n"
        "deb https://other.example/apt cloud-sdk main\n"
    )
    assert debian(tmp_path / "b", "sources.list", lines) == expected


def test_others_leave_the_mirror_to_mmdebstrap(tmp_path: Path) -> None:
    assert debian(tmp_path, "sources.list", "deb http://near.example/ubuntu noble main\n", "ubuntu") == []
    assert source_lines("bookworm", tmp_path / "nowhere") == []


def test_a_loopback_resolver_is_replaced_by_its_upstream(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\nsearch lan\n")
    upstream = tmp_path / "run/systemd/resolve/resolv.conf"
    assert resolver(tmp_path, tmp_path / "run").startswith("# the laptop has no name server")
    upstream.parent.mkdir(parents=True)
    upstream.write_text("# made\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch lan\n")
    assert (
        resolver(tmp_path, tmp_path / "run") == "nameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch lan\n"
    )


HYBRID = "9:name=systemd:/\n8:pids:/\n7:rdma:/\n1:cpu,cpuacct:/user\n0::/init.scope\n"
MOUNTED = """\
24 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 30 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
32 30 0:28 / /sys/fs/cgroup/pids rw shared:5 - cgroup cgroup rw,pids
33 30 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


def bundle(cgroups: str) -> dict[str, object]:
    made = HostBundle(
        hostname="dev1",
        lower=Path("/cache/root"),
        upper=Path("/m/upper"),
        work=Path("/m/work"),
        data=Path("/m/data"),
        cgroup="/pymachine-dev1-x",
        hierarchies=hierarchies(cgroups, MOUNTED),
    )
    document: dict[str, object] = json.loads(made.config())
    return document


def test_version_1_hierarchies_are_mounted_beside_version_2() -> None:
    def cgroups(text: str) -> dict[str, str]:
        mounts = bundle(text)["mounts"]
        assert isinstance(mounts, list)
        return {m["destination"]: m["options"][-1] for m in mounts if m["type"].startswith("cgroup")}

    assert cgroups("0::/user.slice\n") == {"/sys/fs/cgroup": "rw"}
    assert hierarchies(HYBRID, "34 30 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n") == ()
    assert cgroups(HYBRID) == {
        "/sys/fs/cgroup": "rw",
        "/run/cgroup1/cpu,cpuacct": "cpu,cpuacct",
        "/run/cgroup1/pids": "pids",
        "/run/cgroup1/systemd": "none,name=systemd",
    }


def test_the_laptops_own_things_are_out_of_reach() -> None:
    linux = bundle(HYBRID)["linux"]
    assert isinstance(linux, dict)
    assert {n["type"] for n in linux["namespaces"]} == {"mount", "pid", "uts", "ipc", "network", "cgroup"}
    assert "/proc/sys" in linux["readonlyPaths"] and "/proc/kcore" in linux["maskedPaths"]
    rules = linux["resources"]["devices"]
    assert rules[0] == {"allow": False, "access": "rwm"}
    opened = {(r["type"], r["major"], r.get("minor")) for r in rules if r["access"] == "rwm" and r["allow"]}
    assert opened == {
        *(("c", 1, n) for n in (3, 5, 7, 8, 9)),
        *(("c", 5, n) for n in (0, 1, 2)),
        ("c", 136, None),
        ("c", 10, 229),
        ("c", 10, 200),
    }


def test_a_driver_of_somebodys_own_is_found_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "theirs-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[pymachine.drivers]\ntheirs = machine.drivers.ssh:driver\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert base.get("theirs", Store(tmp_path)).name == "ssh"
    with pytest.raises(Usage, match="aws, local, ssh, theirs"):
        base.get("ours", Store(tmp_path))


def test_an_unknown_driver_names_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(Usage, match=r'no driver "azure"\. There is: aws, local'):
        base.get("azure", Store(tmp_path))


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="no option size"):
        base.get("local", Store(tmp_path)).check_order({"size": "big"})
