"""`pymachine build` on dockerd and on our engine: the same image from the same directory."""

from __future__ import annotations

import os
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.root.cli.pymachine import Terminal, command, pymachine
from tests.servers.engine import Engine

pytestmark = pytest.mark.root


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "app"
    (directory / "src" / "deep").mkdir(parents=True)
    (directory / "Dockerfile").write_text(
        "FROM busybox\nARG who=nobody\nCOPY . /app\nRUN echo made for $who > /who\n"
    )
    (directory / "src" / "main").write_text("main")
    (directory / "src" / "main").chmod(0o755)
    (directory / "src" / "deep" / "keep").write_text("keep")
    (directory / "src" / "deep" / "drop").write_text("drop")
    (directory / "link").symlink_to("src/main")
    os.link(directory / "src" / "main", directory / "twin")
    return directory


def built(engine: Engine, *args: str, stdin: bytes | None = None) -> str:
    done = pymachine(engine, "build", *args, stdin=stdin)
    assert (done.code, done.out[:7]) == (0, "sha256:"), done
    return done.out.strip()


def inside(engine: Engine, image: str, script: str) -> list[str]:
    return engine.ok("run", "--rm", image, "sh", "-c", script).split()


def test_a_directory(engine: Engine, context: Path) -> None:
    image = built(
        engine, "-t", "app:1", "-t", "app:2", "--build-arg", "who=me", "--label", "a=b", str(context)
    )
    found = inside(
        engine, "app:2", "cd /app; find . | sort; cat /who; stat -c %a:%u src/main; readlink link; cat twin"
    )
    assert found == [
        *(
            ".",
            "./Dockerfile",
            "./link",
            "./src",
            "./src/deep",
            "./src/deep/drop",
            "./src/deep/keep",
            "./src/main",
        ),
        *("./twin", "made", "for", "me", "755:0", "src/main", "main"),
    ]
    assert engine.ok("image", "inspect", "-f", "{{.Id}} {{.Config.Labels.a}}", "app:1").split() == [
        image,
        "b",
    ]


def test_ignored_files_stay_here(engine: Engine, context: Path) -> None:
    """A file that is taken back from an ignored directory comes with the way to it."""
    (context / ".dockerignore").write_text(
        "# no\n/src/**\n!src/deep/keep\n*ink\nDockerfile\n.dockerignore\ntw?n\n"
    )
    image = built(engine, str(context))
    assert inside(engine, image, "cd /app; find . | sort") == [".", "./src", "./src/deep", "./src/deep/keep"]


@pytest.mark.parametrize(
    "patterns",
    [
        "**\n!src\n!**/nothing\n!*.md\n!Dockerfile\n**/*.py\n!src/keep.py\n",
        "src\n!src/deep/er\n",
        "/src/*/\n./a.py\n../x\n",
        "*/deep\n# comment\n\n  b.md  \n",
        "*.??\n!a.py\n**/er\n",
        "[a-b].*\nsrc/[^d]*\n",
    ],
)
def test_ignored_as_docker_ignores(peer_engine: Engine, tmp_path: Path, patterns: str) -> None:
    """docker's own client and dockerd say which files a .dockerignore leaves.

    Not compared: `**` with `!**/*.md`, for which the classic client looks into no directory, and BuildKit and we do.
    """
    for name in (
        "a.py",
        "b.md",
        "src/keep.py",
        "src/c.md",
        "src/deep/d.py",
        "src/deep/er/e.md",
        "lib/er/f.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY . /app\n")
    (tmp_path / ".dockerignore").write_text(patterns)
    peer_engine.ok("build", "-q", "-t", "theirs", str(tmp_path))
    ours = built(peer_engine, str(tmp_path))
    script = "cd /app; find . -type f | sort"
    assert inside(peer_engine, ours, script) == inside(peer_engine, "theirs", script)


