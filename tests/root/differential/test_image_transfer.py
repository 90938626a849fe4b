"""pull, push, save, load, import, login: what dockerd and ours print, and that each reads what the other wrote."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.root.differential.conftest import Same, neutral
from tests.root.image.samples import member, tar_of, two_layers
from tests.servers.engine import Engine
from tests.servers.image import archive, busybox_layer
from tests.tools import need

pytestmark = [pytest.mark.root, pytest.mark.peer]

Pair = tuple[Engine, Engine]
REGISTRY = "127.0.0.1:5000"


@pytest.fixture
def sample(both: Pair, tmp_path: Path) -> Pair:
    """sample:1 and sample:2 (the same image) on both."""
    path = tmp_path / "sample.tar"
    archive(path, ["sample:1", "sample:2"], two_layers(), {"Cmd": ["sh"], "Labels": {"a": "b"}})
    for engine in both:
        engine.ok("load", "-i", str(path))
    return both


def told(engine: Engine, *argv: str) -> tuple[int, Counter[str], str]:
    """Exit code, the kinds of lines of stdout in no order, stderr. Layers are told side by side."""
    done = engine.docker(*argv)
    # Manifests differ in size, as Go writes them with white space.
    out = re.sub(r"size: \d+", "size: N", neutral(done.out))
    lines = [line for line in out.splitlines() if "Waiting" not in line]
    return done.code, Counter(dict.fromkeys(lines, 1)), neutral(done.err)


def alike(pair: Pair, *argv: str) -> None:
    theirs, ours = (told(engine, *argv) for engine in pair)
    assert ours == theirs, argv


def test_push_and_pull(sample: Pair, same: Same) -> None:
    for engine in sample:
        for tag in ("1", "2"):
            engine.ok("tag", "sample:1", f"{REGISTRY}/team/sample:{tag}")
        engine.ok("tag", "sample:1", f"{REGISTRY}/other:1")
    alike(sample, "push", f"{REGISTRY}/team/sample:1")
    alike(sample, "push", f"{REGISTRY}/team/sample:1")  # everything is there
    alike(sample, "push", "-a", f"{REGISTRY}/team/sample")
    alike(sample, "push", f"{REGISTRY}/other:1")  # mounted
    alike(sample, "pull", f"{REGISTRY}/team/sample:1")  # up to date
    for engine in sample:
        engine.ok("rmi", "-f", *set(engine.ok("images", "-q", "--filter", "label=a").split()))
    alike(sample, "pull", f"{REGISTRY}/team/sample:1")
    alike(sample, "pull", "-a", f"{REGISTRY}/team/sample")
    alike(sample, "pull", "-q", f"{REGISTRY}/other:1")
    same("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "--filter", f"reference={REGISTRY}/team/*")
    for command in (
        ["push", f"{REGISTRY}/nosuch:1"],
        ["push", "-a", f"{REGISTRY}/nosuch"],
        ["push", "-a", f"{REGISTRY}/nosuch:1"],
        ["pull", "scratch"],
        ["pull", "-a", f"{REGISTRY}/other:1"],
        ["pull", "Bad"],
    ):
        theirs, ours = (engine.docker(*command) for engine in sample)
        assert (ours.code, ours.out) == (theirs.code, theirs.out), command
        # Ours goes on to say what was wrong with the name.
        assert ours.err.startswith(theirs.err.rstrip("\n")), command


def test_a_registry_that_lacks_it(both: Pair) -> None:
    for command in (["pull", f"{REGISTRY}/nosuch:1"], ["pull", f"{REGISTRY}/nosuch@sha256:{'0' * 64}"]):
        theirs, ours = (engine.docker(*command) for engine in both)
        assert ours.code == theirs.code == 1
        assert ours.err.startswith(theirs.err.rstrip("\n").removesuffix("manifest unknown")), (
            ours.err,
            theirs.err,
        )


def test_distribution(sample: Pair) -> None:
    found = []
    for engine in sample:
        engine.ok("tag", "sample:1", f"{REGISTRY}/looked:1")
        engine.ok("push", f"{REGISTRY}/looked:1")
        answer = engine.api("GET", f"/v1.44/distribution/{REGISTRY}/looked:1/json").body
        assert isinstance(answer, dict)
        digest = engine.ok("inspect", "-f", "{{index .RepoDigests 0}}", f"{REGISTRY}/looked:1").partition(
            "@"
        )[2]
        assert answer["Descriptor"].pop("digest") == digest
        answer["Descriptor"].pop("size")  # of its own manifest
        found.append(answer)
        assert engine.api("GET", f"/v1.44/distribution/{REGISTRY}/nosuch:1/json").status == 404
    assert found[1] == found[0]


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {
            member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in tar if member.isreg()
        }


def layers_of(archive: Mapping[str, bytes]) -> list[list[str]]:
    """Of each image in manifest.json: its layers by diff ID."""
    entries = json.loads(archive["manifest.json"])
    return [
        [
            hashlib.sha256(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).hexdigest()
            for data in (archive[name] for name in entry["Layers"])
        ]
        for entry in entries
    ]


def test_archives_of_each_other(sample: Pair, tmp_path: Path) -> None:
    for engine in sample:
        engine.ok("tag", "busybox", "elsewhere:5000/box:x")
    saved = {}
    for engine in sample:
        path = tmp_path / f"{engine.name}.tar"
        engine.ok("save", "-o", str(path), "sample:1", "sample:2", "elsewhere:5000/box:x")
        saved[engine.name] = members(path.read_bytes())
    theirs, ours = (
        # dockerd's order is that of a Go map: any.
        sorted(json.loads(saved[engine.name]["manifest.json"]), key=lambda entry: str(entry["RepoTags"]))
        for engine in sample
    )
    assert [entry["RepoTags"] for entry in ours] == [entry["RepoTags"] for entry in theirs]
    assert [entry["Config"] for entry in ours] == [entry["Config"] for entry in theirs]
    assert layers_of(saved["hostagent"]) == layers_of(saved["dockerd"])
    ids = [engine.ok("images", "-q", "--no-trunc", "sample:1") for engine in sample]
    assert ids[0] == ids[1]
    for reader, writer in (sample, sample[::-1]):
        reader.ok("rmi", "sample:1", "sample:2", "elsewhere:5000/box:x")
        path = tmp_path / f"{writer.name}.tar"
        assert sorted(reader.ok("load", "-i", str(path)).splitlines()) == [
            "Loaded image: elsewhere:5000/box:x", "Loaded image: sample:1", "Loaded image: sample:2",
        ]  # fmt: skip
        assert reader.ok("images", "-q", "--no-trunc", "sample:1") == ids[0]
        assert reader.ok("run", "--rm", "elsewhere:5000/box:x", "echo", "runs") == "runs"


def test_by_id_and_without_a_name(sample: Pair, same: Same, tmp_path: Path) -> None:
    identity = sample[0].ok("images", "-q", "--no-trunc", "sample:1")
    for engine in sample:
        path = tmp_path / f"{engine.name}.tar"
        engine.ok("save", "-o", str(path), identity)
        assert json.loads(members(path.read_bytes())["manifest.json"])[0]["RepoTags"] is None
        engine.ok("rmi", "-f", identity)
        (engine.share / "id.tar").write_bytes(gzip.compress(path.read_bytes()))
    same("load", "-i", "SHARE/id.tar")
    same("load", "-q", "-i", "SHARE/id.tar")
    same("images", "--format", "{{.Repository}} {{.ID}}", "-f", "dangling=true")


def odd_layer() -> bytes:
    """What engines could take differently. Not: a time before 1970, which dockerd makes 1970 and ours keeps."""
    return tar_of(
        (member("t/first", mode=0o4755, uid=1, gid=2, mtime=1_000_000), b"content"),
        (
            member("t/hard", tarfile.LNKTYPE, linkname="t/first", mode=0o640, uid=3, gid=4, mtime=2_000_000),
            b"",
        ),
        (member("t/soft", tarfile.SYMTYPE, linkname="first", mode=0o777, uid=5, gid=6, mtime=3_000_000), b""),
        (
            member("t/again", tarfile.LNKTYPE, linkname="t/soft", mode=0o600, uid=7, gid=8, mtime=4_000_000),
            b"",
        ),
        (member("t/dir", tarfile.DIRTYPE, mode=0o2750, uid=9, gid=10, mtime=5_000_000), b""),
        (member("t/" + "n" * 150, mtime=6_000_000, pax_headers={"mtime": "6000000.123456789"}), b"x"),
        (member("t/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666, mtime=7_000_000), b""),
        (member("t/fifo", tarfile.FIFOTYPE, mode=0o620, mtime=8_000_000), b""),
        (member("t/big", uid=2_000_000, gid=3_000_000, mtime=0), b""),
    )


def test_an_odd_layer_unpacks_to_the_same(both: Pair, tmp_path: Path) -> None:
    path = tmp_path / "odd.tar"
    box = busybox_layer(Path(need("busybox", "busybox-static")))
    archive(path, ["odd:1"], [box, odd_layer()], {"Cmd": ["sh"], "Env": ["PATH=/bin"]})
    seen = []
    for engine in both:
        engine.ok("load", "-i", str(path))
        seen.append(
            engine.ok(
                "run", "--rm", "odd:1", "sh", "-c", "cd /t; stat -c '%N %a %u %g %h %F %s %t:%T %Y' *"
            ).splitlines()
        )
    assert seen[1] == seen[0]


def test_archives_that_are_none(both: Pair, tmp_path: Path) -> None:
    """Both refuse; the words differ, as dockerd tells of its temporary files."""
    good = tmp_path / "good.tar"
    archive(good, ["half:1"], two_layers(), {})
    data = good.read_bytes()
    cases = {"nonsense": b"nonsense" * 2000, "half": data[: len(data) // 2], "empty": b""}
    for name, content in cases.items():
        for engine in both:
            (engine.share / name).write_bytes(content)
            done = engine.docker("load", "-i", str(engine.share / name))
            assert done.code == 1, (engine.name, name, done)
            assert engine.docker("image", "inspect", "half:1").code == 1, name


def test_import(both: Pair, same: Same) -> None:
    root = io.BytesIO()
    with tarfile.open(fileobj=root, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"hello"))
    for engine in both:
        (engine.share / "root.tar").write_bytes(root.getvalue())
        (engine.share / "root.tar.gz").write_bytes(gzip.compress(root.getvalue()))
        (engine.share / "none.tar").write_bytes(b"none" * 1000)
    same("import", "-m", "why", "-c", 'CMD ["/bin/x"]', "-c", "ENV A=b", "SHARE/root.tar", "made:1")
    same("import", "SHARE/root.tar.gz", "made:2")
    form = "{{.RepoTags}} {{json .Config}} {{.Comment}} {{.Size}} {{.RootFS.Type}} {{len .RootFS.Layers}} {{.Author}}"
    same("inspect", "--format", form, "made:1", "made:2")
    same("history", "--format", "{{.CreatedBy}} {{.Size}} {{.Comment}}", "made:1")
    for engine in both:
        assert (
            "is not a valid change command"
            in engine.docker("import", "-c", "FROM x", str(engine.share / "root.tar")).err
        )
        assert engine.docker("import", str(engine.share / "none.tar")).code == 1


def test_login_without_a_guard(both: Pair, same: Same) -> None:
    """A registry that asks for nothing takes everything."""
    answers = [
        engine.api("POST", "/v1.44/auth", {"username": "a", "password": "b", "serveraddress": REGISTRY})
        for engine in both
    ]
    assert answers[0] == answers[1]
    for engine in both:
        assert (
            engine.api(
                "POST", "/v1.44/auth", {"username": "a", "password": "b", "serveraddress": "127.0.0.1:1"}
            ).status
            >= 500
        )


def test_search_that_is_wrong(both: Pair) -> None:
    for query in (
        "term=x&limit=101",
        "term=http://x",
        'term=x&filters={"nosuch":["1"]}',
        'term=x&filters={"stars":["x"]}',
    ):
        quoted = query.replace('"', "%22")
        theirs, ours = (engine.api("GET", f"/v1.44/images/search?{quoted}") for engine in both)
        assert ours.status == theirs.status, query
