"""What dockerd's classic builder does not have and BuildKit does: mounts of RUN, heredocs, links, modes and more.
Source of what is expected: the Dockerfile reference."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.servers.engine import Engine, Result
from tests.servers.hostagent import Daemon

pytestmark = pytest.mark.root


def build(engine: Engine, text: str, *options: str, files: dict[str, str] | None = None) -> Result:
    top = engine.share / "context"
    shutil.rmtree(top, ignore_errors=True)
    for name, content in (files or {}).items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    top.mkdir(exist_ok=True)
    (top / "Dockerfile").write_text(text)
    return engine.docker("build", "-t", "made", *options, str(top))


def made(engine: Engine, text: str, *options: str, files: dict[str, str] | None = None) -> str:
    """What it told."""
    done = build(engine, text, *options, files=files)
    assert done.code == 0, done
    return done.out


def shell(engine: Engine, script: str) -> list[str]:
    """Lines that a script says in a container of what was built."""
    return engine.ok("run", "--rm", "--network", "none", "made", "sh", "-c", script).splitlines()


def test_nothing_of_mounts_is_in_the_layer(daemon: Daemon) -> None:
    made(
        daemon.engine,
        "FROM busybox\n"
        "RUN mkdir /there /there/before && ln -s /there /link\n"
        "RUN --mount=type=tmpfs,target=/t/m/p --mount=type=cache,target=/c --mount=type=bind,target=/b/ctx"
        " --mount=type=cache,target=/there/new --mount=type=cache,target=/there/before"
        " --mount=type=cache,target=/link/through --mount=type=tmpfs,target=/kept/m"
        " cat /b/ctx/f > /copied && touch /c/x /kept/own\n",
        files={"f": "content\n"},
    )
    assert shell(
        daemon.engine, "cat /copied; ls -d /t /c /b /b/* /there/* /kept/* /link/* 2>/dev/null; true"
    ) == [
        "content",
        "/kept/own",
        "/link/before",
        "/there/before",
    ]


def test_a_step_that_only_mounts_changes_nothing(daemon: Daemon) -> None:
    made(daemon.engine, "FROM busybox\nRUN --mount=type=cache,target=/new/place true\n")
    layers = ["image", "inspect", "-f", "{{len .RootFS.Layers}}"]
    assert daemon.engine.ok(*layers, "made") == daemon.engine.ok(*layers, "busybox")


def test_binds_of_stages_and_what_is_written_there(daemon: Daemon) -> None:
    made(
        daemon.engine,
        "FROM busybox AS one\nRUN mkdir /d && echo 1 > /d/f\n"
        "FROM busybox\n"
        "RUN --mount=from=one,source=/d,target=/m,rw echo more >> /m/f && cp /m/f /seen\n"
        "RUN --mount=from=one,source=/d/f,target=/file cp /file /again; touch /file 2>/dev/null || touch /refused\n",
    )
    assert shell(daemon.engine, "cat /seen /again; ls /refused; ls -d /m /file 2>/dev/null; true") == [
        "1",
        "more",
        "1",
        "/refused",
    ]


def test_caches_outlive_builds(daemon: Daemon) -> None:
    text = "FROM busybox\nRUN --mount=type=cache,id=outlive,target=/c,mode=0700,uid=33"
    text += " echo x >> /c/n; cp /c/n /n; stat -c '%a %u' /c > /s\n"
    made(daemon.engine, text, "--no-cache")
    made(daemon.engine, text, "--no-cache")
    assert shell(daemon.engine, "cat /n /s") == ["x", "x", "700 33"]
    daemon.engine.ok("builder", "prune", "-f", "--keep-storage", "1GB")
    made(daemon.engine, text, "--no-cache")
    assert shell(daemon.engine, "cat /n /s") == ["x", "x", "x", "700 33"]
    daemon.engine.ok("builder", "prune", "-f")
    made(daemon.engine, text, "--no-cache")
    assert shell(daemon.engine, "cat /n /s") == ["x", "700 33"]


def test_secrets_must_be_given(daemon: Daemon) -> None:
    text = "FROM busybox\nRUN --mount=type=secret,id=s{} cat /run/secrets/s\n"
    assert "secret s: not found" in build(daemon.engine, text.format(",required")).err
    assert build(daemon.engine, text.format("")).code == 1  # it is only missing


def test_heredocs(daemon: Daemon) -> None:
    made(
        daemon.engine,
        "FROM busybox\n"
        "ARG who=world\n"
        "RUN <<EOF\necho one > /one\necho $who >> /one\nEOF\n"
        "RUN <<-EOF\n\techo two > /two\n\tEOF\n"
        "RUN cat <<A > /three && cat <<'B' >> /three\nthree $who\nA\nfour $who\nB\n"
        'RUN <<EOF\n#!/bin/awk -f\nBEGIN { print "five" > "/five" }\nEOF\n'
        "RUN <<EOF awk '{ print $1 }' > /six\nsix words\nEOF\n"
        "COPY <<EOF /seven\nseven $who\nEOF\n"
        "COPY <<'EOF' <<b /dir/\n$who\nEOF\nfile b\nb\n"
        "COPY --chmod=755 --chown=33 <<EOF /eight\n#!/bin/sh\nEOF\n",
    )
    script = "cat /one /two /three /five /six /seven /dir/EOF /dir/b;"
    script += " stat -c '%a %u' /eight; ls -d /dev/pipes 2>/dev/null; true"
    assert shell(daemon.engine, script) == (
        [
            "one",
            "world",
            "two",
            "three world",
            "four $who",
            "five",
            "six",
            "seven world",
            "$who",
            "file b",
            "755 33",
        ]
    )


def test_modes_links_parents_and_exclusions(daemon: Daemon) -> None:
    files = {"a/b/c": "c", "a/b/d": "d", "a/x.tmp": "", "f": "f"}
    made(
        daemon.engine,
        "FROM busybox\n"
        "COPY --chmod=u=rwX,go=rX a /symbolic\n"
        "COPY --chmod=0640 f /octal\n"
        "COPY --link --chown=5:6 f /link/ed/f\n"
        "COPY --link a /link/tree/\n"
        "COPY --parents a/b/c ./a/./b/d /parents/\n"
        "COPY --exclude=*.tmp --exclude=b/d a /excluded\n"
        "ADD --chmod=600 f /added\n",
        files=files,
    )
    script = "stat -c '%a %n' /symbolic /symbolic/b/c /octal /added; stat -c '%u %g %n' /link/ed /link/ed/f;"
    script += " find /link /parents /excluded | sort"
    assert shell(daemon.engine, script) == [
        "755 /symbolic",
        "644 /symbolic/b/c",
        "640 /octal",
        "600 /added",
        "5 6 /link/ed",
        "5 6 /link/ed/f",
        "/excluded",
        "/excluded/b",
        "/excluded/b/c",
        "/link",
        "/link/ed",
        "/link/ed/f",
        "/link/tree",
        "/link/tree/b",
        "/link/tree/b/c",
        "/link/tree/b/d",
        "/link/tree/x.tmp",
        "/parents",
        "/parents/a",
        "/parents/a/b",
        "/parents/a/b/c",
        "/parents/b",
        "/parents/b/d",
    ]


def test_stages_that_nothing_needs_are_not_built(daemon: Daemon) -> None:
    told = made(daemon.engine, "FROM busybox AS a\nRUN exit 1\nFROM busybox\nRUN true\n")
    assert "exit 1" not in told


def test_triggers_of_a_base_may_take_files_from_elsewhere(daemon: Daemon) -> None:
    engine = daemon.engine
    made(
        engine,
        "FROM busybox\nONBUILD COPY --from=busybox /etc/group /from-image\n"
        "ONBUILD COPY --from=stage /f /from-stage\nONBUILD COPY f /from-context\n"
        "ONBUILD ARG A=1\nONBUILD RUN echo $A > /a\n",
    )
    engine.ok("tag", "made", "parent")
    made(
        engine,
        "FROM busybox AS stage\nRUN echo s > /f\nFROM parent\nRUN cat /from-stage > /last\n",
        files={"f": "c\n"},
    )
    assert shell(engine, "cat /from-stage /from-context /a /last; wc -l < /from-image") == [
        "s",
        "c",
        "1",
        "s",
        "4",
    ]
    assert engine.ok("image", "inspect", "-f", "{{json .Config.OnBuild}}", "made") == "null"


def test_platform_arguments(daemon: Daemon) -> None:
    made(
        daemon.engine,
        "FROM --platform=$BUILDPLATFORM busybox AS a\nARG TARGETPLATFORM TARGETOS BUILDARCH\nARG TARGETARCH\n"
        "RUN echo $TARGETPLATFORM $TARGETOS/$TARGETARCH $BUILDARCH > /p\n",
    )
    (line,) = shell(daemon.engine, "cat /p")
    platform, parts, architecture = line.split()
    assert platform == parts == f"linux/{architecture}"


def test_dockerfiles_from_elsewhere(daemon: Daemon, tmp_path: Path) -> None:
    engine = daemon.engine
    outside = engine.share / "Elsewhere"
    outside.write_text("FROM busybox\nCOPY . /c\n")
    context = engine.share / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    (context / "f").write_text("")
    engine.ok("build", "-t", "made", "-f", str(outside), str(context))
    assert shell(engine, "ls -A /c") == ["f"]
    engine.ok("build", "-t", "made", "-", stdin="FROM busybox\nRUN echo stdin > /s\n")
    assert shell(engine, "cat /s") == ["stdin"]
    identity = tmp_path / "id"
    told = engine.ok("build", "-q", "--iidfile", str(identity), "--label", "a=b", "-", stdin="FROM busybox\n")
    assert told.splitlines()[-1] == identity.read_text().strip()
    assert engine.ok("image", "inspect", "-f", "{{.Config.Labels.a}}", identity.read_text().strip()) == "b"