def test_a_dockerfile_from_elsewhere(engine: Engine, context: Path, tmp_path: Path) -> None:
    other = tmp_path / "Other"
    other.write_text("FROM busybox\nCOPY . /other\n")
    whole = [
        ".",
        "./Dockerfile",
        "./link",
        "./src",
        "./src/deep",
        "./src/deep/drop",
        "./src/deep/keep",
        "./src/main",
    ]
    for image in (
        built(engine, "-f", str(other), str(context)),
        built(engine, "-f", "-", str(context), stdin=other.read_bytes()),
    ):
        assert inside(engine, image, "cd /other; find . | sort") == [*whole, "./twin"]


def test_stdin_is_a_dockerfile_or_an_archive(engine: Engine, context: Path) -> None:
    alone = built(engine, "-q", "-", stdin=b"FROM busybox\nRUN echo x > /alone\n")
    assert inside(engine, alone, "cat /alone") == ["x"]
    packed = subprocess.run(["tar", "-C", context, "-cz", "."], capture_output=True, check=True).stdout
    assert inside(engine, built(engine, "-", stdin=packed), "cat /app/src/main") == ["main"]


def test_a_step_that_fails_is_told_with_its_last_words(engine: Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo before; echo why >&2; exit 3\n")
    refused = pymachine(engine, "build", str(context))
    assert (refused.code, refused.out) == (1, "")
    lines = refused.err.splitlines()
    assert "✗ [2/2] RUN " in lines[0]
    assert sorted(line.strip() for line in lines[1:3]) == ["before", "why"]
    assert "returned a non-zero code: 3" in lines[-1], refused


def test_progress(engine: Engine, context: Path) -> None:
    built(engine, str(context))
    quiet = pymachine(engine, "build", str(context))
    assert quiet.err == ""
    plain = pymachine(engine, "build", "--progress", "plain", str(context))
    assert ("Step 4/4 : RUN" in plain.err, " ---> Using cache" in plain.err) == (True, True), plain
    with Terminal(engine, "build", str(context)) as terminal:
        code, text = terminal.end()
    assert (code, b"echo made for $who > /who   cached" in text) == (0, True), text


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["{at}/nothing"], "is not a directory"),
        (["{at}"], "there is no Dockerfile in"),
        (["-f", "{at}/nothing", "{at}"], "cannot read the Dockerfile"),
        (["--ulimit", "x", "{at}"], "ulimit"),
        (["-o", "type=cake", "{at}"], "type is one of"),
        (["--secret", "id=a,src={at}/nothing", "{at}"], "cannot read"),
    ],
)
def test_what_cannot_be_built_is_told(engine: Engine, tmp_path: Path, args: list[str], words: str) -> None:
    refused = pymachine(engine, "build", *(word.format(at=tmp_path) for word in args))
    assert (refused.code, words in refused.err) == (2, True), refused


def test_outputs(engine: Engine, tmp_path: Path) -> None:
    """The files of the result, as the last layer leaves them."""
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox AS made\nRUN mkdir -p /out/gone /out/kept && echo a > /out/gone/a && ln -s a /out/kept/link\n"
        "RUN rm -r /out/gone && echo b > /out/kept/a && ln /out/kept/a /out/kept/twin\n"
        "FROM scratch\nCOPY --from=made /out /\nCOPY --from=made /out/kept/a /kept/more\n"
    )
    names = {"kept", "kept/a", "kept/link", "kept/twin", "kept/more"}
    built(engine, "-o", str(tmp_path / "here"), str(tmp_path))
    here = {str(path.relative_to(tmp_path / "here")) for path in (tmp_path / "here").rglob("*")}
    assert here == names
    assert (tmp_path / "here" / "kept" / "twin").read_text() == "b\n"
    streamed = subprocess.run(
        command(engine, "build", "-o", "-", str(tmp_path)),
        capture_output=True,
        env=engine.environment,
        check=True,
    )
    with tarfile.open(fileobj=BytesIO(streamed.stdout)) as archive:
        assert set(archive.getnames()) == names
    image = built(engine, "-t", "out:1", "-o", f"type=oci,dest={tmp_path}/out.tar", str(tmp_path))
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert "manifest.json" in archive.getnames()
    assert "out:1" in engine.ok("load", "-i", f"{tmp_path}/out.tar")
    assert engine.ok("image", "inspect", "-f", "{{.Id}}", "out:1") == image
