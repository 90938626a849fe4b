"""What a container leaves: `docker diff`, `export`, `commit`, `container prune`, `system df`."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Sequence

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

IMAGE = """
FILES='/base /base/sub /base/gone /base/opaque /base/moved'
mkdir -p /base/sub /base/gone /base/opaque/deep /base/moved /base/kept && cd /base
for name in a b c d e f sub/x sub/y gone/x opaque/old opaque/deep/x moved/m kept/k; do echo $name > $name; done
ln -s a link && touch -d '2020-01-02 03:04:05' a b c d e f link sub/x
"""
CHANGES = """
cd /base
echo more >> a; chmod 600 b; chown 33 c; rm d; rm -rf gone; touch -d '2020-01-02 03:04:05' e
mv f renamed; rm -rf opaque; mkdir opaque; echo new > opaque/new; rm sub/x; mkdir sub/below; echo x > sub/below/x
rm link; ln -s b link; mv moved elsewhere; rm -rf kept; echo file > kept; chmod 700 /base/sub; chmod 755 /base/sub
mkdir -p /new/deep; mkfifo /new/fifo; mknod /new/null c 1 3; ln a hard; rm /bin/tac; echo x > /tmp/x; rm /tmp/x
echo x > '/new/with space'; chmod 1777 /var
"""


def based(engines: Sequence[Engine], same: Same) -> None:
    """An image `base` with two layers on busybox."""
    same("run", "--name", "one", "busybox", "sh", "-c", IMAGE)
    same("commit", "-m", "first", "-a", "Somebody <s@example.org>", "one", "base:one")
    same(
        "run",
        "--name",
        "two",
        "base:one",
        "sh",
        "-c",
        "rm /base/sub/y; echo two > /base/two; mkdir /base/twice",
    )
    same("commit", "two", "base:latest")


def test_diff(both: tuple[Engine, Engine], same: Same) -> None:
    based(both, same)
    same("run", "--name", "nothing", "base", "true")
    same("diff", "nothing")
    same("create", "--name", "fresh", "base")
    same("diff", "fresh")
    same(
        "run",
        "-d",
        "--name",
        "box",
        "-v",
        "SHARE:/base/mounted/here",
        "-w",
        "/work/dir",
        "base",
        "sleep",
        "600",
    )
    same("exec", "box", "sh", "-c", CHANGES)
    for name in ("box", "one", "two"):
        theirs, ours = (engine.ok("diff", name).splitlines() for engine in both)
        assert sorted(ours) == sorted(theirs)
        for position, line in enumerate(ours):  # dockerd has siblings in any order, but what holds them first
            parent = line[2:].rpartition("/")[0]
            assert parent in ["", *(each[2:] for each in ours[:position])], line
    same("diff", "ghost")


def test_export(both: tuple[Engine, Engine], same: Same) -> None:
    based(both, same)
    same("run", "-d", "--name", "box", "-v", "SHARE:/mnt/here", "--tmpfs", "/scratch", "base", "sleep", "600")
    same("exec", "box", "sh", "-c", CHANGES + "echo x > /scratch/x; echo x > /mnt/here/x")
    told = []
    for engine in both:
        for name in ("box", "two"):
            raw = subprocess.run(
                [engine.cli, "export", name], env=engine.environment, check=True, capture_output=True
            ).stdout
            with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
                told.append([(m.name, m.type, oct(m.mode), m.uid, m.gid, m.linkname, m.size) for m in tar])
    # dockerd puts these into every container, whether the image has them or not.
    own = ("dev", "proc", "sys", "etc", ".dockerenv")
    plain = [[row for row in rows if row[0].split("/")[0] not in own] for rows in told]
    assert plain[2:] == plain[:2]
    same("export", "ghost")


CONFIG = ("Env", "Cmd", "Entrypoint", "Labels", "User", "ExposedPorts", "Volumes", "WorkingDir")
CHANGE_SETS = (
    (),
    ("CMD echo shell form",),
    ('CMD ["echo","exec form"]', 'ENTRYPOINT ["/bin/sh", "-c"]'),
    ("ENTRYPOINT echo",),
    ("ENTRYPOINT []",),
    ("ENTRYPOINT",),
    ("CMD",),
    ("CMD []", "ENTRYPOINT x"),
    ("ENV A=1 B='two words' C=$PATH:x D=${A:-none} E=${NOPE:-none} F=\\$A", "ENV G $A and ${A}", "env a=b"),
    ('LABEL one=1 two="2 3"', "LABEL three four", "label x=$HOME"),
    ("EXPOSE 80 53/udp 7000-7002/tcp",),
    ("USER www", "WORKDIR /srv", "WORKDIR sub", "WORKDIR ../other"),
    ("VOLUME /data /more", 'VOLUME ["/json", "/list"]'),
    ("STOPSIGNAL SIGUSR1",),
    ("ONBUILD RUN x", "ONBUILD COPY a b"),
    ("HEALTHCHECK --interval=5s --timeout=1m30s --retries=4 CMD test -e /x",),
    ('HEALTHCHECK CMD ["test", "-e", "/x"]',),
    ("HEALTHCHECK NONE",),
    ("CMD a\nENV Q=1\n# comment\n\nUSER 5",),
)
WRONG_CHANGES = (
    "RUN x",
    "COPY a b",
    "FROM scratch",
    "MAINTAINER me",
    "nonsense",
    "LABEL",
    "ENV A",
    "ENV A=1 B",
    "EXPOSE x",
    "STOPSIGNAL NOPE",
    "HEALTHCHECK x",
    "HEALTHCHECK NONE x",
    "HEALTHCHECK --bad=1 CMD x",
    "ONBUILD ONBUILD RUN x",
    'SHELL ["/bin/ash"]',
    "ARG x",
)


def committed(engine: Engine, name: str) -> list[object]:
    """What an image says of itself, as far as two hosts can agree on it."""
    image = engine.api("GET", f"/v1.44/images/{name}/json").body
    assert isinstance(image, dict)
    config = image["Config"]
    more = [config.get(key) for key in CONFIG] + [
        config.get(key) for key in ("StopSignal", "OnBuild", "Healthcheck")
    ]
    return [*more, image["Author"], image["Comment"], len(image["RootFS"]["Layers"])]


def test_commit(both: tuple[Engine, Engine], same: Same) -> None:
    same(
        "run", "-d", "--name", "box", "-e", "OWN=1", "-l", "l=m", "--expose", "99", "busybox", "sleep", "600"
    )
    same("exec", "box", "sh", "-c", "echo kept > /kept; rm /bin/tac; chmod 700 /home")
    for number, changes in enumerate(CHANGE_SETS):
        options = [word for change in changes for word in ("--change", change)]
        same("commit", *options, "box", f"made:{number}")
        theirs, ours = (committed(engine, f"made:{number}") for engine in both)
        assert ours == theirs, changes
    same("run", "--rm", "made:0", "sh", "-c", "cat /kept; ls /bin/tac; stat -c '%a' /home")
    same("run", "--rm", "made:2", "echo $0 in shell")
    same("commit", "-p=false", "-m", "message", "-a", "author", "box")
    same("commit", "box", "UPPER/case")
    same("commit", "box", "made@sha256:" + "0" * 64)
    same("commit", "ghost")
    same("inspect", "-f", "{{.State.Status}}", "box")
    for engine in both:
        made, base = (engine.api("GET", f"/v1.44/images/{name}/json").body for name in ("made:0", "busybox"))
        assert isinstance(made, dict) and isinstance(base, dict) and made["Parent"] == base["Id"]
    same("history", "--format", "{{.CreatedBy}} {{.Comment}}", "made:0")


def test_wrong_changes(both: tuple[Engine, Engine]) -> None:
    for engine in both:
        engine.ok("create", "--name", "box", "busybox")
    for change in WRONG_CHANGES:
        codes = [engine.docker("commit", "--change", change, "box").code for engine in both]
        assert codes == [1, 1], change
    assert both[1].ok("images", "-q", "--filter", "dangling=true") == ""


def test_a_commit_runs_is_saved_and_has_its_layers(engine: Engine) -> None:
    engine.ok(
        "run", "--name", "box", "busybox", "sh", "-c", "echo kept > /kept; ln /kept /again; ln -s kept /link"
    )
    engine.ok("commit", "box", "made")
    engine.ok("run", "--name", "top", "made", "sh", "-c", "rm /link; echo more >> /kept")
    engine.ok("commit", "top", "made:top")
    engine.ok("tag", "made:top", "127.0.0.1:5000/made:top")
    engine.ok("push", "127.0.0.1:5000/made:top")
    engine.ok("rm", "-f", "box", "top")
    engine.ok("rmi", "made:top", "127.0.0.1:5000/made:top", "made")
    engine.ok("pull", "127.0.0.1:5000/made:top")
    script = "cat /kept /again; ls /link; stat -c %h /again"
    done = engine.docker("run", "--rm", "127.0.0.1:5000/made:top", "sh", "-c", script)
    assert (done.out, "No such file" in done.err) == ("kept\nmore\nkept\n2\n", True)


def test_events_of_a_commit(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
    before = engine.ok("info", "--format", "{{.SystemTime}}")
    image = engine.ok("commit", "-m", "words", "box", "made:x")
    after = engine.ok("info", "--format", "{{.SystemTime}}")
    shape = "{{.Type}} {{.Action}} {{with .Actor.Attributes}}{{.imageRef}} {{.comment}} {{.imageID}}{{end}}"
    told = engine.ok("events", "--since", before, "--until", after, "--format", shape).splitlines()
    kinds = [line.split()[:2] for line in told]
    assert kinds == [
        ["container", "pause"],
        ["image", "tag"],
        ["container", "commit"],
        ["container", "unpause"],
    ]
    assert told[2].split()[2:] == ["made:x", "words", image]


def test_prune(both: tuple[Engine, Engine], same: Same) -> None:
    for engine in both:
        engine.ok("run", "-d", "--name", "runs", "busybox", "sleep", "600")
        for name, label in (("plain", "x=0"), ("keep", "keep=1"), ("other", "keep=2")):
            engine.ok(
                "run", "--name", name, "-l", label, "busybox", "sh", "-c", "head -c 5000 /dev/zero > /file"
            )
    same("container", "prune", "-f", "--filter", "until=1h")
    same("container", "prune", "-f", "--filter", "until=2001-01-01")
    same("container", "prune", "-f", "--filter", "until=yesterday")
    same("container", "prune", "-f", "--filter", "name=x")
    for wanted in ("label!=keep", "label=keep=1", "label=x=0"):
        same("container", "prune", "-f", "--filter", wanted)
        same("ps", "-a", "--format", "{{.Names}}")
    same("container", "prune", "-f")
    same("container", "prune", "-f")
    same("ps", "-a", "--format", "{{.Names}}")


def test_sizes_and_disk_usage(both: tuple[Engine, Engine], same: Same) -> None:
    script = "head -c 70000 /dev/zero > /one; ln /one /two; ln -s one /three; mkdir /folder"
    for engine in both:
        engine.ok("builder", "prune", "-a", "-f")  # of earlier tests
        engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", f"{script}; exec sleep 600")
        engine.ok("run", "--name", "done", "busybox", "sh", "-c", "rm /bin/tac")
        engine.wait_for("box", "{{.State.Running}}", "true")
        assert engine.ok("exec", "box", "ls", "/folder") == ""
        engine.ok("commit", "box", "made")
    same("ps", "-a", "-s", "--format", "{{.Names}} {{.Size}}")
    same("inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "box")
    same("inspect", "-f", "{{.SizeRw}}", "box")
    same("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}")
    for kind in ("container", "image", "volume", "build-cache", "nonsense"):
        theirs, ours = (engine.api("GET", f"/v1.44/system/df?type={kind}") for engine in both)
        assert (ours.status, ours.message) == (theirs.status, theirs.message)
        if isinstance(theirs.body, dict) and isinstance(ours.body, dict) and ours.status == 200:
            assert {k: v is None for k, v in ours.body.items()} == {
                k: v is None for k, v in theirs.body.items()
            }
    for version in ("1.24", "1.41", "1.44"):
        peers, own = (engine.api("GET", f"/v{version}/system/df").body for engine in both)
        assert isinstance(peers, dict) and isinstance(own, dict)
        assert own.keys() == peers.keys(), version
        for key in ("Images", "Containers"):
            assert sorted(map(sorted, own[key])) == sorted(map(sorted, peers[key])), (version, key)
