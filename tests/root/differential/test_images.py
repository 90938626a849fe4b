"""`docker images`, `rmi`, `image prune`, `tag`, `history`: on dockerd and on ours, one outcome.

Ours says more where a name or a pattern is malformed. Not compared: the order of names that dockerd takes from a map,
and times.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.root.differential.conftest import Same
from tests.root.image.samples import two_layers
from tests.servers.engine import Engine
from tests.servers.image import archive

pytestmark = [pytest.mark.root, pytest.mark.peer]

Pair = tuple[Engine, Engine]


@pytest.fixture
def both(both: Pair, busybox_tar: Path) -> Iterator[Pair]:
    """Busybox comes back after a prune of all images."""
    yield both
    for engine in both:
        engine.ok("load", "-i", str(busybox_tar))


def _load(both: Pair, tmp_path: Path, tags: list[str], created: str, **labels: str) -> None:
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.tar"
    archive(path, tags, two_layers(), {"Cmd": ["sh"], "Labels": labels}, created=created)
    for engine in both:
        engine.ok("load", "-i", str(path))


@pytest.fixture
def three(both: Pair, tmp_path: Path) -> Pair:
    """old (two tags), middle (in two repositories), new; their layers are the same."""
    _load(both, tmp_path, ["old:1", "old:2"], "2020-01-01T00:00:00Z", age="old")
    _load(both, tmp_path, ["middle:1", "elsewhere:5000/middle:1"], "2021-01-01T00:00:00Z", age="middle")
    _load(both, tmp_path, ["new:1"], "2022-01-01T00:00:00Z", age="new", extra="")
    return both


LISTS = [
    [],
    ["-a"],
    ["old"],
    ["o*"],
    ["*/middle"],
    ["elsewhere:5000/*:1"],
    ["old:[12]"],
    ["old:[^1]"],
    ["ol?"],
    ["nosuch"],
    ["-f", "before=new:1"],
    ["-f", "since=old:2"],
    ["-f", "before=new:1", "-f", "since=old:1"],
    ["-f", "before=nosuch"],
    ["-f", "label=age"],
    ["-f", "label=age=old", "-f", "label=extra"],
    ["-f", "label=age=new", "-f", "label=extra="],
    ["-f", "until=2021-06-01"],
    ["-f", "until=2021-01-01T00:00:00Z"],
    ["-f", "until=soon"],
    ["-f", "dangling=true"],
    ["-f", "dangling=false"],
    ["-f", "dangling=maybe"],
    ["-f", "reference=old", "-f", "reference=new:*"],
    ["-f", "nosuch=1"],
]


def test_lists(three: Pair, same: Same) -> None:
    for arguments in LISTS:
        # Names of one image and images of one moment are in no order.
        rows = [
            (
                done.code,
                sorted(done.out.splitlines()),
                done.err.lower().replace("error response from daemon: ", ""),
            )
            for engine in three
            for done in [
                engine.docker(
                    "images",
                    "--no-trunc",
                    "--format",
                    "{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}",
                    *arguments,
                )
            ]
        ]
        assert rows[0] == rows[1], arguments


def test_order_and_ids(three: Pair, same: Same) -> None:
    for arguments in (["-q"], ["-q", "--no-trunc", "-f", "label=age"], ["--digests", "-q"]):
        theirs, ours = ([*dict.fromkeys(engine.ok("images", *arguments).split())] for engine in three)
        assert sorted(theirs) == sorted(ours)
        # busybox of the two engines has one date; the loaded ones are in the order of their dates
        assert theirs[-3:] == ours[-3:], arguments


def test_shared_sizes(three: Pair) -> None:
    for query in ("shared-size=1", "shared-size=1&filters=" + json.dumps({"label": ["age=old"]})):
        theirs, ours = (
            {
                each["Id"]: (each["Size"], each["SharedSize"], each["Containers"])
                for each in engine.api("GET", f"/v1.44/images/json?{query.replace(' ', '')}").body  # type: ignore[attr-defined]  # a list
            }
            for engine in three
        )
        assert theirs == ours


Scene = Callable[[Engine], None]


def _committed(engine: Engine) -> None:
    """child comes from parent, both from busybox; a container of child has been removed."""
    for name, base in (("parent", "busybox"), ("child", "parent")):
        engine.ok("run", "--name", "made", base, "sh", "-c", f"echo {name} > /{name}")
        engine.ok("commit", "made", name)
        engine.ok("rm", "made")


def _used(engine: Engine) -> None:
    _committed(engine)
    engine.ok("run", "--name", "stopped", "child", "true")
    engine.ok("run", "-d", "--name", "running", "parent", "sleep", "1000")


@pytest.mark.parametrize(
    ("scene", "commands"),
    [
        (_committed, [["rmi", "parent"], ["images", "-q", "parent"], ["rmi", "child"], ["images"]]),
        (
            _committed,
            [["rmi", "--no-prune", "parent"], ["rmi", "--no-prune", "child"], ["image", "prune", "-f"]],
        ),
        pytest.param(
            _committed,
            [["tag", "child", "other"], ["rmi", "child"], ["rmi", "other"]],
            marks=pytest.mark.long,
        ),
        pytest.param(
            _committed,
            [["rmi", "parent", "nosuch", "child"], ["rmi", "-f", "nosuch"]],
            marks=pytest.mark.long,
        ),
        (_used, [["rmi", "parent"], ["rmi", "child"], ["rmi", "-f", "parent"], ["image", "prune", "-af"]]),
        (
            _used,
            [["rm", "-f", "running"], ["rm", "stopped"], ["image", "prune", "-f"], ["image", "ls", "-q"]],
        ),
    ],
)
def test_removal(both: Pair, same: Same, scene: Scene, commands: list[list[str]]) -> None:
    for engine in both:
        scene(engine)
    for command in commands:
        same(*command)
    for engine in both:
        names = engine.ok("ps", "-aq").split()
        if names:
            engine.ok("rm", "-f", *names)


def test_removal_by_id(three: Pair, same: Same) -> None:
    """The three images have the same IDs on both."""
    old, middle, new = (
        three[0].ok("inspect", "-f", "{{.Id}}", name).partition(":")[2]
        for name in ("old:1", "middle:1", "new:1")
    )
    same("rmi", old)
    same("rmi", middle[:12])
    same("rmi", new[:6])
    same("rmi", "-f", middle)
    for engine in three:
        assert set(engine.ok("images", "--format", "{{.Repository}}").split()) == {"busybox", "old"}
    same("rmi", "old:2")
    same("rmi", old)


def test_prune(three: Pair, same: Same) -> None:
    for engine in three:
        engine.ok("run", "--name", "uses", "busybox", "true")
    for arguments in (
        ["-f"],
        ["-af", "--filter", "label=age=old"],
        ["-af", "--filter", "label!=age", "--filter", "until=2021-06-01"],
        ["-af", "--filter", "until=2021-06-01", "--filter", "label!=extra"],
        ["-f", "--filter", "nosuch=1"],
        ["-f", "--filter", "until=1h", "--filter", "until=2h"],
        ["-f", "--filter", "dangling=perhaps"],
    ):
        theirs, ours = (engine.docker("image", "prune", *arguments) for engine in three)
        assert (theirs.code, sorted(theirs.out.splitlines()), theirs.err) == (
            ours.code,
            sorted(ours.out.splitlines()),
            ours.err,
        ), arguments
    before, after = (engine.ok("image", "prune", "-af") for engine in three)
    assert sorted(before.splitlines()) == sorted(after.splitlines())
    assert "Total reclaimed space: 5.037kB" in after, "the layers count once, when the last image goes"
    for engine in three:
        engine.ok("rm", "uses")


def test_disk_usage_counts_shared_layers_once(three: Pair, same: Same) -> None:
    for engine in three:  # other tests have built something
        engine.ok("builder", "prune", "--all", "--force")
    same("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Size}}")
    theirs, ours = (engine.api("GET", "/v1.44/system/df?type=image").body for engine in three)
    assert isinstance(theirs, dict) and isinstance(ours, dict)
    assert theirs["LayersSize"] == ours["LayersSize"] > 5000


def test_names_and_history(three: Pair, same: Same) -> None:
    for command in (
        ["tag", "old:1", "Capital"],
        ["tag", "old:1", "a" * 64],
        ["tag", "old:1", "sha256:x"],
        ["tag", "old:1", "fine@sha256:" + "1" * 64],
        ["tag", "nosuch", "fine"],
        ["tag", "old:1", "bad:tag:"],
        ["tag", "old:1", "localhost:5000/deep/er/name:V1"],
        ["rmi", "localhost:5000/deep/er/name:V1"],
        [
            "history",
            "--no-trunc",
            "--human=false",
            "--format",
            "{{.ID}} {{.CreatedBy}} {{.Size}} {{.Comment}}",
            "old:1",
        ],
        ["history", "nosuch"],
        [
            "inspect",
            "--format",
            "{{.RepoTags}} {{.Config.Cmd}} {{.Size}} {{.Os}} {{.RootFS}} {{.Parent}}",
            "new:1",
        ],
        ["image", "inspect", "nosuch"],
        ["image", "inspect", "sha256:" + "0" * 64],
        ["rmi", "Capital"],
        ["image", "ls", "--filter", "before"],
    ):
        same(*command)


def test_events(both: Pair, tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    archive(path, ["told:1"], two_layers(), {"Labels": {"l": "v"}})
    told = []
    for engine in both:
        since = engine.ok("info", "--format", "{{.SystemTime}}")
        engine.ok("load", "-i", str(path))
        engine.ok("tag", "told:1", "127.0.0.1:5000/told:2")
        engine.ok("push", "127.0.0.1:5000/told:2")
        engine.ok("rmi", "127.0.0.1:5000/told:2")
        engine.ok("pull", "127.0.0.1:5000/told:2")
        engine.ok("save", "-o", str(engine.share / "told.tar"), "told:1")
        engine.ok("rmi", "told:1", "127.0.0.1:5000/told:2")
        engine.ok("image", "prune", "-f")
        until = engine.ok("info", "--format", "{{.SystemTime}}")
        form = "{{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}}"
        told.append(engine.ok("events", "--since", since, "--until", until, "--format", form).splitlines())
    assert told[1] == told[0]
