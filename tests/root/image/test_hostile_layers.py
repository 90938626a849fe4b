"""Layers made to harm: whatever happens, nothing outside of the layer's directory changes."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from hostagent.errors import EngineError, Invalid, Unsupported
from hostagent.image.service import ImageService
from tests.root.image.conftest import left_over, stream
from tests.root.image.samples import archived, member, tar_of

pytestmark = pytest.mark.root

DIR, LINK, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


async def load(service: ImageService, tmp_path: Path, layer: bytes) -> str:
    """Load an image of one layer; its directory."""
    await service.load(stream(archived(tmp_path / "bad.tar", ["bad:1"], [layer])), lambda _: None)
    (directory,) = service.lowerdirs(service.resolve("bad:1"))
    return directory


async def refused(
    service: ImageService, tmp_path: Path, layer: bytes, error: type[EngineError] = Invalid
) -> str:
    with pytest.raises(error) as caught:
        await load(service, tmp_path, layer)
    assert left_over(service) == []
    return str(caught.value)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/../evil", "./../../evil", ".."])
async def test_a_path_that_leads_outside(service: ImageService, tmp_path: Path, name: str) -> None:
    assert "which leads outside the layer: refused" in await refused(
        service, tmp_path, tar_of((member(name), b"x"))
    )
    assert not list(tmp_path.rglob("evil"))


async def test_a_hardlink_that_leads_outside(service: ImageService, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    layer = tar_of((member("x", HARD, linkname="../../../../secret"), b""))
    assert "leads outside" in await refused(service, tmp_path, layer)
    # An absolute one is meant inside of the container, and is not there.
    layer = tar_of((member("x", HARD, linkname=f"{tmp_path}/secret"), b""))
    assert "No such file" in await refused(service, tmp_path, layer)


async def test_writing_through_a_symlink_stays_inside(service: ImageService, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    layer = tar_of(
        (member("esc", LINK, linkname=str(victim)), b""),
        (member("esc/evil"), b"x"),
    )
    # The link's target does not exist in the layer, so there is no directory to write into.
    assert "cannot apply 'esc/evil'" in await refused(service, tmp_path, layer)
    layer = tar_of(
        (member("up", LINK, linkname="../../../../../.."), b""),
        (member("up/evil"), b"x"),
    )
    directory = await load(service, tmp_path, layer)
    assert sorted(os.listdir(directory)) == ["evil", "up"], "above the root is the root"
    assert list(victim.iterdir()) == []


async def test_a_file_written_over_a_symlink_replaces_it(service: ImageService, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    layer = tar_of((member("x", LINK, linkname=str(victim)), b""), (member("x"), b"mine"))
    directory = await load(service, tmp_path, layer)
    assert not os.path.islink(f"{directory}/x") and Path(directory, "x").read_bytes() == b"mine"
    assert victim.read_text() == "untouched"


async def test_the_later_member_wins(service: ImageService, tmp_path: Path) -> None:
    layer = tar_of(
        (member("d", DIR, mode=0o755), b""),
        (member("d/x"), b"1"),
        (member("d"), b"now a file"),
        (member("f"), b"1"),
        (member("f", DIR, mode=0o700), b""),
        (member("f/y"), b"2"),
    )
    directory = Path(await load(service, tmp_path, layer))
    assert (directory / "d").read_bytes() == b"now a file" and (directory / "f" / "y").read_bytes() == b"2"


async def test_overlay_attributes_in_a_layer_are_dropped(service: ImageService, tmp_path: Path) -> None:
    forged = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.fine": "1"}
    layer = tar_of((member("d", DIR, mode=0o755, pax_headers=forged), b""))
    directory = await load(service, tmp_path, layer)
    assert os.listxattr(f"{directory}/d") == ["user.fine"]


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh.."])
async def test_whiteouts_of_nothing(service: ImageService, tmp_path: Path, name: str) -> None:
    assert "hides no file: refused" in await refused(service, tmp_path, tar_of((member(name), b"")))


async def test_a_whiteout_and_its_replacement_in_one_layer(service: ImageService, tmp_path: Path) -> None:
    layer = tar_of(
        (member(".wh.a"), b""),
        (member("a", DIR, mode=0o755), b""),
        (member("b", DIR, mode=0o755), b""),
        (member(".wh.b"), b""),
        (member(".wh.c"), b""),
        (member("c"), b"new"),
        (member(".wh.e"), b""),
        (member("e/f"), b"new"),
    )
    directory = await load(service, tmp_path, layer)
    for name in "abe":
        assert os.getxattr(f"{directory}/{name}", "trusted.overlay.opaque") == b"y", name
    assert Path(directory, "c").read_bytes() == b"new"


async def test_a_tree_deeper_than_paths_can_be(service: ImageService, tmp_path: Path) -> None:
    deep = "d/" * 1900
    members = [(member(deep, DIR, mode=0o755), b""), (member("l", LINK, linkname=deep), b"")]
    members += [(member("l/" + "e/" * 1000, DIR, mode=0o755), b""), (member("l/bad\0name"), b"")]
    layer = tar_of(*members, (member("../out"), b""))
    await refused(service, tmp_path, layer)


async def test_a_huge_extended_header(service: ImageService, tmp_path: Path) -> None:
    layer = tar_of((member("x", pax_headers={"path": "y" * (2 << 20)}), b""))
    assert "the limit is 1048576" in await refused(service, tmp_path, layer)


async def test_numbers_that_are_too_large(service: ImageService, tmp_path: Path) -> None:
    layer = tar_of((member("x", pax_headers={"uid": str(1 << 80)}), b""))
    assert "too large" in await refused(service, tmp_path, layer)
    layer = tar_of((member("x", pax_headers={"mtime": "9" * 30}), b""))
    assert "too large" in await refused(service, tmp_path, layer)


async def test_a_sparse_member(service: ImageService, tmp_path: Path) -> None:
    layer = tar_of((member("x", pax_headers={"GNU.sparse.major": "1"}), b""))
    assert "is a sparse member" in await refused(service, tmp_path, layer, Unsupported)


async def test_a_small_archive_that_inflates_to_much_needs_little_memory(
    service: ImageService, tmp_path: Path
) -> None:
    import gzip

    layer = gzip.compress(tar_of((member("zeros"), bytes(64 << 20))))
    assert len(layer) < 100_000
    await service.import_(stream(layer), None, "", [])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "no archive of images"),
        (b"garbage" * 1000, "not a tar archive"),
        (tar_of((member("manifest.json"), b"[]x")), "manifest.json is malformed"),
        (tar_of((member("manifest.json"), b'[{"Config":"c","Layers":[]}]')), "the archive has no 'c'"),
        (tar_of((member("manifest.json"), b'[{"Config":"../../etc/passwd"}]')), "the archive has no"),
    ],
)
async def test_archives_that_are_none(service: ImageService, data: bytes, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        await service.load(stream(data), lambda _: None)
    assert left_over(service) == []
