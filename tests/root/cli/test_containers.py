"""Container commands with pipes, on dockerd and on our engine."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.root.cli.pymachine import command, pymachine
from tests.servers.engine import Engine

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("args", "code", "err"),
    [
        (["sh", "-c", "exit 7"], 7, ""),
        (["nosuch"], 127, "executable file not found"),
        (["/etc"], 126, "/etc"),
    ],
)
def test_exit_codes(engine: Engine, args: list[str], code: int, err: str) -> None:
    done = pymachine(engine, "run", "--rm", "busybox", *args)
    assert (done.code, err in done.err) == (code, True), done
    assert ("error:" in done.err) == bool(err)


def test_refused_is_125(engine: Engine) -> None:
    done = pymachine(engine, "run", "--pull", "never", "nosuch:1")
    assert done.code == 125
    assert "pymachine pull nosuch:1" in done.err


def test_streams_are_apart_and_stdin_half_closes(engine: Engine) -> None:
    big = b"x" * 3_000_000
    done = pymachine(engine, "run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo bad >&2", stdin=big)
    assert (done.code, len(done.out), done.err) == (0, len(big), "bad\n")


def test_detached_life(engine: Engine) -> None:
    made = pymachine(
        engine, "run", "-d", "--name", "web", "-l", "a=b", "busybox", "sh", "-c", "echo up; sleep 60"
    )
    assert (made.code, len(made.out)) == (0, 65), made
    listed = pymachine(engine, "ps", "--format", "{{.Names}} {{.State}} {{.Image}} {{.Labels}}")
    assert listed.out == "web running busybox a=b\n"
    assert pymachine(engine, "ps", "-q").out == made.out[:12] + "\n"
    assert json.loads(pymachine(engine, "ps", "--json").out)["Names"] == "web"
    assert pymachine(engine, "exec", "web", "sh", "-c", "echo out; echo err >&2; exit 3").code == 3
    assert pymachine(engine, "exec", "-i", "web", "cat", stdin=b"hi").out == "hi"
    # dockerd 26.1 itself reports 126 here, later ones and ours 127.
    assert pymachine(engine, "exec", "web", "nosuch").code == engine.docker("exec", "web", "nosuch").code
    assert pymachine(engine, "logs", "web").out == "up\n"
    state = pymachine(engine, "container", "inspect", "-f", "{{.State.Running}} {{.Name}}", "web")
    assert state.out == "true /web\n"
    refused = pymachine(engine, "container", "rm", "web")
    assert (refused.code, "container rm -f web" in refused.err) == (1, True)
    taken = pymachine(engine, "run", "--name", "web", "busybox")
    assert (taken.code, "pymachine container rm web" in taken.err) == (125, True), taken
    assert pymachine(engine, "container", "stop", "-t", "0", "web", "ghost").code == 1
    assert pymachine(engine, "container", "wait", "web").out == "137\n"
    assert pymachine(engine, "container", "start", "web").out == "web\n"
    assert pymachine(engine, "container", "rm", "-f", "web").out == "web\n"
    assert pymachine(engine, "ps", "-a").out.splitlines()[1:] == []


def test_signals_are_passed_on(engine: Engine) -> None:
    script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        command(engine, "run", "--rm", "busybox", "sh", "-c", script),
        stdout=subprocess.PIPE,
        env=engine.environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (5, b"caught\n")


def test_images(engine: Engine) -> None:
    assert pymachine(engine, "tag", "busybox", "again:1").code == 0
    listed = pymachine(engine, "images", "--format", "{{.Repository}}:{{.Tag}}")
    assert set(listed.out.split()) == {"busybox:latest", "again:1"}
    saved = subprocess.run(
        command(engine, "save", "again:1"), stdout=subprocess.PIPE, env=engine.environment, check=True
    ).stdout
    assert "Untagged: again:1" in pymachine(engine, "rmi", "again:1").out
    loaded = pymachine(engine, "load", stdin=saved)
    assert "Loaded image: again:1" in loaded.out, loaded
    assert json.loads(pymachine(engine, "image", "inspect", "again:1").out)[0]["RepoTags"]
    assert pymachine(engine, "rmi", "again:1").code == 0
    missing = pymachine(engine, "rmi", "ghost")
    assert (missing.code, "No such image" in missing.err) == (1, True)


def test_push_and_pull(engine: Engine) -> None:
    name = "127.0.0.1:5000/app:1"
    pymachine(engine, "tag", "busybox", name)
    pushed = pymachine(engine, "push", name)
    assert (pushed.code, "digest: sha256:" in pushed.out) == (0, True), pushed
    pymachine(engine, "rmi", name)
    ran = pymachine(engine, "run", "--rm", name, "echo", "pulled")
    assert (ran.code, ran.out) == (0, "pulled\n"), ran
    assert "pulling" in ran.err
    assert pymachine(engine, "pull", name).out == name + "\n"
    gone = pymachine(engine, "pull", "127.0.0.1:5000/nothing:1")
    assert (gone.code, gone.out) == (1, ""), gone
    pymachine(engine, "rmi", name)
