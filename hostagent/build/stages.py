"""Which stages a build needs, and which images they start from. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hostagent.build.runmount import mount_origin
from hostagent.build.scope import Head
from hostagent.dockerfile import instructions as it
from hostagent.dockerfile import source
from hostagent.dockerfile.instructions import Dockerfile, Stage
from hostagent.errors import Invalid
from hostagent.model.image import Image

SCRATCH = "scratch"
Images = Mapping[tuple[str, str], Image]
"""By name and platform, "" for any."""


@dataclass(frozen=True)
class Needed:
    """`order`: indices of stages, each after those that it needs, the target last. `images`: (name, platform)."""

    order: tuple[int, ...]
    target: int
    images: tuple[tuple[str, str], ...]


class Stages:
    """The stages of a file, found by name and number."""

    def __init__(self, dockerfile: Dockerfile, head: Head, platform: str = "") -> None:
        """`platform` is that of images for which none is given."""
        self._stages = dockerfile.stages
        self._bases = [_base(stage, head) for stage in dockerfile.stages]
        self._platforms = [head.expand(stage.head.platform).text or platform for stage in dockerfile.stages]
        self.default_platform = platform

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

    def needed(self, target: str, known: Images) -> Needed:
        """What the target stage is made from, directly or not; stages that nothing needs are not built.

        What the ONBUILD instructions of base images need is seen only when these are `known`: ask again then.
        """
        last = self.target(target)
        order: list[int] = []
        images: dict[tuple[str, str], None] = {}
        self._visit(last, known, order, images)
        return Needed(tuple(order), last, tuple(images))

    def triggers(self, index: int, known: Images) -> list[it.Instruction]:
        """What ONBUILD of the base has for a stage; it comes first."""
        earlier = self.find(self._bases[index], index)
        if earlier is not None:
            steps = self._stages[earlier].instructions
            texts = [step.trigger for step in steps if isinstance(step, it.OnBuild)]
        else:
            image = known.get((self._bases[index], self._platforms[index]))
            texts = list(image.config.on_build) if image is not None else []
        return [it.instruction(each) for text in texts for each in source.read(text.encode()).statements]

    def _visit(
        self, index: int, known: Images, order: list[int], images: dict[tuple[str, str], None]
    ) -> None:
        if index in order:
            return
        for name, platform in self._origins(index, known):
            found = self.find(name, index)
            if found is not None:
                self._visit(found, known, order, images)
            elif name != SCRATCH:
                images[(name, platform)] = None
        order.append(index)

    def _origins(self, index: int, known: Images) -> Iterator[tuple[str, str]]:
        """Names of stages and images that a stage takes files from, and the platform that an image is wanted for."""
        yield self._bases[index], self._platforms[index]
        for step in (*self.triggers(index, known), *self._stages[index].instructions):
            names: list[str] = []
            if isinstance(step, it.Copy):
                names = [step.origin]
            elif isinstance(step, it.Run):
                names = [mount_origin(mount) for mount in step.mounts]
            yield from ((name, self.default_platform) for name in names if name)


def _base(stage: Stage, head: Head) -> str:
    name = head.expand(stage.head.base).text
    if not name:
        line = stage.head.statement.first
        raise Invalid(
            f"dockerfile parse error on line {line}: base name ({stage.head.base}) should not be blank"
        )
    return name
