"""A user's own seccomp profile (`--security-opt seccomp=FILE`, which the client sends as JSON) as rules.

Format: Docker's, a runtime-spec seccomp object with conditions (includes, excludes) and archMap.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hostagent.engine.isolation.seccomp import Profile, ProfileRule, Scope
from hostagent.errors import EngineError
from hostagent.kernel import seccomp
from hostagent.kernel.seccomp import Condition, Rule

DEFAULT_ERRNO = 1
"""EPERM, where a profile says no other."""

_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_LOG": seccomp.LOG,
    "SCMP_ACT_ALLOW": seccomp.ALLOW,
}
"""SECCOMP_RET_* (seccomp(2)); those that carry a number are made in `_action`."""
_TRACE, _NOTIFY = 0x7FF00000, "SCMP_ACT_NOTIFY"


class _Scope(msgspec.Struct, frozen=True):
    caps: tuple[str, ...] | None = ()
    arches: tuple[str, ...] | None = ()
    min_kernel: str | None = msgspec.field(name="minKernel", default=None)

    def scope(self) -> Scope:
        return Scope(frozenset(self.caps or ()), frozenset(self.arches or ()), _kernel(self.min_kernel))


class _Argument(msgspec.Struct, frozen=True):
    index: int
    value: int
    op: str
    value_two: int = msgspec.field(name="valueTwo", default=0)

    def condition(self) -> Condition:
        if self.op not in seccomp.OPERATORS:
            raise EngineError(f"string {self.op} is not a valid operator for seccomp")
        return Condition(self.index, self.op, self.value, self.value_two)


class _Syscall(msgspec.Struct, frozen=True):
    action: str
    names: tuple[str, ...] | None = ()
    name: str = ""
    errno: int | None = msgspec.field(name="errnoRet", default=None)
    args: tuple[_Argument, ...] | None = ()
    includes: _Scope | None = None
    excludes: _Scope | None = None

    def rule(self) -> ProfileRule:
        if self.name and self.names:
            raise EngineError(
                "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'"
            )
        rule = Rule(
            tuple(self.names or (self.name,)),
            _action(self.action, self.errno),
            tuple(argument.condition() for argument in self.args or ()),
        )
        return ProfileRule(rule, (self.includes or _Scope()).scope(), (self.excludes or _Scope()).scope())


class _Architecture(msgspec.Struct, frozen=True):
    architecture: str
    sub: tuple[str, ...] | None = msgspec.field(name="subArchitectures", default=())


class _Document(msgspec.Struct, frozen=True):
    default_action: str = msgspec.field(name="defaultAction", default="")
    default_errno: int | None = msgspec.field(name="defaultErrnoRet", default=None)
    architectures: tuple[str, ...] | None = ()
    arch_map: tuple[_Architecture, ...] | None = msgspec.field(name="archMap", default=())
    syscalls: tuple[_Syscall, ...] | None = ()
    flags: tuple[str, ...] | None = ()
    listener: Any = msgspec.field(name="listenerPath", default=None)


def parse(text: str) -> Profile | None:
    """None for a profile that says nothing: then there is no filter. EngineError says what is wrong."""
    try:
        document = msgspec.json.decode(text, type=_Document)
    except msgspec.DecodeError as error:
        raise EngineError(f"Decoding seccomp profile failed: {error}") from None
    if not document.default_action and not document.syscalls:
        return None
    if document.architectures and document.arch_map:
        raise EngineError(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or "
            "'archMap'"
        )
    if document.listener or document.flags:
        what = "listenerPath" if document.listener else "flags"
        raise EngineError(f"seccomp profile: {what} is not supported here: take it out of the profile")
    groups = [(entry.architecture, *(entry.sub or ())) for entry in document.arch_map or ()] or [
        (name,) for name in document.architectures or ()
    ]
    return Profile(
        default=_action(document.default_action, document.default_errno),
        rules=tuple(entry.rule() for entry in document.syscalls or ()),
        architectures=tuple(tuple(_architecture(name) for name in group) for group in groups),
        mapped=bool(document.arch_map),
    )


def _action(name: str, number: int | None) -> int:
    if name == "SCMP_ACT_ERRNO":
        return seccomp.errno_action(DEFAULT_ERRNO if number is None else number)
    if name == "SCMP_ACT_TRACE":
        return _TRACE | (DEFAULT_ERRNO if number is None else number) & 0xFFFF
    if name not in _ACTIONS:
        hint = "needs a listener, which is not supported here" if name == _NOTIFY else "is not a valid action"
        raise EngineError(f"seccomp profile: action {name!r} {hint}")
    return _ACTIONS[name]


def _architecture(name: str) -> str:
    """SCMP_ARCH_X86_64 -> x86_64, as libseccomp has it."""
    if not name.startswith("SCMP_ARCH_"):
        raise EngineError(f"string {name} is not a valid arch for seccomp")
    return name.removeprefix("SCMP_ARCH_").lower()


def _kernel(text: str | None) -> tuple[int, int] | None:
    if not text:
        return None
    major, dot, minor = text.partition(".")
    if not (dot and major.isdecimal() and minor.isdecimal()):
        raise EngineError(
            f'Decoding seccomp profile failed: invalid kernel version: {text}, expected "<kernel>.<major>"'
        )
    return int(major), int(minor)
