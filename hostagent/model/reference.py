"""Names of images: the distribution reference grammar, with Docker's defaults filled in.

    busybox                        -> docker.io/library/busybox:latest
    127.0.0.1:5000/team/app@sha256:… -> domain 127.0.0.1:5000, path team/app, digest

Source: https://github.com/distribution/reference (grammar in reference.go, defaults in normalize.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from hostagent.errors import Invalid

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
NAME_LIMIT = 255  # characters of domain and path together

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HEX64 = re.compile(r"[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether `text` is `sha256:` and 64 lower-case hex digits, the only algorithm that we store by."""
    return _DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Reference:
    """One parsed name; `tag` and `digest` may both be given, then the digest decides."""

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str, *, default_tag: bool = True) -> Reference:
        """Parse what a person typed. Raises Invalid in Docker's words.

        Without tag and digest the tag is `latest`, unless `default_tag` is False.
        """
        if _HEX64.fullmatch(text):
            raise Invalid(
                f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings: "
                "write sha256: in front of an image ID"
            )
        rest, at, digest = text.partition("@")
        if at and not is_digest(digest):
            raise Invalid(
                f"invalid reference format: {text!r} has a digest that is not sha256:<64 hex digits>"
            )
        domain, path = _split_domain(rest)
        path, colon, tag = path.partition(":")
        if path != path.lower():
            raise Invalid(f"invalid reference format: repository name ({path}) must be lowercase")
        if not _PATH.fullmatch(path) or not _DOMAIN.fullmatch(domain):
            raise Invalid(f"invalid reference format: {text!r} is not [HOST[:PORT]/]NAME[:TAG][@DIGEST]")
        if colon and not _TAG.fullmatch(tag):
            raise Invalid(f"invalid reference format: {text!r} has a malformed tag")
        if len(domain) + 1 + len(path) > NAME_LIMIT:
            raise Invalid(
                f"invalid reference format: repository name must not be more than {NAME_LIMIT} characters"
            )
        if default_tag and not colon and not at:
            tag = DEFAULT_TAG
        return cls(domain, path, tag or None, digest or None)

    @property
    def repository(self) -> str:
        """`docker.io/library/busybox`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """`busybox`: as a person writes it, as long as that still means the same."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        head, _, tail = self.path.partition("/")
        if head == "library" and "/" not in tail:
            return tail
        # docker.io/a.b/c without its domain would be the repository c of the registry a.b.
        return self.repository if _is_host(head) else self.path

    @property
    def familiar(self) -> str:
        """`busybox:latest`: the shortest name that parses to the same."""
        return self.familiar_repository + self._suffix()

    def __str__(self) -> str:
        return self.repository + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def tagged(self, tag: str) -> Reference:
        """The same repository with `tag`, without digest. Raises Invalid when the tag is malformed."""
        if not _TAG.fullmatch(tag):
            raise Invalid(f"invalid tag format: {tag!r}")
        return Reference(self.domain, self.path, tag)

    def at(self, digest: str) -> Reference:
        """The same repository at `digest`, without tag."""
        return Reference(self.domain, self.path, None, digest)

    def without_digest(self) -> Reference:
        return replace(self, digest=None)

    def __post_init__(self) -> None:
        # A digest becomes part of a path on disk: nothing malformed may get that far, whoever made it.
        if self.digest is not None and not is_digest(self.digest):
            raise Invalid(f"invalid digest: {self.digest!r}")


def _is_host(part: str) -> bool:
    """Whether the first part of a name is a registry: it has a dot, a colon or a capital, or is localhost."""
    return "." in part or ":" in part or part == "localhost" or part.lower() != part


def _split_domain(name: str) -> tuple[str, str]:
    """The registry and the rest, with Docker's defaults."""
    head, slash, tail = name.partition("/")
    domain, rest = (head, tail) if slash and _is_host(head) else (DEFAULT_DOMAIN, name)
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in rest:
        rest = f"library/{rest}"
    return domain, rest
