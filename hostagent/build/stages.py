"""Which stages a build needs, and which images they start from. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hostagent.build.runmount import mount_origin
from hostagent.build.scope import Head
from hostagent.dockerfile import instructions as it
from hostagent.dockerfile.instructions import Dockerfile, Stage
from hostagent.errors import Invalid

SCRATCH = "scratch"


@dataclass(frozen=True)
class Needed:
    """`order`: indices of stages, each after those that it needs, the target last. `images`: (name, platform)."""

    order: tuple[int, ...]
    target: int
    images: tuple[tuple[str, str], ...]


class Stages:
    """The stages of a file, found by name and number."""

    def __init__(self, dockerfile: Dockerfile, head: Head) -> None:
        self._stages = dockerfile.stages
        self._bases = [_base(stage, head) for stage in dockerfile.stages]
        self._platforms = [head.expand(stage.head.platform).text for stage in dockerfile.stages]

    def base(self, index: int) -> str:
        """What its FROM names, variables resolved."""
        return self._bases[index]

    def platform(self, index: int) -> str:
        return self._platforms[index]

    def find(self, name: str, before: int) -> int | None:
        """The stage of that name (the last before `before`) or number; None when it is an image's."""
        for index in range(before - 1, -1, -1):
            if self._stages[index].head.name == name.lower() != "":
                return index
        return int(name) if name.isdecimal() and int(name) < before else None

    def target(self, name: str) -> int:
        """Invalid when there is none of that name."""
        if not name:
            return len(self._stages) - 1
        found = self.find(name, len(self._stages))
        if found is None:
            raise Invalid(f'target stage "{name}" could not be found')
        return found

    def needed(self, target: str) -> Needed:
        """What the target stage is made from, directly or not; stages that nothing needs are not built."""
        last = self.target(target)
        order: list[int] = []
        images: dict[tuple[str, str], None] = {}
        self._visit(last, order, images)
        return Needed(tuple(order), last, tuple(images))

    def _visit(self, index: int, order: list[int], images: dict[tuple[str, str], None]) -> None:
        if index in order:
            return
        for name in self._origins(index):
            found = self.find(name, index)
            if found is not None:
                self._visit(found, order, images)
            elif name != SCRATCH:
                images[(name, self._platforms[index] if name == self._bases[index] else "")] = None
        order.append(index)

    def _origins(self, index: int) -> Iterator[str]:
        """Names of stages and images that a stage takes files from."""
        yield self._bases[index]
        for step in self._stages[index].instructions:
            if isinstance(step, it.Copy) and step.origin:
                yield step.origin
            elif isinstance(step, it.Run):
                yield from filter(None, (mount_origin(mount) for mount in step.mounts))


def _base(stage: Stage, head: Head) -> str:
    name = head.expand(stage.head.base).text
    if not name:
        line = stage.head.statement.first
        raise Invalid(
            f"dockerfile parse error on line {line}: base name ({stage.head.base}) should not be blank"
        )
    return name
