"""Where a machine's engine finds images: mirrors, and registries that it may speak to without TLS."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from machine.errors import Usage

_HOST = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True)
class Registries:
    """As in Docker's daemon.json: `mirrors` are URLs tried before Docker Hub, `insecure` HOST[:PORT] or CIDR."""

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.mirrors or self.insecure)

    @classmethod
    def checked(cls, mirrors: Iterable[str], insecure: Iterable[str]) -> Registries:
        """Raises Usage for what the engine would not understand: better here than in its log."""
        return cls(tuple(map(_mirror, mirrors)), tuple(map(_insecure, insecure)))


NONE: Final = Registries()


def _mirror(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not _HOST.fullmatch(url.netloc) or url.query or url.fragment:
        raise Usage(
            f'"{text}" cannot be a registry mirror: write its URL, for example https://mirror.example'
        )
    return text


def _insecure(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        if not _HOST.fullmatch(text):
            raise Usage(
                f'"{text}" cannot be an insecure registry: write HOST[:PORT] without "http://", or a network '
                "like 10.0.0.0/8"
            ) from None
    return text
