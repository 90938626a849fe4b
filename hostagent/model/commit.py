"""What POST /commit asks for."""

from __future__ import annotations

from dataclasses import dataclass

from hostagent.model.reference import Reference


@dataclass(frozen=True)
class CommitOptions:
    """`changes` are Dockerfile instructions; `pause`: the container stands still meanwhile."""

    reference: Reference | None = None
    author: str = ""
    comment: str = ""
    pause: bool = True
    changes: tuple[str, ...] = ()
