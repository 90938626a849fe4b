"""Which devices a container may use, on cgroup v2: a small BPF program on its group (kernel docs, cgroup-v2, "Device").

v1 has the files devices.allow and devices.deny; the rules mean the same here as they do there.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from hostagent.kernel import libc
from hostagent.kernel.fds import owned
from hostagent.kernel.resources import DeviceRule

_BPF_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}

_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE = 15, 6
_ALLOW_MULTI = 2
_ATTRIBUTE_SIZE = 128

_KINDS = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_ALL = 7

# Opcodes (linux/bpf.h) and what the registers hold here
_LOAD_WORD, _AND, _SHIFT_RIGHT, _MOVE, _SET, _JUMP_UNLESS_EQUAL, _EXIT = (
    0x61,
    0x54,
    0x74,
    0xBC,
    0xB7,
    0x55,
    0x95,
)
_RESULT, _SCRATCH, _WANTED, _KIND, _MAJOR, _MINOR = 0, 1, 2, 3, 4, 5


@dataclass(frozen=True)
class Exceptions:
    """The rules boiled down: what happens to a device in general, and where the opposite happens.

    Keys are (kind, major, minor), None for any number; values are bits of access.
    """

    allow: bool
    entries: dict[tuple[str, int | None, int | None], int]


def boil_down(rules: Iterable[DeviceRule]) -> Exceptions:
    """As the v1 controller does: a rule for all devices starts over, others add to the exceptions or take away."""
    allow, entries = True, dict[tuple[str, int | None, int | None], int]()
    for rule in rules:
        if rule.kind == "a":
            allow, entries = rule.allow, {}
            continue
        key, access = (rule.kind, rule.major, rule.minor), sum(_ACCESS[letter] for letter in set(rule.access))
        old = entries.pop(key, 0)
        new = old & ~access if rule.allow == allow else old | access
        if new:
            entries[key] = new
    return Exceptions(allow, entries)


def program(rules: Iterable[DeviceRule]) -> bytes:
    """eBPF instructions that return 1 to allow; the context is struct bpf_cgroup_dev_ctx."""
    plain = boil_down(rules)
    code = [
        _op(_LOAD_WORD, _WANTED, _SCRATCH, 0),
        _op(_MOVE, _KIND, _WANTED),
        _op(_AND, _KIND, value=0xFFFF),
        _op(_SHIFT_RIGHT, _WANTED, value=16),
        _op(_LOAD_WORD, _MAJOR, _SCRATCH, 4),
        _op(_LOAD_WORD, _MINOR, _SCRATCH, 8),
    ]
    for (kind, major, minor), access in plain.entries.items():
        code += _exception(kind, major, minor, access, plain.allow)
    code += [_op(_SET, _RESULT, value=int(plain.allow)), _op(_EXIT)]
    return b"".join(code)


def attach(directory: str, rules: Iterable[DeviceRule]) -> None:
    """Limit the devices of the v2 group at `directory`. Raises OSError where the kernel has no such programs."""
    code = program(rules)
    instructions, licence = (
        ctypes.create_string_buffer(code, len(code)),
        ctypes.create_string_buffer(b"Apache-2.0"),
    )
    count = len(code) // 8
    load = struct.pack(
        "=IIQQ", _PROG_TYPE_CGROUP_DEVICE, count, ctypes.addressof(instructions), ctypes.addressof(licence)
    )
    with owned(_bpf(_PROG_LOAD, load)) as loaded:
        with owned(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as group:
            _bpf(_PROG_ATTACH, struct.pack("=IIII", group, loaded, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI))


def _exception(kind: str, major: int | None, minor: int | None, access: int, allow: bool) -> list[bytes]:
    """Jumps past itself when something differs. Allowed is what asks for no more; denied what asks for any of it."""
    tests: list[list[bytes]] = [[_op(_JUMP_UNLESS_EQUAL, _KIND, value=_KINDS[kind])]]
    if not allow and access != _ALL:
        tests.append([_op(_MOVE, _SCRATCH, _WANTED), _op(_AND, _SCRATCH, value=_ALL & ~access)])
        tests[-1].append(_op(_JUMP_UNLESS_EQUAL, _SCRATCH, value=0))
    for register, number in ((_MAJOR, major), (_MINOR, minor)):
        if number is not None:
            tests.append([_op(_JUMP_UNLESS_EQUAL, register, value=number)])
    verdict = [_op(_SET, _RESULT, value=int(not allow)), _op(_EXIT)]
    if allow and access != _ALL:
        masked = [_op(_MOVE, _SCRATCH, _WANTED), _op(_AND, _SCRATCH, value=access)]
        # Nothing of the denied access is wanted: skip the verdict.
        verdict = [*masked, _op(0x15, _SCRATCH, offset=len(verdict)), *verdict]
    code = [instruction for test in tests for instruction in test] + verdict
    return [_aim(instruction, len(code) - place - 1) for place, instruction in enumerate(code)]


def _aim(instruction: bytes, distance: int) -> bytes:
    """Let the jumps of an exception land behind it."""
    opcode, registers, _, value = struct.unpack("=BBhi", instruction)
    if opcode != _JUMP_UNLESS_EQUAL:
        return instruction
    return struct.pack("=BBhi", opcode, registers, distance, value)


def _op(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", code, target | source << 4, offset, value)


def _bpf(command: int, attributes: bytes) -> int:
    try:
        number = _BPF_SYSCALL[platform.machine()]
    except KeyError:
        raise OSError(f"no number of bpf(2) known for {platform.machine()}") from None
    padded = attributes.ljust(_ATTRIBUTE_SIZE, b"\0")
    return libc.syscall(number, command, padded, len(padded))
