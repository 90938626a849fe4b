"""Images on their way to another host; engines of ours only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import zstandard

from hostagent import wire
from hostagent.wire.handover import ImageLacks, ImageParts
from machine.client.docker_call import Caller, decode, path_of
from machine.errors import DaemonError, MachineError, Unavailable


class Handovers:
    """All raise DaemonError; an engine that has none of these calls is told as such."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def parts(self, name: str) -> ImageParts:
        """What an image is made of."""
        with _known():
            return self._caller.get(path_of("pymachine", "v1", "images", name, "parts"), ImageParts)

    def read(self, name: str, digest: str, offset: int) -> Iterator[bytes]:
        """The bytes of one of its layers, from `offset`."""
        response = self._caller.call(
            "GET",
            path_of("pymachine", "v1", "images", name, "layer"),
            {"digest": digest, "offset": offset},
            timeout=None,
        )
        unpacker = zstandard.ZstdDecompressor().decompressobj()
        with response:
            for piece in response.pieces():
                if data := unpacker.decompress(piece):
                    yield data
        if not unpacker.eof:
            raise Unavailable(f"the layer {digest} broke off on its way: try again, what has arrived stays")

    def take(self, parts: ImageParts) -> ImageLacks:
        """Make it an image there; what is missing for that."""
        with _known():
            response = self._caller.call("POST", _IMAGES, body=wire.encode(parts), timeout=None)
            return decode(response.read(), ImageLacks)

    def send(self, stream: Iterable[bytes]) -> None:
        """Contents, as builds send theirs."""
        self._caller.call("POST", _CONTENTS, body=stream, headers=_BYTES, timeout=None).read()


@contextmanager
def _known() -> Iterator[None]:
    try:
        yield
    except DaemonError as error:
        if error.status == 404 and str(error) == "page not found":
            raise MachineError(
                "the engine there hands no images on (dockerd, or older than this pymachine): use save and load"
            ) from error
        raise


_IMAGES = "/pymachine/v1/images"
_CONTENTS = "/pymachine/v1/contents"
_BYTES = {"Content-Type": "application/octet-stream"}
