"""login, logout, pull and push of all tags, image prune, on dockerd and on our engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.root.cli.pymachine import pymachine
from tests.servers.engine import Engine

pytestmark = pytest.mark.root

REGISTRY = "127.0.0.1:5000"


def test_login_and_logout(engine: Engine) -> None:
    config = Path(engine.environment["DOCKER_CONFIG"]) / "config.json"
    done = pymachine(engine, "login", "-u", "me", "--password-stdin", REGISTRY, stdin=b"secret\n")
    assert (done.code, done.out) == (0, "Login Succeeded\n"), done
    assert REGISTRY in json.loads(config.read_text())["auths"]
    assert engine.docker("logout", REGISTRY).out == f"Removing login credentials for {REGISTRY}\n"
    assert pymachine(engine, "logout", REGISTRY).out == f"Not logged in to {REGISTRY}\n"
    unreachable = pymachine(engine, "login", "-u", "me", "-p", "x", "127.0.0.1:9")
    assert (unreachable.code, "ps, the shell" in unreachable.err) == (1, True), unreachable


def test_all_tags(engine: Engine) -> None:
    names = [f"{REGISTRY}/tags:{number}" for number in range(3)]
    for name in names:
        engine.ok("tag", "busybox", name)
    pushed = pymachine(engine, "push", "-a", f"{REGISTRY}/tags")
    assert (pushed.code, pushed.out.count("digest: sha256:")) == (0, 3), pushed
    engine.ok("rmi", *names)
    assert pymachine(engine, "pull", "-a", f"{REGISTRY}/tags").out == f"{REGISTRY}/tags\n"
    assert pymachine(engine, "rmi", *names).code == 0
    refused = pymachine(engine, "push", "-a", names[0])
    assert (refused.code, "exclude each other" in refused.err) == (2, True), refused


def test_prune(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    image = pymachine(engine, "build", "-q", str(tmp_path)).out.strip()
    refused = pymachine(engine, "image", "prune")
    assert (refused.code, "nobody to ask" in refused.err) == (2, True), refused
    done = pymachine(engine, "image", "prune", "-f")
    assert f"deleted: {image}" in done.out, done
    engine.ok("tag", "busybox", "spare:1")
    assert "spare:1" not in pymachine(engine, "image", "prune", "-f").out
    assert pymachine(engine, "images", "--digests", "-f", "reference=spare", "--json").code == 0
