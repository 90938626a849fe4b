"""Compose 1.29 and Compose v2 find the same engine in ours as in dockerd: the same things are made and printed."""

from __future__ import annotations

import pytest

from tests.root.compose.conftest import Open, Pair
from tests.root.compose.landscape import agree, identities, landscape

pytestmark = [pytest.mark.root, pytest.mark.peer]

_SHOP = """\
version: "2.4"
services:
  db:
    image: busybox
    init: true
    command: sh -c "touch /ready; exec sleep 1000"
    healthcheck: {test: ["CMD", "test", "-e", "/ready"], interval: 300ms, retries: 30}
    volumes: ["data:/data"]
    networks: {back: {aliases: [database]}}
    stop_grace_period: 1s
  once:
    image: busybox
    command: "true"
    network_mode: none
  web:
    build: {context: app, args: {WHO: me}}
    image: shop/web
    command: sh -c "echo started; exec sleep 1000"
    init: true
    hostname: front
    domainname: example.org
    environment: {A: "1"}
    labels: {x.y: z}
    ports: ["8088:80", "9000"]
    depends_on: {db: {condition: service_healthy}}
    networks: [back, front]
    links: ["db:linked"]
    volumes: ["./src:/src:ro", "/anonymous"]
    restart: unless-stopped
    mem_limit: 64m
    ulimits: {nofile: {soft: 1000, hard: 2000}}
    sysctls: {net.core.somaxconn: "1024"}
    extra_hosts: ["other:192.0.2.7"]
    tmpfs: ["/t:size=1m"]
    stop_grace_period: 1s
  beside:
    image: busybox
    command: sleep 1000
    init: true
    network_mode: "service:web"
    stop_grace_period: 1s
networks: {back: {internal: true}, front: {labels: {q: r}}}
volumes: {data: {labels: {k: v}}}
"""
_FILES = {
    "compose.yml": _SHOP,
    "src/file": "hello\n",
    "app/Dockerfile": "FROM busybox\nARG WHO\nRUN echo hello $WHO > /greeting\nVOLUME /declared\n",
}


def _settled(pair: Pair) -> str:
    """What both engines have now, which is the same."""
    theirs, ours = (landscape(project) for project in pair.each())
    agree(theirs, ours)
    return ours


def _changes_nothing(pair: Pair, *argv: str) -> None:
    before = [identities(project) for project in pair.each()]
    pair.same(*argv)
    assert [identities(project) for project in pair.each()] == before


def test_the_life_of_a_project(pair: Open) -> None:
    """Up, again with nothing changed, looked at from all sides, scaled, made anew, down."""
    shop = pair(_FILES)
    for project in shop.each():
        project.ok("build")
    shop.same("up", "-d")
    assert "shop_back" in _settled(shop)
    _changes_nothing(shop, "up", "-d")
    shop.same("ps", "-a")
    shop.same("logs", "web")
    shop.same("port", "web", "80")
    looks = "cat /src/file /greeting; hostname; echo $A $B; "
    looks += ">/dev/null ping -c1 -w5 database && >/dev/null ping -c1 -w5 linked && echo found"
    leaves = "echo kept > /anonymous/file; echo kept > /declared/file"
    shop.same("exec", "-T", "-e", "B=2", "web", "sh", "-c", f"{looks}; {leaves}")
    shop.same("exec", "-T", "beside", "sh", "-c", "hostname; echo $HOSTNAME")
    shop.same("run", "--rm", "web", "echo", "hi")
    shop.same("up", "-d", "--scale", "db=2")
    _settled(shop)
    shop.same("up", "-d", "--force-recreate", "--no-deps", "web")
    shop.same("exec", "-T", "web", "cat", "/anonymous/file", "/declared/file")
    shop.same("stop", "-t", "1")
    shop.same("start", "db")
    shop.same("down", "-v")
    assert "shop_data" not in _settled(shop)


