"""User-defined networks: made, listed, looked at, removed; what cannot be."""

from __future__ import annotations

import json
import re

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

SHOWN = (
    "{{.Name}} {{.Driver}} {{.Scope}} {{.EnableIPv6}} {{.Internal}} {{.Attachable}} {{.Ingress}} "
    "{{json .Options}} {{json .Labels}} {{json .IPAM}} {{json .Containers}}"
)


def test_networks_that_are_made(both: tuple[Engine, Engine], same: Same) -> None:
    same("network", "create", "plain")
    same("network", "create", "--subnet", "10.77.0.0/24", "--gateway", "10.77.0.254", "--label", "a=b", "cut")
    same(
        "network", "create", "--subnet", "10.78.0.0/16", "--ip-range", "10.78.5.0/24", "--internal", "closed"
    )
    same("network", "create", "--attachable", "-o", "com.docker.network.driver.mtu=1400", "odd")
    same("network", "inspect", "-f", SHOWN, "cut", "closed")
    same("network", "inspect", "-f", SHOWN, "none", "host")
    same("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}")
    same("network", "ls", "--filter", "label=a", "--format", "{{.Name}}")
    same("network", "ls", "--filter", "name=^c", "--filter", "driver=bridge", "--format", "{{.Name}}")
    same("network", "ls", "--filter", "type=builtin", "--format", "{{.Name}}")
    same("network", "ls", "--filter", "dangling=true", "--format", "{{.Name}}")
    same("network", "ls", "--filter", "type=odd")
    same("network", "rm", "plain", "ghost")
    # dockerd has them in any order.
    pruned = [engine.ok("network", "prune", "--force", "--filter", "label!=a") for engine in both]
    assert sorted(pruned[1].splitlines()) == sorted(pruned[0].splitlines())
    same("network", "ls", "--format", "{{.Name}}")


@pytest.mark.parametrize(
    "arguments",
    [
        ["bridge"],
        ["none"],
        ["taken"],
        ["-d", "host", "x"],
        ["-d", "overlay", "x"],
        # dockerd looks for a plugin for 15 seconds.
        pytest.param(["--ipam-driver", "nope", "x"], marks=pytest.mark.long),
        pytest.param(["-d", "nope", "x"], marks=pytest.mark.long),
        ["--subnet", "10.79.0.0/16", "x"],
        ["--subnet", "10.80.0.1/16", "x"],
        ["--subnet", "10.80.0.0/16", "--gateway", "10.81.0.1", "x"],
        ["--subnet", "10.80.0.0/16", "--ip-range", "10.81.0.0/24", "x"],
        ["--subnet", "10.80.0.0/16", "--aux-address", "a=10.81.0.1", "x"],
        ["--subnet", "10.80.0.0/16", "--subnet", "10.81.0.0/16", "x"],
        ["--subnet", "nonsense", "x"],
    ],
)
def test_networks_that_cannot_be(same: Same, arguments: list[str]) -> None:
    same("network", "create", "--subnet", "10.79.0.0/16", "taken")
    same("network", "create", *arguments)
    same("network", "rm", "bridge")
    same("network", "ls", "--format", "{{.Name}}")


def test_a_subnet_of_its_own(engine: Engine) -> None:
    engine.ok("network", "create", "one")
    engine.ok("network", "create", "two")
    found = [
        json.loads(engine.ok("network", "inspect", "-f", "{{json .IPAM.Config}}", name))[0]["Subnet"]
        for name in ("bridge", "one", "two")
    ]
    assert len({*found}) == 3
    assert all(re.match(r"172\.(1[7-9]|2\d|3[01])\.0\.0/16", subnet) for subnet in found)
