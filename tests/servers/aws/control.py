"""What a test can have the cloud do, and what it can ask of it beside AWS's own calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

UNSEEN_SECONDS: Final = 0.15  # of an instance that has just been made


@dataclass
class Refusal:
    """RunInstances is refused with `code` for instances that fit; empty fields fit all."""

    code: str
    market: str = ""
    type: str = ""
    zone: str = ""


@dataclass
class Control:
    address: str = "198.51.100.7"  # that its clients seem to come from
    refusals: list[Refusal] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)  # actions, as in IAM
    missing: list[str] = field(default_factory=list)  # prefixes of SSM parameters that there are not
    calls: dict[str, int] = field(default_factory=dict)  # by action

    def refusal(self, market: str, kind: str, zone: str) -> str | None:
        for item in self.refusals:
            if item.market in ("", market) and item.type in ("", kind) and item.zone in ("", zone):
                return item.code
        return None
