"""What ops come to: layers that are in the store, or files that are somewhere on this host for the time of a build."""

from __future__ import annotations

from dataclasses import dataclass

from hostagent.image.buildjobs import Archive
from hostagent.model.image import chain_ids


@dataclass(frozen=True)
class Layer:
    """`size` in bytes of its files."""

    diff_id: str
    size: int


@dataclass(frozen=True)
class Snapshot:
    """A stack of layers, from the bottom up; each is in the store under its chain ID."""

    layers: tuple[Layer, ...] = ()

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return tuple(layer.diff_id for layer in self.layers)

    @property
    def chain_ids(self) -> tuple[str, ...]:
        return chain_ids(self.diff_ids)

    @property
    def chain_id(self) -> str:
        """Of the whole stack; "" when it is empty."""
        return self.chain_ids[-1] if self.layers else ""

    def with_layer(self, layer: Layer | None) -> Snapshot:
        """One more on top; None is a step that has changed nothing."""
        return self if layer is None else Snapshot((*self.layers, layer))


@dataclass(frozen=True)
class Tree:
    """A directory of files, the build's own: a context, a download. `digest` is that of all its content; `manifest` the
    path of a list of it, if there is one."""

    directory: str
    digest: str
    manifest: str = ""


@dataclass(frozen=True)
class Tar:
    """A context that nobody has unpacked yet: hostagent.image.buildjobs.Archive."""

    archive: Archive


Result = Snapshot | Tree | Tar
