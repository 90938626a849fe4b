"""What `docker rmi` decides, in Docker's words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hostagent.errors import Conflict
from hostagent.image.removing import Delete, Facts, Step, Untag, plan
from hostagent.model.reference import Reference

IMAGE, PARENT, OLDEST = ("sha256:" + digit * 64 for digit in "cba")
ONE, TWO = Reference.parse("app:1"), Reference.parse("app:2")
ELSEWHERE = Reference.parse("host:5000/app:1")
DIGEST = ONE.at("sha256:" + "d" * 64)
STOPPED, RUNNING = [("e" * 64, False)], [("f" * 64, True)]


class Family:
    """IMAGE with the given names and users; `lineage` are its parents, their names and users."""

    def __init__(
        self,
        *names: Reference,
        users: Sequence[tuple[str, bool]] = (),
        parents: dict[str, str] | None = None,
        parent_names: dict[str, list[Reference]] | None = None,
        parent_users: dict[str, list[tuple[str, bool]]] | None = None,
    ) -> None:
        self.names = {IMAGE: list(names), **(parent_names or {})}
        self.users = {IMAGE: list(users), **(parent_users or {})}
        self.parents = parents or {}

    def remove(
        self, asked: Reference | None, image: str = IMAGE, *, force: bool = False, prune: bool = True
    ) -> list[Step]:
        facts = Facts(
            names=lambda each: self.names.get(each, []),
            children=lambda each: [child for child, parent in self.parents.items() if parent == each],
            parent=lambda each: self.parents.get(each, ""),
            users=lambda each: self.users.get(each, []),
        )
        return plan(image, asked, facts, force=force, prune=prune, typed="app")


def test_one_of_several_names_is_only_untagged() -> None:
    assert Family(ONE, TWO, users=RUNNING).remove(ONE) == [Untag(IMAGE, ONE)]


def test_the_last_tag_takes_its_digests_and_the_image() -> None:
    steps = Family(ONE, DIGEST).remove(ONE)
    assert steps == [Untag(IMAGE, ONE), Untag(IMAGE, DIGEST, told=False), Delete(IMAGE)]


def test_a_used_image_keeps_its_last_name_unless_forced() -> None:
    with pytest.raises(
        Conflict, match=r'unable to remove repository reference "app" \(must force\) - container e{12} '
    ):
        Family(ONE, users=STOPPED).remove(ONE)
    assert Family(ONE, users=RUNNING).remove(ONE, force=True) == [Untag(IMAGE, ONE)]


def test_a_last_tag_of_a_repository_leaves_other_repositories_alone() -> None:
    steps = Family(ONE, DIGEST, ELSEWHERE, users=STOPPED).remove(ONE)
    assert steps == [Untag(IMAGE, ONE), Untag(IMAGE, DIGEST, told=False)]


def test_by_digest() -> None:
    assert Family(ONE, DIGEST).remove(DIGEST) == [Untag(IMAGE, DIGEST)]
    assert Family(DIGEST).remove(DIGEST) == [Untag(IMAGE, DIGEST), Delete(IMAGE)]


def test_by_id() -> None:
    assert Family(ONE, DIGEST).remove(None) == [Untag(IMAGE, ONE), Untag(IMAGE, DIGEST), Delete(IMAGE)]
    assert Family().remove(None) == [Delete(IMAGE)]
    for names in ((ONE, TWO), (ONE, ELSEWHERE), (ONE, ELSEWHERE.at(DIGEST.digest or ""))):
        with pytest.raises(Conflict, match=r"must be forced.*multiple repositories"):
            Family(*names).remove(None)
        assert Family(*names).remove(None, force=True)[-1] == Delete(IMAGE)
    with pytest.raises(Conflict, match=r"cannot be forced.*running container f{12}"):
        Family(ONE, users=RUNNING).remove(None, force=True)
    with pytest.raises(Conflict, match=r"must be forced.*stopped container e{12}"):
        Family(ONE, users=STOPPED).remove(None)
    forced = Family(ONE, users=STOPPED).remove(None, force=True)
    assert forced == [Untag(IMAGE, ONE)], "the container needs the layers"


def test_a_parent_stays_for_its_children() -> None:
    family = Family(ONE, parents={IMAGE: PARENT}, parent_names={PARENT: [TWO]})
    assert family.remove(TWO, PARENT) == [Untag(PARENT, TWO)]
    for force in (False, True):
        with pytest.raises(Conflict, match=r"cannot be forced\) - image has dependent child images"):
            family.remove(None, PARENT, force=force)


def test_parents_without_another_use_go_too() -> None:
    parents = {IMAGE: PARENT, PARENT: OLDEST}
    assert Family(ONE, parents=parents).remove(ONE) == [
        Untag(IMAGE, ONE),
        *(Delete(each) for each in (IMAGE, PARENT, OLDEST)),
    ]
    assert Family(ONE, parents=parents).remove(ONE, prune=False) == [Untag(IMAGE, ONE), Delete(IMAGE)]
    for reason in (
        Family(parents=parents, parent_names={OLDEST: [TWO]}),
        Family(parents=parents, parent_users={OLDEST: STOPPED}),
        Family(parents={**parents, "sha256:other": OLDEST}),
    ):
        assert reason.remove(None) == [Delete(IMAGE), Delete(PARENT)]
