"""`docker rmi`: what to untag and what to delete, in Docker's order and words (moby daemon/images/image_delete.go
describes the rules; the texts are compared by clients).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hostagent import wire
from hostagent.errors import Conflict
from hostagent.image.progress import short
from hostagent.image.store import ImageStore
from hostagent.model.image import Image
from hostagent.model.reference import Reference

Users = Callable[[str], Sequence[tuple[str, bool]]]
"""Image ID -> containers made from it: (ID, whether it runs)."""


@dataclass(frozen=True)
class Facts:
    """What the rules look at, by image ID; `parent` is "" for none, `children` were made from the image here."""

    names: Callable[[str], Sequence[Reference]]
    children: Callable[[str], Sequence[str]]
    parent: Callable[[str], str]
    users: Users


@dataclass(frozen=True)
class Untag:
    """Take a name away. `told` = listeners of events hear of it."""

    image_id: str
    name: Reference
    told: bool = True


@dataclass(frozen=True)
class Delete:
    """Delete an image that has no name any more."""

    image_id: str


Step = Untag | Delete


@dataclass
class Removed:
    """What was done, what listeners are told of (action, image), and the keys of the files to sweep."""

    lines: list[wire.ImageDeleted] = field(default_factory=list)
    told: list[tuple[str, Image]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


def plan(
    image_id: str, asked: Reference | None, facts: Facts, *, force: bool, prune: bool, typed: str
) -> list[Step]:
    """Decide. `asked` None = the image was named by its ID; `typed` is for messages. Raises Conflict.

    `prune`: parents that nothing needs any more go too.
    """
    names = list(facts.names(image_id))
    if asked is None:
        return [*_by_id(image_id, names, facts, force=force, prune=prune)]
    users = facts.users(image_id)
    if users and not force and _is_single(names):
        raise Conflict(
            f'conflict: unable to remove repository reference "{typed}" (must force) - '
            f"container {short(users[0][0])} is using its referenced image {short(image_id)}"
        )
    steps: list[Step] = [Untag(image_id, asked)]
    left = [name for name in names if name != asked]
    if asked.digest is None and not any(
        name.digest is None and name.repository == asked.repository for name in left
    ):
        # The last tag of a repository takes the digests of that repository with it.
        gone = [name for name in left if name.repository == asked.repository]
        steps += [Untag(image_id, name, told=False) for name in gone]
        left = [name for name in left if name not in gone]
    if left or facts.children(image_id) or users:
        # Without a name it stays for those who need it.
        return steps
    return [*steps, *_deletion(image_id, facts, prune=prune)]


def _by_id(
    image_id: str, names: Sequence[Reference], facts: Facts, *, force: bool, prune: bool
) -> Iterator[Step]:
    def refuse(must: str, why: str) -> Conflict:
        return Conflict(f"conflict: unable to delete {short(image_id)} ({must} be forced) - {why}")

    users = facts.users(image_id)
    if facts.children(image_id):
        raise refuse("cannot", "image has dependent child images")
    if running := [container for container, runs in users if runs]:
        raise refuse("cannot", f"image is being used by running container {short(running[0])}")
    if not force and names and not _is_single(names):
        raise refuse("must", "image is referenced in multiple repositories")
    if users and (not force or not names):
        # A stopped container needs the layers: forcing takes the names away and nothing more.
        why = f"image is being used by stopped container {short(users[0][0])}"
        raise refuse("must" if names else "cannot", why)
    yield from (Untag(image_id, name) for name in names)
    if not users:
        yield from _deletion(image_id, facts, prune=prune)


def _deletion(image_id: str, facts: Facts, *, prune: bool) -> Iterator[Step]:
    """The image, and the parents that had nothing but it."""
    yield Delete(image_id)
    child, parent = image_id, facts.parent(image_id)
    while prune and parent:
        if facts.names(parent) or facts.users(parent) or set(facts.children(parent)) != {child}:
            return
        yield Delete(parent)
        child, parent = parent, facts.parent(parent)


def _is_single(names: Sequence[Reference]) -> bool:
    """Whether the names come to one: one tag at most, and digests of its repository only."""
    if len(names) <= 1:
        return bool(names)
    tags = [name for name in names if name.digest is None]
    digests = {name.repository for name in names if name.digest is not None}
    return len(tags) <= 1 and digests == {(tags or names)[0].repository}


def perform(store: ImageStore, steps: Sequence[Step]) -> Removed:
    """Change the rows; the files are swept by the caller."""
    removed = Removed()
    for step in steps:
        image = store.image(step.image_id)
        assert image is not None
        if isinstance(step, Untag):
            store.unname(step.name)
            removed.lines.append(wire.ImageDeleted(untagged=step.name.familiar))
            if step.told:
                removed.told.append(("untag", image))
            continue
        keys = store.remove(image)
        removed.lines.append(wire.ImageDeleted(deleted=image.id))
        removed.told.append(("delete", image))
        layers = [key.partition(":")[2] for key in keys if key.startswith("layer:")]
        removed.lines += [wire.ImageDeleted(deleted=chain_id) for chain_id in reversed(layers)]
        removed.keys += keys
    return removed
