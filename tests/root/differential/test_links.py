"""`--link` on the default bridge: hosts, environment, names, and the link's end."""

from __future__ import annotations

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

EXPOSED = ("--expose", "80", "--expose", "8080-8083", "--expose", "53/udp")


def test_what_a_linked_container_tells(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        engine.ok("run", "-d", "--name", "my-db", "-e", "A=1", *EXPOSED, "busybox", "sleep", "60")
        address = engine.inspect("my-db", "{{.NetworkSettings.IPAddress}}")
        ident = engine.inspect("my-db", "{{.Config.Hostname}}")
        engine.ok("run", "-d", "--name", "web", "--link", "my-db:the-db", "busybox", "sleep", "60")
        shown = [
            engine.ok("exec", "web", "sh", "-c", "env | grep DB | sort; grep my-db /etc/hosts"),
            engine.inspect("web", "{{json .HostConfig.Links}}"),
            engine.ok("ps", "--format", "{{.Names}}", "--filter", "name=my-db"),
            engine.ok("exec", "web", "ping", "-c", "1", "-W", "5", "the-db").splitlines()[0],
        ]
        told.append([line.replace(address, "ADDRESS").replace(ident, "HOST") for line in shown])
    assert told[0] == told[1]


def test_a_linked_container_comes_back_elsewhere(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "db", "busybox", "sleep", "60")
    engine.ok("run", "-d", "--name", "web", "--link", "db", "busybox", "sleep", "60")
    engine.ok("stop", "-t", "0", "db")
    engine.ok("run", "-d", "busybox", "sleep", "60")  # may take its address
    engine.ok("start", "db")
    address = engine.inspect("db", "{{.NetworkSettings.IPAddress}}")
    assert engine.ok("exec", "web", "grep", "-w", "db", "/etc/hosts").startswith(f"{address}\t")


def test_links_that_cannot_be(same: Same) -> None:
    same("create", "--name", "off", "busybox", "true")
    same("create", "--name", "away", "--network", "host", "busybox", "true")
    same("run", "--rm", "--link", "ghost:x", "busybox", "true")
    same("run", "--rm", "--link", "a:b:c", "busybox", "true")
    same("run", "--rm", "--link", "away:x", "busybox", "true")
    same("run", "--name", "web", "--link", "off:x", "busybox", "true")


def test_the_end_of_a_link(same: Same) -> None:
    same("run", "-d", "--name", "db", "busybox", "sleep", "60")
    same("run", "-d", "--name", "web", "--link", "db:x", "busybox", "sleep", "60")
    same("rm", "--link", "web")
    same("rm", "--link", "web/ghost")
    same("rm", "--link", "web/x")
    same("ps", "--format", "{{.Names}}")
    same("inspect", "-f", "{{json .HostConfig.Links}}", "web")
