"""Moves an image from one host to others: a layer that any of them lacks is fetched once and sent to all of those."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, Final

import zstandard

from hostagent.wire.context import FRAME
from hostagent.wire.handover import ImageLacks, ImageLayer, ImageParts
from machine.client.docker_handover import Handovers
from machine.errors import MachineError

BATCH: Final = 32 * 1024 * 1024
"""Bytes in one request: what has arrived stays, so a broken line costs no more than this."""
_PIECE: Final = 1024 * 1024

Sent = Callable[[str, int], None]
"""Hears of bytes that a host got."""


@dataclass
class Outcome:
    """One host's: layers of the image, those that it lacked, bytes that were sent, and what went wrong."""

    layers: int = 0
    lacked: int = 0
    sent: int = 0
    error: MachineError | None = None
    lacks: ImageLacks = field(default_factory=ImageLacks)

    def wants(self, layer: ImageLayer) -> bool:
        return self.error is None and layer.digest in self.lacks.missing


def push_to(
    source: Handovers, targets: Mapping[str, Handovers], image: str, sent: Sent
) -> tuple[ImageParts, dict[str, Outcome]]:
    """One outcome for each target; what goes wrong with one of them does not stop the others. Raises what is wrong with
    the source."""
    parts = source.parts(image)
    outcomes = {name: Outcome(layers=len(parts.layers)) for name in targets}
    with ThreadPoolExecutor(max(len(targets), 1)) as pool:

        def each(act: Callable[[str], None]) -> None:
            def guarded(name: str) -> None:
                try:
                    act(name)
                except MachineError as error:
                    outcomes[name].error = error

            list(pool.map(guarded, [name for name in targets if outcomes[name].error is None]))

        def ask(name: str) -> None:
            outcomes[name].lacks = targets[name].take(parts)
            outcomes[name].lacked = len(set(outcomes[name].lacks.missing))

        each(ask)
        done: set[str] = set()
        for layer in parts.layers:
            wanting = [name for name, outcome in outcomes.items() if outcome.wants(layer)]
            if not wanting or layer.digest in done:
                continue
            done.add(layer.digest)
            begun = {name: outcomes[name].lacks.begun.get(layer.digest, 0) for name in wanting}
            with _fetched(source, image, layer, min(begun.values())) as file:

                def give(name: str, layer: ImageLayer = layer, file: _Fetched = file) -> None:
                    if outcomes[name].wants(layer):
                        start = outcomes[name].lacks.begun.get(layer.digest, 0)
                        for part in file.batches(start):
                            targets[name].send(file.frames(layer.digest, *part))
                            outcomes[name].sent += part[1]
                            sent(name, part[1])

                each(give)

        def finish(name: str) -> None:
            if outcomes[name].lacks.missing and targets[name].take(parts).missing:
                raise MachineError(f"{name} did not keep what it was sent: try again")

        each(finish)
    return parts, outcomes


class _Fetched:
    """A layer's bytes from `start` on, in a temporary file; several threads read it."""

    def __init__(self, file: IO[bytes], start: int) -> None:
        self._file = file
        self._start = start
        self.size = start + os.fstat(file.fileno()).st_size

    def __enter__(self) -> _Fetched:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def batches(self, offset: int) -> Iterator[tuple[int, int]]:
        """Offset and length; one of no length for a layer that is there but for its check."""
        yield offset, min(BATCH, self.size - offset)
        for begin in range(offset + BATCH, self.size, BATCH):
            yield begin, min(BATCH, self.size - begin)

    def frames(self, digest: str, offset: int, length: int) -> Iterator[bytes]:
        packer = zstandard.ZstdCompressor(level=1).compressobj()
        head = FRAME.pack(bytes.fromhex(digest.removeprefix("sha256:")), self.size, offset, length)
        yield packer.compress(head)
        while length:
            piece = os.pread(self._file.fileno(), min(_PIECE, length), offset - self._start)
            offset += len(piece)
            length -= len(piece)
            yield packer.compress(piece)
        yield packer.flush()


def _fetched(source: Handovers, image: str, layer: ImageLayer, offset: int) -> _Fetched:
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by what is returned
    try:
        for piece in source.read(image, layer.digest, offset):
            file.write(piece)
        file.flush()
    except OSError as error:
        file.close()
        raise MachineError(f"cannot keep a layer in {tempfile.gettempdir()}: {error.strerror}") from error
    except BaseException:
        file.close()
        raise
    return _Fetched(file, offset)
