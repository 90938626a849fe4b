"""Docker's default seccomp profile, compiled for a set of capabilities, an architecture and a kernel.

The profile is data (profiles/seccomp.json); which of its rules apply depends on what the container may do.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NotRequired, TypedDict

from hostagent.errors import Unsupported
from hostagent.kernel import seccomp
from hostagent.kernel.seccomp import Condition, Rule

_TEXT = (files("hostagent.engine.isolation") / "profiles" / "seccomp.json").read_bytes()

PROFILE_DIGEST = hashlib.sha256(_TEXT).hexdigest()
"""Changes whenever a compiled filter would: for cache keys."""

_ARCHITECTURES = {
    "x86_64": ("amd64", ("x86_64", "x86", "x32")),
    "aarch64": ("arm64", ("aarch64", "arm")),
    "s390x": ("s390x", ("s390x", "s390")),
    "ppc64le": ("ppc64le", ("ppc64le",)),
    "riscv64": ("riscv64", ("riscv64",)),
}
"""uname's machine -> (name in the profile, libseccomp's names: the native one and those that run beside it)."""


class ScopeJson(TypedDict, total=False):
    caps: list[str]
    arches: list[str]
    minKernel: str


class ArgumentJson(TypedDict):
    index: int
    op: str
    value: int
    valueTwo: NotRequired[int]


class RuleJson(TypedDict):
    names: list[str]
    action: str
    errnoRet: NotRequired[int]
    args: NotRequired[list[ArgumentJson]]
    includes: NotRequired[ScopeJson]
    excludes: NotRequired[ScopeJson]


@dataclass(frozen=True)
class Scope:
    """Where a rule applies, or does not; empty fields say nothing."""

    caps: frozenset[str] = frozenset()
    arches: frozenset[str] = frozenset()
    min_kernel: tuple[int, int] | None = None


@dataclass(frozen=True)
class ProfileRule:
    rule: Rule
    includes: Scope
    excludes: Scope


@dataclass(frozen=True)
class Profile:
    """`default` is the action (a SECCOMP_RET_* word) where no rule applies. `architectures` are groups of libseccomp's
    names, none for the machine's own; when `mapped`, only the group that begins with the machine's counts."""

    default: int
    rules: tuple[ProfileRule, ...]
    architectures: tuple[tuple[str, ...], ...] = ()
    mapped: bool = False


def profile_for(capabilities: Collection[str], arch: str, kernel: str) -> bytes:
    """The default profile, compiled: see `compile_profile`."""
    return compile_profile(default_profile(), capabilities, arch, kernel)


def compile_profile(profile: Profile, capabilities: Collection[str], arch: str, kernel: str) -> bytes:
    """A profile as BPF (array of struct sock_filter), about 20 ms.

    `capabilities` are those of the bounding set ("CAP_CHOWN", ...), `arch` is uname's machine, `kernel` uname's
    release. Raises Unsupported for an architecture without a profile, Unavailable without libseccomp.
    """
    try:
        name, architectures = _ARCHITECTURES[arch]
    except KeyError:
        raise Unsupported(
            f"no seccomp profile for architecture {arch!r}: use --security-opt seccomp=unconfined"
        ) from None
    caps, version = frozenset(capabilities), _version(kernel)
    chosen = [entry.rule for entry in profile.rules if applies(entry, caps, name, version)]
    return seccomp.compile_filter(profile.default, _wanted(profile, architectures), chosen)


def _wanted(profile: Profile, own: tuple[str, ...]) -> tuple[str, ...]:
    """The architectures of a filter: the default profile's are all that run on the machine."""
    if profile is default_profile():
        return own
    groups = [group for group in profile.architectures if not profile.mapped or group[0] == own[0]]
    named = tuple(name for group in groups for name in group)
    return tuple(dict.fromkeys((own[0], *named)))


def applies(entry: ProfileRule, caps: frozenset[str], arch: str, kernel: tuple[int, int]) -> bool:
    """All capabilities and the architecture of `includes`, none of `excludes` (moby's profile format)."""
    includes, excludes = entry.includes, entry.excludes
    if not includes.caps <= caps or excludes.caps & caps:
        return False
    if (includes.arches and arch not in includes.arches) or arch in excludes.arches:
        return False
    if includes.min_kernel and kernel < includes.min_kernel:
        return False
    return not (excludes.min_kernel and kernel >= excludes.min_kernel)


@cache
def default_profile() -> Profile:
    document = json.loads(_TEXT)
    default = _action(document["defaultAction"], document["defaultErrnoRet"])
    return Profile(default, tuple(_rule(entry) for entry in document["rules"]))


def _rule(entry: RuleJson) -> ProfileRule:
    conditions = tuple(
        Condition(arg["index"], arg["op"], arg["value"], arg.get("valueTwo", 0))
        for arg in entry.get("args", ())
    )
    rule = Rule(tuple(entry["names"]), _action(entry["action"], entry.get("errnoRet", 1)), conditions)
    return ProfileRule(rule, _scope(entry.get("includes", {})), _scope(entry.get("excludes", {})))


def _scope(value: ScopeJson) -> Scope:
    kernel = value.get("minKernel")
    return Scope(
        caps=frozenset(value.get("caps", ())),
        arches=frozenset(value.get("arches", ())),
        min_kernel=_version(kernel) if kernel else None,
    )


def _action(name: str, number: int) -> int:
    if name == "SCMP_ACT_ALLOW":
        return seccomp.ALLOW
    if name == "SCMP_ACT_ERRNO":
        return seccomp.errno_action(number)
    raise ValueError(f"the profile uses an action that is not known here: {name}")


def _version(release: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)
