"""Images: load, save, import, tag, push, pull, remove, and what is wrong with them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

from tests.servers import image
from tests.servers.engine import REGISTRY_PORT, Engine

REGISTRY = f"127.0.0.1:{REGISTRY_PORT}"


def test_listing(engine: Engine) -> None:
    assert engine.ok("images", "--format", "{{.Repository}}:{{.Tag}}") == "busybox:latest"
    identity = engine.ok("images", "-q", "--no-trunc")
    assert engine.ok("image", "inspect", "-f", "{{.Id}}", "busybox") == identity
    (found,) = json.loads(engine.ok("image", "inspect", "busybox"))
    assert found["RepoTags"] == ["busybox:latest"]
    assert found["Config"]["Cmd"] == ["sh"]
    assert found["Os"] == "linux"
    assert found["RootFS"]["Type"] == "layers"
    assert len(found["RootFS"]["Layers"]) == 1
    assert found["Created"] == image.CREATED


def test_tag_and_untag(engine: Engine) -> None:
    engine.ok("tag", "busybox", "other:v1")
    assert engine.ok("image", "inspect", "-f", "{{.Id}}", "other:v1") == engine.ok(
        "image", "inspect", "-f", "{{.Id}}", "busybox"
    )
    assert engine.ok("rmi", "other:v1") == "Untagged: other:v1"
    assert engine.docker("image", "inspect", "other:v1").code == 1
    engine.ok("run", "--rm", "busybox", "true")


def test_an_image_in_use_is_kept(engine: Engine) -> None:
    engine.ok("tag", "busybox", "used:v1")
    engine.ok("create", "--name", "box", "used:v1", "true")
    result = engine.docker("rmi", engine.ok("image", "inspect", "-f", "{{.Id}}", "busybox"))
    assert result.code == 1
    assert "conflict" in result.err


def test_push_and_pull(engine: Engine) -> None:
    name = f"{REGISTRY}/team/box:v1"
    engine.ok("tag", "busybox", name)
    identity = engine.ok("image", "inspect", "-f", "{{.Id}}", name)
    pushed = engine.ok("push", name)
    assert "v1: digest: sha256:" in pushed
    digest = pushed.split("digest: ")[1].split(" ")[0]
    engine.ok("rmi", name)
    pulled = engine.ok("pull", name)
    assert f"Digest: {digest}" in pulled
    assert f"Status: Downloaded newer image for {name}" in pulled
    assert engine.ok("image", "inspect", "-f", "{{.Id}}", name) == identity
    assert "Image is up to date" in engine.ok("pull", name)
    assert engine.ok("run", "--rm", name, "echo", "hi") == "hi"
    engine.ok("pull", f"{REGISTRY}/team/box@{digest}")
    assert engine.ok("run", "--rm", f"{REGISTRY}/team/box@{digest}", "echo", "hi") == "hi"
    digests = json.loads(engine.ok("image", "inspect", "-f", "{{json .RepoDigests}}", name))
    assert f"{REGISTRY}/team/box@{digest}" in digests


def test_run_pulls_what_is_missing(engine: Engine) -> None:
    name = f"{REGISTRY}/auto:latest"
    engine.ok("tag", "busybox", name)
    engine.ok("push", name)
    engine.ok("rmi", name)
    result = engine.docker("run", "--rm", name, "echo", "hi")
    assert (result.code, result.out) == (0, "hi\n")
    assert f"Unable to find image '{name}' locally" in result.err


def test_pull_of_what_does_not_exist(engine: Engine) -> None:
    result = engine.docker("pull", f"{REGISTRY}/no/such:v1")
    assert result.code == 1
    assert "not found" in result.err or "manifest unknown" in result.err
    assert engine.docker("run", "--rm", f"{REGISTRY}/no/such:v1").code == 125


def test_pull_from_a_registry_that_is_down(engine: Engine) -> None:
    result = engine.docker("pull", "127.0.0.1:1/box:v1")
    assert result.code == 1
    assert "connection refused" in result.err.lower()


def test_save_and_load(engine: Engine, tmp_path: Path) -> None:
    engine.ok("tag", "busybox", "saved:v1")
    file = tmp_path / "saved.tar"
    engine.ok("save", "-o", str(file), "saved:v1")
    with tarfile.open(file) as tar:
        member = tar.extractfile("manifest.json")
        assert member
        (manifest,) = json.load(member)
        assert manifest["RepoTags"] == ["saved:v1"]
        names = set(tar.getnames())
        assert {manifest["Config"], *manifest["Layers"]} <= names
    identity = engine.ok("image", "inspect", "-f", "{{.Id}}", "saved:v1")
    engine.ok("rmi", "saved:v1")
    assert engine.ok("load", "-i", str(file)) == "Loaded image: saved:v1"
    assert engine.ok("image", "inspect", "-f", "{{.Id}}", "saved:v1") == identity


def test_load_of_a_compressed_archive(engine: Engine, busybox_tar: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.tar.gz"
    file.write_bytes(gzip.compress(busybox_tar.read_bytes(), 1))
    assert engine.ok("load", "-i", str(file)) == "Loaded image: busybox:latest"


def test_load_of_a_truncated_archive_changes_nothing(
    engine: Engine, busybox_tar: Path, tmp_path: Path
) -> None:
    file = tmp_path / "cut.tar"
    layers = [image.layer([image.Entry("file", data=b"x" * 3_000_000)])]
    image.archive(file, ["cut:v1"], layers, {})
    file.write_bytes(file.read_bytes()[:1_000_000])
    before = engine.ok("images", "-a", "-q")
    assert engine.docker("load", "-i", str(file)).code == 1
    assert engine.ok("images", "-a", "-q") == before


def test_import(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "root.tar"
    file.write_bytes(image.busybox_layer(Path("/bin/busybox")))
    engine.ok("import", "-c", "CMD echo imported", "-c", "ENV A=b", "-m", "why", str(file), "made:v1")
    assert engine.ok("run", "--rm", "made:v1") == "imported"
    assert engine.ok("image", "inspect", "-f", "{{.Comment}} {{.Config.Env}}", "made:v1") == "why [A=b]"


def test_history(engine: Engine) -> None:
    assert engine.ok("history", "--format", "{{.CreatedBy}}", "busybox") == "layer 0"


def test_layers_whiteouts_and_entrypoint(engine: Engine, tmp_path: Path) -> None:
    """Three layers: the second changes and removes files of the first, the third makes a folder opaque."""
    base = image.busybox_layer(Path("/bin/busybox"))
    one = image.layer(
        [
            image.Entry("d", tarfile.DIRTYPE, 0o755),
            image.Entry("d/kept", data=b"kept"),
            image.Entry("d/gone", data=b"gone"),
            image.Entry("e", tarfile.DIRTYPE, 0o755),
            image.Entry("e/hidden", data=b"hidden"),
            image.Entry("suid", mode=0o4755, data=b"x", uid=33, gid=50),
            image.Entry("hard", tarfile.LNKTYPE, link="d/kept"),
        ]
    )
    two = image.layer([image.Entry("d/.wh.gone"), image.Entry("d/kept", data=b"changed")])
    three = image.layer(
        [
            image.Entry("e", tarfile.DIRTYPE, 0o755),
            image.Entry("e/.wh..wh..opq"),
            image.Entry("e/new", data=b"new"),
        ]
    )
    config = {
        "Entrypoint": ["sh", "-c"],
        "Cmd": ["ls d e; cat d/kept hard; stat -c '%a %u %g' suid"],
        "WorkingDir": "/",
    }
    image.archive(tmp_path / "l.tar", ["layers:v1"], [base, one, two, three], {**config, "Env": [image.PATH]})
    engine.ok("load", "-i", str(tmp_path / "l.tar"))
    assert engine.ok("run", "--rm", "layers:v1") == "d:\nkept\n\ne:\nnew\nchangedkept4755 33 50"


def test_a_hostile_layer_stays_inside(engine: Engine, tmp_path: Path) -> None:
    """Links and names that lead out of the root are either refused or contained; nothing outside is touched."""
    outside = engine.share / "outside"
    outside.mkdir(exist_ok=True)
    bad = image.layer(
        [
            image.Entry("trap", tarfile.SYMTYPE, 0o777, link=str(outside)),
            image.Entry("trap/owned", data=b"owned"),
            image.Entry("up", tarfile.SYMTYPE, 0o777, link="../../../../../../../../../../" + str(outside)),
            image.Entry("up/owned", data=b"owned"),
        ]
    )
    image.archive(tmp_path / "h.tar", ["hostile:v1"], [image.busybox_layer(Path("/bin/busybox")), bad], {})
    engine.docker("load", "-i", str(tmp_path / "h.tar"))
    assert list(outside.iterdir()) == []


def test_a_layer_that_lies_about_its_digest(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "lie.tar"
    image.archive(file, ["lie:v1"], [image.layer([image.Entry("a", data=b"true")])], {})
    out = io.BytesIO()
    with tarfile.open(file) as source, tarfile.open(fileobj=out, mode="w") as target:
        for member in source.getmembers():
            stream = source.extractfile(member)
            assert stream
            data = stream.read()
            if member.name.endswith("layer.tar"):
                data = data.replace(b"true", b"lies")
            target.addfile(member, io.BytesIO(data))
    file.write_bytes(out.getvalue())
    assert engine.docker("load", "-i", str(file)).code == 1
    assert engine.docker("image", "inspect", "lie:v1").code == 1
