"""Compile syscall rules to a classic BPF filter with libseccomp, by ctypes; only the daemon needs the library.

The program is exported as bytes, which init loads by itself (`libc.load_seccomp_filter`).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from hostagent.errors import Unavailable
from hostagent.kernel.fds import owned

ALLOW = 0x7FFF0000
LOG = 0x7FFC0000
ENOSYS = 38

_FILTER_OPTIMIZE = 8
_BINARY_TREE = 2
_UNKNOWN_SYSCALL = -1
_X32_BIT = 0x40000000

# BPF (linux/filter.h): load a word of struct seccomp_data, jump, return
_LOAD, _JUMP, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_AT_LEAST, _RETURN = 0x20, 0x05, 0x15, 0x25, 0x35, 0x06
_NUMBER_OFFSET, _ARCH_OFFSET = 0, 4

OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}


@dataclass(frozen=True)
class Condition:
    """A test on one argument; with SCMP_CMP_MASKED_EQ: argument & value == value_two."""

    index: int
    operator: str
    value: int
    value_two: int = 0


@dataclass(frozen=True)
class Rule:
    """What happens to some syscalls where all conditions hold; `action` is a SECCOMP_RET_* word."""

    names: tuple[str, ...]
    action: int
    conditions: tuple[Condition, ...] = ()


class _Comparison(ctypes.Structure):
    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    ]


def errno_action(number: int) -> int:
    """SECCOMP_RET_ERRNO with an error number."""
    return 0x00050000 | number & 0xFFFF


def compile_filter(default: int, architectures: Sequence[str], rules: Iterable[Rule]) -> bytes:
    """An array of struct sock_filter. `architectures` are libseccomp's names, the native one first.

    A syscall with a number above all that the rules name is newer than the rules, and answers ENOSYS, so that
    programs fall back to older calls (as runc does). Names that the library does not know are left out: they fall
    under the same rule, or under `default`. Raises Unavailable when there is no libseccomp, OSError.
    """
    rules = tuple(rules)
    library = _library()
    tokens = [_token(name) for name in architectures]
    context = library.seccomp_init(default)
    if not context:
        raise OSError("libseccomp: cannot make a filter")
    try:
        _set_architectures(context, tokens)
        _check(library.seccomp_attr_set(context, _FILTER_OPTIMIZE, _BINARY_TREE), "optimize")
        for rule in rules:
            if rule.action != default:  # libseccomp refuses what says nothing
                _add(context, rule)
        program = _export(context)
    finally:
        library.seccomp_release(context)
    names = tuple(name for rule in rules for name in rule.names)
    if default in (ALLOW, LOG):
        return program  # a newer call is allowed as any other
    newest = [(name, token, _newest(token, names)) for name, token in zip(architectures, tokens, strict=True)]
    return _enosys_prefix(newest) + program


def _set_architectures(context: int, tokens: Sequence[int]) -> None:
    """A new filter is for this machine's own architecture, which need not be among those that are wanted."""
    library = _library()
    native = library.seccomp_arch_native()
    for token in tokens:
        if token != native:
            _check(library.seccomp_arch_add(context, token), "add an architecture")
    if native not in tokens:
        _check(library.seccomp_arch_remove(context, native), "remove an architecture")


def _add(context: int, rule: Rule) -> None:
    library = _library()
    comparisons = (_Comparison * max(1, len(rule.conditions)))(
        *[_Comparison(c.index, OPERATORS[c.operator], c.value, c.value_two) for c in rule.conditions]
    )
    for name in rule.names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN_SYSCALL:
            continue
        result = library.seccomp_rule_add_array(
            context, rule.action, number, len(rule.conditions), comparisons
        )
        _check(result, f"add a rule for {name}")


def _export(context: int) -> bytes:
    with owned(os.memfd_create("seccomp", os.MFD_CLOEXEC)) as memory:
        _check(_library().seccomp_export_bpf(context, memory), "export the filter")
        return os.pread(memory, os.fstat(memory).st_size, 0)


def _newest(token: int, names: Iterable[str]) -> int:
    """The largest number of these syscalls on an architecture; negative ones are libseccomp's own pseudo numbers."""
    library = _library()
    return max(
        (library.seccomp_syscall_resolve_name_arch(token, name.encode()) for name in names), default=-1
    )


def _enosys_prefix(newest: Sequence[tuple[str, int, int]]) -> bytes:
    """Instructions before the filter proper; each architecture's part ends by jumping there."""
    parts: list[list[tuple[int, int, int, int]]] = []
    for name, token, number in newest:
        if name == "x32" or number < 0:  # x32 has x86_64's token, and its numbers bit 30
            continue
        body = [(_LOAD, 0, 0, _NUMBER_OFFSET)]
        if name == "x86_64":
            body.append((_JUMP_AT_LEAST, 2, 0, _X32_BIT))
        body += [(_JUMP_GREATER, 0, 1, number), (_RETURN, 0, 0, errno_action(ENOSYS))]
        parts.append([(_JUMP_EQUAL, 0, len(body) + 1, token), *body])
    remaining = sum(len(part) + 1 for part in parts)
    program = [(_LOAD, 0, 0, _ARCH_OFFSET)]
    for part in parts:
        remaining -= len(part) + 1
        program += [*part, (_JUMP, 0, 0, remaining)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _token(name: str) -> int:
    token: int = _library().seccomp_arch_resolve_name(name.encode())
    if token == 0:
        raise OSError(f"libseccomp does not know architecture {name!r}")
    return token


def _check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(-result, f"libseccomp: cannot {what}: {os.strerror(-result)}")


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise Unavailable(f"libseccomp is missing ({error}): install the package libseccomp2") from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_release.restype = None
    library.seccomp_arch_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_arch_native.restype = ctypes.c_uint32
    library.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_arch_remove.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_void_p,
    ]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    return library
