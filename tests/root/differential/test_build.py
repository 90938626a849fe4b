"""`docker build` by the classic protocol: what dockerd makes of a Dockerfile, ours has to make too."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.servers.engine import Engine

pytestmark = pytest.mark.root

SHOW = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /bin \) -prune -o -print | sort | while read -r f; do
    if [ -L "$f" ]; then echo "$f -> $(readlink "$f")"
    elif [ -d "$f" ]; then stat -c "%n %a %u %g directory" "$f"
    else stat -c "%n %a %u %g %F %s" "$f"; fi
done
"""
"""Every file: name, mode, owners, kind, size."""

_ENGINE_S = ("/etc/hostname ", "/etc/hosts ", "/etc/resolv.conf ", "/etc/mtab ")
"""What an engine puts there by itself; dockerd also a link from /etc/mtab to /proc/mounts."""

CASES = {
    "environment": """
        FROM busybox
        ARG A=1 B
        ENV C="two words" D=$A PATH=$PATH:/x
        ENV E ${D}-${C}
        LABEL l="$E" m=n
        RUN echo "$A|$B|$C|$D|$E|$PATH" > /out
        """,
    "places": """
        FROM busybox
        WORKDIR /a
        WORKDIR b/c
        COPY one .
        COPY one two /many/
        COPY dir /dir
        COPY dir/ /dir2/
        COPY o* /wild/
        COPY one /renamed
        COPY ["one", "/with space/x"]
        RUN pwd > /pwd
        """,
    "owners": """
        FROM busybox
        COPY --chown=www:staff dir /d
        COPY --chown=33 one /d/one
        COPY --chown=1:2 one /new/dir/one
        USER www:staff
        WORKDIR /mine
        RUN id > /tmp/id
        """,
    "links": """
        FROM busybox
        RUN mkdir /real && ln -s /real /link && ln -s ../etc/group /real/up
        COPY one /link/one
        COPY dir/ /link
        RUN rm /etc/group && ln /real/one /real/hard
        """,
    "configuration": """
        FROM busybox
        MAINTAINER someone
        ENTRYPOINT ["/bin/sh", "-c"]
        CMD echo hi
        EXPOSE 80 53/udp 90-92
        VOLUME /v /w
        STOPSIGNAL SIGINT
        HEALTHCHECK --interval=5s --retries=2 CMD true
        ONBUILD RUN echo triggered > /triggered
        SHELL ["/bin/sh", "-e", "-c"]
        RUN true
        """,
    "stages": """
        ARG BASE=busybox
        FROM $BASE AS one
        RUN mkdir /made && echo 1 > /made/file
        FROM one AS unused
        RUN echo 2 > /made/file
        FROM busybox
        COPY --from=one /made /from-one
        COPY --from=0 /made/file /
        COPY --from=busybox /etc/passwd /passwd
        """,
    "archives": """
        FROM busybox
        ADD tree.tar /tree/
        ADD one /plain/
        """,
}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("context")
    (top / "one").write_text("1")
    (top / "two").write_text("2")
    (top / "two").chmod(0o755)
    (top / "dir" / "sub").mkdir(parents=True)
    (top / "dir" / "sub" / "f").write_text("f")
    (top / "dir" / "l").symlink_to("sub/f")
    with tarfile.open(top / "tree.tar", "w") as archive:
        archive.add(top / "dir", "dir")
    for path in top.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (1_000_000_000, 1_000_000_000))
    return top


def build(engine: Engine, context: Path, text: str, *options: str) -> str:
    """The ID of the image."""
    file = context / "Dockerfile"
    file.write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")
    done = engine.docker("build", "-q", *options, str(context))
    assert done.code == 0, done
    return done.out.strip()


def described(engine: Engine, image: str) -> dict[str, Any]:
    """Its files, and its configuration without what names this build."""
    files = engine.ok(
        "run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "/bin/sh", image, "-c", SHOW
    )
    config = json.loads(engine.ok("image", "inspect", "-f", "{{json .Config}}", image))
    kept = {
        key: value
        for key, value in config.items()
        if key not in ("Image", "Hostname", "Domainname") and value
    }
    return {"files": [line for line in files.splitlines() if not line.startswith(_ENGINE_S)], "config": kept}


@pytest.mark.parametrize("name", CASES)
def test_same_image(both: tuple[Engine, Engine], context: Path, name: str) -> None:
    theirs, ours = (described(engine, build(engine, context, CASES[name])) for engine in both)
    assert ours["config"] == theirs["config"]
    assert set(ours["files"]) ^ set(theirs["files"]) == set()
    for engine in both:
        engine.docker("image", "prune", "-f")
