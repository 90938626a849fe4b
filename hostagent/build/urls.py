"""URLs in Dockerfiles and of contexts. Source: Docker's reference of `docker build` ("Git repositories")."""

from __future__ import annotations

import re

from hostagent.build import ops

HTTP_URL = re.compile(r"https?://")
GIT_URL = re.compile(r"git@[^:]+:|git://|ssh://git@|https?://[^#]*\.git(#|$)")


def git_origin(url: str, keep_git: bool = False, checksum: str = "") -> ops.Git:
    """`URL#branch:folder`; either part may be missing."""
    url, _, fragment = url.partition("#")
    reference, _, subdirectory = fragment.partition(":")
    return ops.Git(url, reference, subdirectory, keep_git, checksum)
