"""What `docker build` tells: the same lines and exit codes from dockerd and from ours, whatever it builds."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.engine import Engine

pytestmark = pytest.mark.root

SAME: dict[str, tuple[str, tuple[str, ...]]] = {
    "no such file": ("FROM busybox\nCOPY nofile /\n", ()),
    "no such file of a stage": ("FROM busybox AS a\nFROM busybox\nCOPY --from=a /bin/nope /x\n", ()),
    "nothing fits": ("FROM busybox\nCOPY x*.y /\n", ()),
    "one of two fits": ("FROM busybox\nCOPY x*.y f /d/\nRUN ls /d\n", ()),
    "exit code": ("FROM busybox\nRUN exit 7\n", ()),
    "no such program": ('FROM busybox\nRUN ["/nope"]\n', ()),
    "no such stage": ("FROM busybox AS a\n", ("--target", "zzz")),
    "no such instruction": ("FROM busybox\nFOO bar\n", ()),
    "nothing in it": ("", ()),
    "squash": ("FROM busybox\n", ("--squash",)),
    "unused argument": ("FROM busybox\nRUN true\n", ("--build-arg", "NOPE=1", "--build-arg", "NO=2")),
    "no such Dockerfile": ("FROM busybox\n", ("-f", "nothere")),
    "absolute source": ("FROM busybox\nCOPY /f /q\nRUN cat /q\n", ()),
    "file over a directory": ("FROM busybox\nRUN mkdir -p /t/f/g\nCOPY f /t/\nRUN cat /t/f\n", ()),
    "limits": (
        "FROM busybox\nRUN ulimit -n; df -k /dev/shm | tail -1\n",
        ("--memory", "64m", "--ulimit", "nofile=99:100", "--shm-size", "5m"),
    ),
    "hosts": ("FROM busybox\nRUN grep some /etc/hosts\n", ("--add-host", "some.host:1.2.3.4")),
    "no network": ("FROM busybox\nRUN ls /sys/class/net\n", ("--network", "none")),
    "isolation": ("FROM busybox\nRUN true\n", ("--isolation", "default")),
    "ONBUILD of a stage": ("FROM busybox AS a\nONBUILD RUN echo hi > /hi\nFROM a\nRUN cat /hi\n", ()),
    "both streams": ("FROM busybox\nRUN echo out\nRUN echo err >&2\n", ()),
    "metadata": ("FROM busybox\nENV A=1\nLABEL a=b\nCMD x\n", ()),
    "nothing but FROM": ("FROM busybox\n", ("-t", "some/name:tag", "-t", "other")),
    "archives": (
        "FROM busybox\nADD t.tar.gz /x/\nADD t.tar.xz /y/\nADD t.tar.bz2 /z\nRUN find /x /y /z | sort\n",
        (),
    ),
    "no archive": ("FROM busybox\nADD plain.gz /x/\nRUN ls /x\n", ()),
}
_NEUTRAL = (
    (re.compile(r"\b[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"( ---> Running in ID| ---> Removed intermediate container ID| ---> ID)\n"), ""),
    (re.compile(r"Sending build context.*\n"), ""),
    (re.compile(r"DEPRECATED[^/]*https.*\n"), ""),
    (re.compile(r"\n+"), "\n"),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("context")
    (top / "f").write_text("f\n")
    (top / "d").mkdir()
    (top / "d" / "x").write_text("x")
    for kind, ending in (("z", "gz"), ("J", "xz"), ("j", "bz2")):
        subprocess.run(["tar", "-C", str(top), f"-c{kind}f", str(top / f"t.tar.{ending}"), "d"], check=True)
    (top / "plain.gz").write_bytes(gzip.compress(b"no archive\n"))
    return top


def told(engine: Engine, files: Path, text: str, options: tuple[str, ...]) -> str:
    top = engine.share / "context"
    shutil.rmtree(top, ignore_errors=True)
    shutil.copytree(files, top)
    (top / "Dockerfile").write_text(text)
    done = engine.docker("build", "--no-cache", *options, str(top))
    said = f"exit {done.code}\n{done.out}{done.err}"
    for pattern, instead in _NEUTRAL:
        said = pattern.sub(instead, said)
    return said.strip()


@pytest.mark.parametrize("name", SAME)
def test_same_words(both: tuple[Engine, Engine], files: Path, name: str) -> None:
    theirs, ours = (told(engine, files, *SAME[name]) for engine in both)
    assert ours == theirs