_FAILING = {
    "sick.yml": """\
services:
  sick:
    image: busybox
    command: sleep 1000
    init: true
    healthcheck: {test: "exit 3", interval: 200ms, retries: 2, start_period: 0s}
  needs: {image: busybox, command: sleep 1000, depends_on: {sick: {condition: service_healthy}}}
""",
    "failed.yml": """\
services:
  fails: {image: busybox, command: "false"}
  needs: {image: busybox, command: sleep 1000, depends_on: {fails: {condition: service_completed_successfully}}}
""",
    "missing.yml": "services: {a: {image: busybox, command: nosuchprogram}}\n",
    "code.yml": """\
services:
  a: {image: busybox, command: sh -c 'echo out; exit 7'}
""",
    "external.yml": "services: {a: {image: busybox, networks: [x]}}\nnetworks: {x: {external: true}}\n",
    "address.yml": """\
services:
  a: {image: busybox, networks: {n: {ipv4_address: 10.9.0.1}}}
networks: {n: {ipam: {config: [{subnet: 10.8.0.0/24}]}}}
""",
}


def test_what_does_not_come_up(pair: Open) -> None:
    """Conditions that are not met, programs that fail, and things that are not there are told in the same words."""
    shop = pair(_FAILING)
    # A command of Compose 1.29 takes a second.
    names = ["failed", "missing"] + ["sick", "external", "address"] * (shop.ours.client.name == "v2")
    for name in names:
        shop.same("-f", f"{name}.yml", "up", "-d")
    shop.same("-f", "code.yml", "up", "--exit-code-from", "a")
    shop.same("-f", "code.yml", "run", "--rm", "a")


def test_secrets_configs_and_profiles(pair: Open) -> None:
    shop = pair(
        {
            "pw": "secret\n",
            "cfg": "configured\n",
            "env": "X=1\nY=two words\n",
            "compose.yml": """\
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    read_only: true
    user: "33"
    secrets: [pw]
    configs: [{source: cfg, target: /cfg}]
    env_file: [./env]
    cap_add: [NET_ADMIN]
    security_opt: ["no-new-privileges:true"]
    networks: {n: {ipv4_address: 10.77.0.9}}
    volumes:
      - {type: volume, source: v, target: /v, volume: {nocopy: true}}
      - {type: tmpfs, target: /tt, tmpfs: {size: 1000000}}
  extra:
    image: busybox
    command: sleep 1000
    init: true
    profiles: [more]
    networks: [n]
    deploy: {resources: {limits: {memory: 50M, cpus: "0.25"}}}
networks: {n: {ipam: {config: [{subnet: 10.77.0.0/24, gateway: 10.77.0.1}]}, labels: [a=b]}}
volumes: {v: {name: memory, driver_opts: {type: tmpfs, device: tmpfs, o: size=1m}}}
secrets: {pw: {file: ./pw}}
configs: {cfg: {file: ./cfg}}
""",
        }
    )
    shop.same("up", "-d")
    files = "/run/secrets/pw" + ("" if shop.ours.client.name == "v1" else " /cfg")
    shop.same("exec", "-T", "app", "sh", "-c", f"cat {files}; id -u; echo $X $Y; df /v | tail -1")
    _settled(shop)
    shop.same("--profile", "more", "up", "-d")
    _settled(shop)
    _changes_nothing(shop, "--profile", "more", "up", "-d")


@pytest.mark.parametrize("client", ["v2"], indirect=True)
def test_waiting_and_what_only_v2_has(pair: Open) -> None:
    shop = pair(
        {
            "compose.yml": """\
services:
  a: {image: busybox, command: sleep 1000, init: true, healthcheck: {test: ["CMD", "true"], interval: 300ms}}
""",
        }
    )
    shop.same("up", "-d", "--wait")
    shop.same("ps", "--format", "{{.Name}} {{.Status}}")
    shop.same("cp", "compose.yml", "a:/tmp/")
    shop.same("exec", "-T", "a", "ls", "/tmp")
    shop.same("ls")
    shop.same("images", "-q")
