"""What `docker rmi` decides, in Docker's words."""

from __future__ import annotations

import pytest

from hostagent.errors import Conflict
from hostagent.image.removing import plan
from hostagent.model.image import Image, ImageConfig, Platform
from hostagent.model.reference import Reference

IMAGE = Image("sha256:" + "c" * 64, Platform("linux", "amd64"), ImageConfig(), ())
ONE, TWO = Reference.parse("app:1"), Reference.parse("app:2")
ELSEWHERE = Reference.parse("host:5000/app:1")
DIGEST = ONE.at("sha256:" + "d" * 64)
STOPPED, RUNNING = [("e" * 64, False)], [("f" * 64, True)]


def test_one_of_several_names_is_only_untagged() -> None:
    steps = plan(IMAGE, ONE, [ONE, TWO], RUNNING, force=False, typed="app")
    assert (steps.untag, steps.delete) == ((ONE,), False)


def test_the_last_tag_takes_its_digests_and_the_image() -> None:
    steps = plan(IMAGE, ONE, [ONE, DIGEST], [], force=False, typed="app")
    assert (steps.untag, steps.delete) == ((ONE, DIGEST), True)


def test_a_used_image_keeps_its_last_name_unless_forced() -> None:
    with pytest.raises(
        Conflict, match=r'unable to remove repository reference "app" \(must force\) - container e{12} '
    ):
        plan(IMAGE, ONE, [ONE], STOPPED, force=False, typed="app")
    steps = plan(IMAGE, ONE, [ONE], RUNNING, force=True, typed="app")
    assert (steps.untag, steps.delete) == ((ONE,), False)


def test_a_last_tag_of_a_repository_leaves_other_repositories_alone() -> None:
    steps = plan(IMAGE, ONE, [ONE, DIGEST, ELSEWHERE], STOPPED, force=False, typed="app")
    assert (steps.untag, steps.delete) == ((ONE, DIGEST), False)


def test_by_digest() -> None:
    steps = plan(IMAGE, DIGEST, [ONE, DIGEST], [], force=False, typed="app")
    assert (steps.untag, steps.delete) == ((DIGEST,), False)


def test_by_id() -> None:
    steps = plan(IMAGE, None, [ONE, DIGEST], [], force=False, typed="app")
    assert (steps.untag, steps.delete) == ((ONE, DIGEST), True)
    for several in ([ONE, TWO], [ONE, ELSEWHERE]):
        with pytest.raises(Conflict, match=r"must be forced.*multiple repositories"):
            plan(IMAGE, None, several, [], force=False, typed="app")
        assert plan(IMAGE, None, several, [], force=True, typed="app").delete
    with pytest.raises(Conflict, match=r"cannot be forced.*running container f{12}"):
        plan(IMAGE, None, [ONE], RUNNING, force=True, typed="app")
    with pytest.raises(Conflict, match=r"must be forced.*stopped container e{12}"):
        plan(IMAGE, None, [ONE], STOPPED, force=False, typed="app")
    assert not plan(IMAGE, None, [ONE], STOPPED, force=True, typed="app").delete, (
        "the container needs the layers"
    )
