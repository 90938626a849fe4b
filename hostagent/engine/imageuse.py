"""Removing images, of which containers keep some in use: `docker rmi`, `docker image prune`."""

from __future__ import annotations

from collections.abc import Sequence

from hostagent import wire
from hostagent.engine.containers import Containers
from hostagent.engine.filters import Filters
from hostagent.image.service import ImageService


class ImageRemoval:
    """Images by name or ID."""

    def __init__(self, images: ImageService, containers: Containers) -> None:
        self._images = images
        self._containers = containers

    async def remove(self, name: str, force: bool, prune: bool) -> Sequence[wire.ImageDeleted]:
        """Conflict while a container or another image needs it, unless it only loses a name."""
        return self._images.remove(name, force, prune, self._users)

    async def prune(self, filters: Filters) -> wire.ImagesPruned:
        """Those without a tag, or all that no container needs. Raises Invalid."""
        return self._images.prune(filters, self._users)

    def _users(self, image_id: str) -> Sequence[tuple[str, bool]]:
        return [(each.id, each.state.running) for each in self._containers.using_image(image_id)]
