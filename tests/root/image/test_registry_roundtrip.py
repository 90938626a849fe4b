"""Load, push, pull, save, import against a real registry on loopback."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

from hostagent import wire
from hostagent.image.service import ImageService
from hostagent.model.reference import Reference
from hostagent.registry.config import RegistryConfig
from hostagent.statedb.database import Database
from tests.root.image.conftest import NewService, left_over, stream
from tests.root.image.samples import archived, digest, member, tar_of, two_layers
from tests.servers.registry import Registry

pytestmark = pytest.mark.root


def quiet(progress: wire.Progress) -> None:
    del progress


def tree(directory: str) -> dict[str, tuple[object, ...]]:
    """Everything that a layer's directory is."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, directories, files in os.walk(directory):
        for name in [".", *directories, *files]:
            path = os.path.normpath(os.path.join(folder, name))
            status = os.lstat(path)
            content: object = None
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isfile(path):
                content = Path(path).read_bytes()
            attributes = {
                key: os.getxattr(path, key, follow_symlinks=False)
                for key in os.listxattr(path, follow_symlinks=False)
            }
            links = status.st_nlink if not os.path.isdir(path) else 0
            found[os.path.relpath(path, directory)] = (
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_rdev,
                links,
                content,
                str(attributes),
                0 if name == "." else status.st_mtime_ns,
            )
    return found


async def loaded(service: ImageService, tmp_path: Path, name: str = "sample:1") -> bytes:
    data = archived(tmp_path / "sample.tar", [name], two_layers())
    await service.load(stream(data), quiet)
    return data


async def test_load_makes_overlay_layers(service: ImageService, tmp_path: Path) -> None:
    said: list[wire.Progress] = []
    data = archived(tmp_path / "sample.tar", ["sample:1"], two_layers())
    await service.load(stream(data), said.append)
    assert said[-1].stream == "Loaded image: sample:1\n"
    image = service.resolve("sample:1")
    top, base = (tree(path) for path in service.lowerdirs(image))
    assert base["bin/su"][0] == 0o104755 and base["bin/su"][2] == 7
    assert base["bin/su"][4] == 2 and base["bin/su2"][5] == b"#!"
    assert base["sh"][1:3] == (5, 6) and base["sh"][5] == "bin/su"
    assert base["owned"][0:3] == (0o100640, 1000, 1001) and "user.note" in str(base["owned"][6])
    assert base["data"][0] == 0o41777 and base["fifo"][0] == 0o010600
    assert top["etc/old"][0] == 0o020000 and top["etc/old"][3] == 0
    assert "trusted.overlay.opaque" in str(top["data"][6]) and set(top) == {
        ".",
        "etc",
        "etc/old",
        "data",
        "data/new",
    }


