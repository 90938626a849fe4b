"""What the log holds, for a client that attaches with `logs=1`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence


def replay(path: str, streams: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """(stream, bytes) of every complete log entry; nothing when there is no log."""
    try:
        file = open(path, encoding="utf-8", errors="replace")  # noqa: SIM115  # closed by the with below
    except FileNotFoundError:
        return
    with file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # a line torn by a full disk
            if entry["stream"] in streams:
                yield entry["stream"], entry["log"].encode()
