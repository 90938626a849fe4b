"""Files of a build that come from the network: ADD of URLs and of git repositories, and contexts that are not sent."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon
from tests.servers.namespace import children_of

pytestmark = pytest.mark.root

PORT = 8099
WEB = f"http://127.0.0.1:{PORT}"
MOMENT = 1_000_000_000


@contextmanager
def web(engine: Engine) -> Iterator[Path]:
    """A web server beside the engine; its files."""
    top = engine.share / "web"
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir()
    argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(top), str(PORT)]
    server = subprocess.Popen(
        engine.namespace.command(argv), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_it_listens(engine)
        yield top
    finally:
        for child in children_of(server.pid) or [server.pid]:  # a wrapper passes no signal on
            os.kill(child, signal.SIGTERM)
        server.wait()


def _wait_until_it_listens(engine: Engine) -> None:
    deadline = time.monotonic() + 15
    ask = f"import socket; socket.create_connection(('127.0.0.1', {PORT})).close()"
    while subprocess.run(
        engine.namespace.command([sys.executable, "-c", ask]), check=False, capture_output=True
    ).returncode:
        assert time.monotonic() < deadline


def repository(top: Path) -> None:
    """A bare repository `r.git` with a branch, a tag and a folder."""
    work = top / "work"
    script = """
        git init -q -b main . && mkdir sub && echo one > sub/f && echo top > f
        printf 'FROM busybox\\nCOPY f /git\\n' > sub/Dockerfile
        git add . && git commit -q -m 1 && git tag v1
        git checkout -q -b other && echo two > sub/f && git commit -q -a -m 2 && git checkout -q main
        git clone -q --bare . ../r.git && cd ../r.git && git update-server-info
    """
    work.mkdir()
    names = {
        f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(work), **names}
    subprocess.run(["sh", "-ec", script], cwd=work, check=True, env=environment, capture_output=True)


def test_files_by_http(both: tuple[Engine, Engine]) -> None:
    told: list[str] = []
    for engine in both:
        with web(engine) as top:
            (top / "f").write_text("content")
            (top / "t.tar").write_bytes(b"\0" * 10240)
            subprocess.run(["touch", "-d", f"@{MOMENT}", str(top / "f")], check=True)
            text = f"FROM busybox\nADD {WEB}/f {WEB}/t.tar /d/\nADD {WEB}/f /g\nADD --chown=33 {WEB}/f?query /h/\n"
            engine.ok("build", "-t", "made", "-", stdin=text)
            script = "stat -c '%n %a %u %g %Y' /d/f /g /h/*; cat /d/f; ls /d"
            told.append(engine.ok("run", "--rm", "made", "sh", "-c", script))
            again = engine.ok("build", "-", stdin=text)
            assert again.count("Using cache") == 3
            (top / "f").write_text("other")
            assert engine.ok("build", "-", stdin=text).count("Using cache") == 0
            missing = engine.docker("build", "-", stdin=f"FROM busybox\nADD {WEB}/nothing /\n")
            assert (missing.code, "ADD failed: failed to GET" in missing.err) == (1, True)
    assert told[1] == told[0]


def test_checksums(daemon: Daemon) -> None:
    engine = daemon.engine
    with web(engine) as top:
        (top / "f").write_text("content")
        right = hashlib.sha256(b"content").hexdigest()
        line = "FROM busybox\nADD --checksum=sha256:{} {}/f /\n"
        engine.ok("build", "-", stdin=line.format(right, WEB))
        wrong = engine.docker("build", "-", stdin=line.format("0" * 64, WEB))
        assert (wrong.code, f"it is sha256:{right}" in wrong.err) == (1, True)


def test_git(daemon: Daemon) -> None:
    engine = daemon.engine
    with web(engine) as top:
        repository(top)
        text = (
            f"FROM busybox\nADD {WEB}/r.git /all\nADD {WEB}/r.git#other:sub /other/\n"
            f"ADD --keep-git-dir=true {WEB}/r.git#v1 /kept\n"
        )
        engine.ok("build", "-t", "made", "-", stdin=text)
        script = "cat /all/f /all/sub/f /other/f /kept/sub/f; ls -A /all; ls -d /kept/.git"
        assert engine.ok("run", "--rm", "made", "sh", "-c", script).splitlines() == (
            ["top", "one", "two", "one", "f", "sub", "/kept/.git"]
        )
        missing = engine.docker("build", "-", stdin=f"FROM busybox\nADD {WEB}/r.git#nothing /all\n")
        assert (missing.code, "r.git has no nothing" in missing.err) == (1, True)


def test_contexts_that_are_not_sent(daemon: Daemon) -> None:
    engine = daemon.engine
    with web(engine) as top:
        repository(top)
        (top / "Dockerfile").write_text("FROM busybox\nCOPY . /c\n")
        subprocess.run(["tar", "-C", str(top), "-czf", str(top / "c.tar.gz"), "Dockerfile"], check=True)
        for remote in (f"{WEB}/Dockerfile", f"{WEB}/c.tar.gz"):
            answer = engine.api("POST", f"/v1.44/build?t=made&remote={remote}")
            assert (answer.status, "Successfully built" in str(answer.body)) == (200, True), answer
            assert engine.ok("run", "--rm", "made", "ls", "/c") == "Dockerfile"
        answer = engine.api("POST", f"/v1.44/build?t=made&remote={WEB}/r.git%23other:sub")
        assert "Successfully built" in str(answer.body), answer
        assert engine.ok("run", "--rm", "made", "cat", "/git") == "two"
        refused = engine.api("POST", "/v1.44/build?remote=ftp://x/y")
        assert (refused.status, refused.message) == (
            400,
            "the context ftp://x/y is neither a git repository nor an http URL",
        )
