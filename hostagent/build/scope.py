"""Which variables an instruction sees: ARG and ENV, of the file's head and of a stage.

Source: the Dockerfile reference ("Understand how ARG and FROM interact", "Predefined ARGs", "Automatic platform ARGs").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hostagent.dockerfile.instructions import Arg
from hostagent.dockerfile.words import Dialect, Expanded, expand
from hostagent.model.image import Platform

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
"""Known without an ARG, in capitals or not; they reach RUN only, and neither history nor cache."""


def platform_arguments(target: Platform, build: Platform) -> dict[str, str]:
    """TARGETPLATFORM, BUILDOS, …: known in FROM; in a stage after an ARG that names them."""
    found: dict[str, str] = {}
    for prefix, platform in (("TARGET", target), ("BUILD", build)):
        found |= {
            f"{prefix}PLATFORM": str(platform),
            f"{prefix}OS": platform.os,
            f"{prefix}ARCH": platform.architecture,
            f"{prefix}VARIANT": platform.variant,
        }
    return found


class Head:
    """The ARGs before the first FROM, and what the build was given."""

    def __init__(
        self, given: Mapping[str, str], automatic: Mapping[str, str], declared: Iterable[Arg], escape: str
    ) -> None:
        self.given = given
        self._dialect = Dialect(escape=escape)
        self.values: dict[str, str] = dict(automatic)
        self.used: set[str] = set()
        for argument in declared:
            for name, default in argument.defaults:
                if name in given:
                    self.values[name] = given[name]
                elif default is not None:
                    self.values[name] = self.expand(default).text
                self.used.add(name)

    def expand(self, text: str) -> Expanded:
        return expand(text, self.values, self._dialect)


class Scope:
    """A stage's variables so far. What ENV says hides what ARG says."""

    def __init__(self, head: Head, environment: Iterable[str], escape: str) -> None:
        self._head = head
        self._dialect = Dialect(escape=escape)
        self.arguments: dict[str, str] = {}
        self.environment = dict(entry.partition("=")[::2] for entry in environment)

    def declare(self, argument: Arg) -> None:
        """ARG: the build's value, else the default here, else what the head of the file says."""
        for name, default in argument.defaults:
            self._head.used.add(name)
            if name in self._head.given:
                self.arguments[name] = self._head.given[name]
            elif default is not None:
                self.arguments[name] = self.expand(default).text
            elif name in self._head.values:
                self.arguments[name] = self._head.values[name]

    def set_environment(self, environment: Iterable[str]) -> None:
        """What ENV has made of it."""
        self.environment = dict(entry.partition("=")[::2] for entry in environment)

    def expand(self, text: str) -> Expanded:
        return expand(text, self.arguments | self.environment, self._dialect)

    def expand_plain(self, text: str) -> str:
        """For the text of a heredoc, in which quotes are only characters."""
        dialect = Dialect(escape=self._dialect.escape, plain_quotes=True)
        return expand(text, self.arguments | self.environment, dialect).text

    @property
    def visible(self) -> dict[str, str]:
        """What RUN gets from ARG, beside the environment."""
        return {name: text for name, text in self.arguments.items() if name not in self.environment}

    @property
    def proxies(self) -> tuple[str, ...]:
        names = [*PROXIES, *(name.lower() for name in PROXIES)]
        given = {name: self._head.given[name] for name in names if name in self._head.given}
        return tuple(f"{name}={text}" for name, text in given.items() if name not in self.arguments)
