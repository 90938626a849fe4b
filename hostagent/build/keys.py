"""Cache keys: what a step's result depends on, hashed. The same inputs give the same key on any machine.

Inputs are named by content (a chain ID, a digest of the files that are used), never by where they came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from hostagent.build import ops

_MOUNT_FIELDS = (
    "kind",
    "target",
    "read_only",
    "identity",
    "sharing",
    "size",
    "mode",
    "uid",
    "gid",
    "variable",
)
VERSION = 1
"""Raised when a step comes to do something else with the same definition."""


def run_key(op: ops.Run, parent: str, sources: Mapping[ops.Mount, str]) -> str:
    """`sources`: digests of what its bind mounts show. Contents of caches, secrets and agents do not count."""
    mounts = [
        {
            **{name: getattr(mount, name) for name in _MOUNT_FIELDS},
            "files": sources.get(mount, ""),
        }
        for mount in op.mounts
    ]
    definition = [op.arguments, op.environment, op.working_dir, op.user, mounts, op.network, op.privileged]
    return _key("run", parent, definition)


def copy_key(op: ops.Copy, parent: str, files: str) -> str:
    """`files`: the digest of what is copied."""
    definition = [op.paths, op.destination, op.chown, op.chmod, op.parents, op.unpack]
    return _key("copy", parent, [files, *definition])


def directory_key(op: ops.MakeDirectory, parent: str) -> str:
    return _key("directory", parent, [op.path])


def _key(kind: str, parent: str, definition: list[object]) -> str:
    text = json.dumps([VERSION, kind, parent, definition], separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
