"""How a container's output is to be logged: what the daemon has decided and the shim carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class LogPlan:
    """`driver` is json-file, local, journald or none."""

    driver: str
    path: str = ""
    """Of the file that is written now; rotated ones are beside it as `path`.1, .2 ..., the highest the oldest."""
    max_size: int = -1
    """Bytes at which a file is full; -1: never."""
    max_files: int = 1
    compress: bool = False
    """Rotated files become `path`.1.gz, ..."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """json-file: stands in each line. journald: fields of each message."""
    buffer: int = -1
    """mode=non-blocking: bytes that may wait while the log cannot be written; more is lost. -1: the container waits."""

    def fields(self) -> dict[str, Any]:
        """For a message to a shim."""
        return {name: getattr(self, name) for name in self.__match_args__}