async def test_the_merged_view_hides_what_the_top_layer_removed(
    service: ImageService, tmp_path: Path
) -> None:
    await loaded(service, tmp_path)
    lower = ":".join(service.lowerdirs(service.resolve("sample:1")))
    view = subprocess.run(  # noqa: ASYNC221  # nothing else runs in this loop
        [
            "unshare",
            "-m",
            "sh",
            "-c",
            f"mount -t overlay o -o lowerdir={lower} {tmp_path} && cd {tmp_path} && find . | sort",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert "./data/new" in view and "./etc/passwd" in view
    assert "./data/gone" not in view and "./etc/old" not in view


async def test_push_and_pull_give_the_same_image(
    new_service: NewService, registry: Registry, tmp_path: Path
) -> None:
    one, two = new_service("one"), new_service("two")
    await loaded(one, tmp_path)
    name = Reference.parse(f"{registry.address}/team/sample:1")
    one.tag("sample:1", name)
    said: list[wire.Progress] = []
    await one.push(name, None, said.append)
    assert said[0].status == f"The push refers to repository [{name.repository}]"
    assert [line.status for line in said].count("Pushed") == 2
    pushed = str((said[-1].aux or {})["Digest"])
    pulled: list[wire.Progress] = []
    image = await two.pull(name, None, None, pulled.append)
    assert image == one.resolve("sample:1")
    assert [
        line.status for line in pulled if line.status.startswith(("Pulling from", "Digest", "Status"))
    ] == [
        "Pulling from team/sample",
        f"Digest: {pushed}",
        f"Status: Downloaded newer image for {name.familiar}",
    ]
    for first, second in zip(one.lowerdirs(image), two.lowerdirs(image), strict=True):
        assert tree(first) == tree(second)
    assert two.inspect(name.familiar).repo_digests == [f"{name.familiar_repository}@{pushed}"]
    assert two.resolve(f"{name.familiar_repository}@{pushed}") == image
    # Again: nothing is fetched, and the push is exact.
    again: list[wire.Progress] = []
    await two.pull(name, None, None, again.append)
    assert again[-1].status == f"Status: Image is up to date for {name.familiar}"
    other = Reference.parse(f"{registry.address}/team/copy:1")
    two.tag(name.familiar, other)
    mounted: list[wire.Progress] = []
    await two.push(other, None, mounted.append)
    assert (mounted[-1].aux or {})["Digest"] == pushed
    assert "Mounted from team/sample" in [line.status for line in mounted]
    by_digest = Reference.parse(f"{registry.address}/team/sample@{pushed}")
    three = new_service("three")
    assert await three.pull(by_digest, None, None, quiet) == image
    assert three.list(True, {})[0].repo_tags == []


async def test_save_is_loaded_again_bit_for_bit(
    new_service: NewService, registry: Registry, tmp_path: Path
) -> None:
    one, two = new_service("one"), new_service("two")
    await loaded(one, tmp_path)
    name = Reference.parse(f"{registry.address}/save/sample:1")
    one.tag("sample:1", name)
    await one.push(name, None, quiet)
    await one.pull(name, None, None, quiet)
    saved = b"".join([piece async for piece in one.save([name.familiar])])
    await two.load(stream(saved), quiet)
    assert two.resolve(name.familiar) == one.resolve(name.familiar)
    assert b"".join([piece async for piece in two.save([name.familiar])]) == saved
    # As an OCI layout only, too.
    (tmp_path / "saved.tar").write_bytes(saved)
    subprocess.run(  # noqa: ASYNC221
        ["tar", "--delete", "-f", tmp_path / "saved.tar", "manifest.json"], check=True
    )
    three = new_service("three")
    await three.load(stream((tmp_path / "saved.tar").read_bytes()), quiet)
    assert three.resolve(name.familiar) == one.resolve(name.familiar)


async def test_an_imported_layer_is_packed_for_the_push(new_service: NewService, registry: Registry) -> None:
    one, two = new_service("one"), new_service("two")
    name = Reference.parse(f"{registry.address}/imported:1")
    image_id = await one.import_(
        stream(two_layers()[0]), name, "made", ['CMD ["/bin/su"]', "ENV A=b c='d e'"]
    )
    assert one.inspect(name.familiar).config is not None
    image = one.resolve(image_id)
    assert image.config.cmd == ("/bin/su",) and image.config.env == ("A=b", "c=d e")
    await one.push(name, None, quiet)
    assert await two.pull(name, None, None, quiet) == image
    (first,), (second,) = one.lowerdirs(image), two.lowerdirs(image)
    assert tree(first) == tree(second)
    assert not list(one.store.tmp.iterdir())


@pytest.mark.parametrize("form", ["gzip", "zstd", "bzip2", "xz"])
async def test_compressed_archives_and_layers(
    new_service: NewService, registry: Registry, tmp_path: Path, form: str
) -> None:
    compress = {"gzip": pieces, "zstd": zstandard.compress, "bzip2": bz2.compress, "xz": lzma.compress}[form]
    plain = two_layers()
    diff_ids = [digest(layer) for layer in plain]
    config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": diff_ids}}).encode()
    manifest = [{"Config": "c.json", "RepoTags": [f"{form}:1"], "Layers": ["a", "b"]}]
    data = tar_of(
        (member("c.json"), config),
        (member("a"), compress(plain[0])),
        (member("b"), compress(plain[1])),
        (member("manifest.json"), json.dumps(manifest).encode()),
    )
    one, two = new_service("one"), new_service("two")
    await one.load(stream(compress(data)), quiet)
    name = Reference.parse(f"{registry.address}/{form}:1")
    one.tag(f"{form}:1", name)
    await one.push(name, None, quiet)
    assert list((await two.pull(name, None, None, quiet)).diff_ids) == diff_ids


def pieces(data: bytes) -> bytes:
    """gzip in several members, as pigz and stargz write it."""
    return gzip.compress(data[:700]) + gzip.compress(data[700:])


async def test_remove_leaves_nothing(service: ImageService, tmp_path: Path) -> None:
    await loaded(service, tmp_path)
    service.tag("sample:1", Reference.parse("other:2"))
    image = service.resolve("sample:1")
    removed = service.remove("sample:1", False, True, lambda _id: [])
    assert [(line.untagged, line.deleted) for line in removed] == [("sample:1", "")]
    removed = service.remove("other:2", False, True, lambda _id: [])
    assert [line.untagged or line.deleted for line in removed] == [
        "other:2",
        image.id,
        *reversed(image.chain_ids),
    ]
    await service.close()
    assert left_over(service) == []


async def test_an_old_archive_links_layers_that_occur_twice(service: ImageService, tmp_path: Path) -> None:
    """As docker save up to 24 wrote them: `<id>/layer.tar` is a symlink to another's."""
    layer = two_layers()[0]
    config = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)] * 2},
        }
    ).encode()
    manifest = [{"Config": "c.json", "RepoTags": ["twice:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}]
    data = tar_of(
        (member("c.json"), config),
        (member("a/layer.tar"), layer),
        (member("b/layer.tar", tarfile.SYMTYPE, linkname="../a/layer.tar"), b""),
        (member("manifest.json"), json.dumps(manifest).encode()),
    )
    await service.load(stream(data), quiet)
    top, base = service.lowerdirs(service.resolve("twice:1"))
    assert top != base and tree(top) == tree(base)


async def test_events(tmp_path: Path, registry: Registry) -> None:
    told: list[tuple[str, str, str]] = []
    database = Database(tmp_path / "state.db")
    service = ImageService(
        tmp_path,
        database,
        RegistryConfig(),
        lambda _kind, *what: told.append((what[0], what[1], what[2]["name"])),
    )
    try:
        await loaded(service, tmp_path)
        name = Reference.parse(f"{registry.address}/told:1")
        service.tag("sample:1", name)
        await service.push(name, None, quiet)
        await service.pull(name, None, None, quiet)
        identity = service.resolve("sample:1").id
        service.remove(identity, True, True, lambda _id: [])
        await service.close()
    finally:
        database.close()
    repository = name.familiar_repository
    assert told == [
        ("load", identity, identity),
        ("tag", identity, name.familiar),
        ("push", name.familiar, repository),
        ("pull", name.familiar, repository),
        *[("untag", identity, identity)] * 3,
        ("delete", identity, identity),
    ]
