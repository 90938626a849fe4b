"""The compiled default profile, run by a small interpreter of classic BPF."""

from __future__ import annotations

import errno
import struct

import pytest

from hostagent.engine.isolation import seccomp as profile
from hostagent.errors import Unsupported
from hostagent.kernel import seccomp

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
ERRNO = 0x00050000


def verdict(program: bytes, arch: int, number: int, *arguments: int) -> int:
    code = [struct.unpack("=HBBI", program[place : place + 8]) for place in range(0, len(program), 8)]
    data = struct.pack("=IIQ6Q", number, arch, 0, *arguments, *(0 for _ in range(6 - len(arguments))))
    accumulator = place = 0
    while True:
        opcode, if_true, if_false, value = code[place]
        place += 1
        match opcode:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, value)[0]
            case 0x54:
                accumulator &= value
            case 0x05:
                place += value
            case 0x15:
                place += if_true if accumulator == value else if_false
            case 0x25:
                place += if_true if accumulator > value else if_false
            case 0x35:
                place += if_true if accumulator >= value else if_false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(hex(opcode))


@pytest.fixture(scope="module")
def plain() -> bytes:
    return profile.profile_for([], "x86_64", "6.1.0")


@pytest.mark.parametrize(
    ("arch", "number", "arguments", "expected"),
    [
        (X86_64, 0, (), seccomp.ALLOW),  # read
        (X86_64, 59, (), seccomp.ALLOW),  # execve
        (X86_64, 165, (), ERRNO | errno.EPERM),  # mount
        (X86_64, 435, (), ERRNO | errno.ENOSYS),  # clone3: programs fall back to clone
        (X86_64, 56, (0x00020000,), ERRNO | errno.EPERM),  # clone(CLONE_NEWNS)
        (X86_64, 56, (0x11,), seccomp.ALLOW),  # clone: a fork
        (X86_64, 41, (38,), ERRNO | errno.EPERM),  # socket(AF_ALG)
        (X86_64, 41, (1,), seccomp.ALLOW),  # socket(AF_UNIX)
        (X86_64, 9999, (), ERRNO | errno.ENOSYS),  # newer than the profile
        (I386, 3, (), seccomp.ALLOW),  # read
        (I386, 21, (), ERRNO | errno.EPERM),  # mount
        (I386, 9999, (), ERRNO | errno.ENOSYS),
        (X86_64, 0x40000000, (), seccomp.ALLOW),  # x32 read
        (AARCH64, 63, (), 0),  # not an architecture of this machine: killed
    ],
)
def test_default_profile(
    plain: bytes, arch: int, number: int, arguments: tuple[int, ...], expected: int
) -> None:
    assert verdict(plain, arch, number, *arguments) == expected


def test_capabilities_open_what_they_are_for() -> None:
    program = profile.profile_for(["CAP_SYS_ADMIN"], "x86_64", "6.1.0")
    assert verdict(program, X86_64, 165) == seccomp.ALLOW
    assert verdict(program, X86_64, 56, 0x00020000) == seccomp.ALLOW


def test_another_architecture() -> None:
    program = profile.profile_for([], "aarch64", "6.1.0")
    assert verdict(program, AARCH64, 63) == seccomp.ALLOW
    assert verdict(program, AARCH64, 40) == ERRNO | errno.EPERM


def test_old_kernels_lose_ptrace() -> None:
    assert verdict(profile.profile_for([], "x86_64", "4.7.0"), X86_64, 101) == ERRNO | errno.EPERM
    assert verdict(profile.profile_for([], "x86_64", "6.1.0"), X86_64, 101) == seccomp.ALLOW


def test_unknown_architecture() -> None:
    with pytest.raises(Unsupported, match="vax"):
        profile.profile_for([], "vax", "6.1.0")
