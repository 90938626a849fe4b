"""`docker rmi`: what to untag and what to delete, in Docker's order and words (moby daemon/images/image_delete.go
describes the rules; the texts are compared by clients).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
class Plan:
    """What a removal comes to."""

    image: Image
    untag: tuple[Reference, ...]
    delete: bool


@dataclass
class Removed:
    """What was done, and the keys of the files to sweep."""

    lines: list[wire.ImageDeleted] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


def plan(
    image: Image,
    asked: Reference | None,
    names: Sequence[Reference],
    users: Sequence[tuple[str, bool]],
    force: bool,
    typed: str,
) -> Plan:
    """Decide. `asked` None = the image was named by its ID; `typed` is for messages. Raises Conflict."""
    identity = short(image.id)
    if asked is not None:
        gone = {asked}
        if asked.digest is None and not _tags(names, asked.repository) - gone:
            # The last tag of a repository takes the digests of that repository with it.
            gone |= {name for name in names if name.repository == asked.repository}
        if users and not force and _is_single(names):
            raise Conflict(
                f'conflict: unable to remove repository reference "{typed}" (must force) - '
                f"container {short(users[0][0])} is using its referenced image {identity}"
            )
        untag = tuple(name for name in names if name in gone)
        return Plan(image, untag, delete=len(untag) == len(names) and not users)
    running = [container for container, runs in users if runs]
    if running:
        raise Conflict(
            f"conflict: unable to delete {identity} (cannot be forced) - "
            f"image is being used by running container {short(running[0])}"
        )
    if not force and not _is_single(names):
        raise Conflict(
            f"conflict: unable to delete {identity} (must be forced) - "
            "image is referenced in multiple repositories"
        )
    if users and (not force or not names):
        # A stopped container needs the layers: forcing takes the names away and nothing more.
        must = "must" if names else "cannot"
        raise Conflict(
            f"conflict: unable to delete {identity} ({must} be forced) - "
            f"image is being used by stopped container {short(users[0][0])}"
        )
    return Plan(image, tuple(names), delete=not users)


def _tags(names: Sequence[Reference], repository: str) -> set[Reference]:
    return {name for name in names if name.digest is None and name.repository == repository}


def _is_single(names: Sequence[Reference]) -> bool:
    """Whether the names come to one: one tag at most, and digests of its repository only."""
    tags = [name for name in names if name.digest is None]
    return len(tags) <= 1 and len({name.repository for name in names}) <= 1


def perform(store: ImageStore, steps: Plan) -> Removed:
    """Change the rows; the files are swept by the caller."""
    removed = Removed()
    for name in steps.untag:
        store.unname(name)
        removed.lines.append(wire.ImageDeleted(untagged=name.familiar))
    if steps.delete:
        removed.keys = store.remove(steps.image)
        removed.lines.append(wire.ImageDeleted(deleted=steps.image.id))
        layers = [key.partition(":")[2] for key in removed.keys if key.startswith("layer:")]
        removed.lines += [wire.ImageDeleted(deleted=chain_id) for chain_id in reversed(layers)]
    return removed
