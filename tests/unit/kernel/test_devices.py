"""The device program, run by a small interpreter of the instructions that it uses."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.kernel.cgroup_devices import boil_down, program
from hostagent.kernel.resources import DeviceRule

KINDS = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}

DOCKER = [
    DeviceRule(False),
    DeviceRule(True, "c", None, None, "m"),
    DeviceRule(True, "b", None, None, "m"),
    DeviceRule(True, "c", 1, 3, "rwm"),
    DeviceRule(True, "c", 136, None, "rwm"),
]


def allowed(rules: list[DeviceRule], kind: str, major: int, minor: int, access: str) -> bool:
    code = [
        struct.unpack("=BBhi", program(rules)[place : place + 8])
        for place in range(0, len(program(rules)), 8)
    ]
    context = struct.pack("=III", sum(ACCESS[a] for a in access) << 16 | KINDS[kind], major, minor)
    registers, place = [0] * 10, 0
    while True:
        opcode, pair, offset, value = code[place]
        target, source = pair & 15, pair >> 4
        place += 1
        match opcode:
            case 0x61:
                registers[target] = struct.unpack_from("=I", context, offset)[0]
            case 0x54:
                registers[target] &= value
            case 0x74:
                registers[target] >>= value
            case 0xBC:
                registers[target] = registers[source]
            case 0xB7:
                registers[target] = value
            case 0x55:
                place += offset if registers[target] != value else 0
            case 0x15:
                place += offset if registers[target] == value else 0
            case 0x95:
                return bool(registers[0])
            case _:
                raise AssertionError(hex(opcode))


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "expected"),
    [
        ("c", 1, 3, "rw", True),
        ("c", 1, 5, "r", False),
        ("c", 1, 5, "m", True),
        ("b", 8, 0, "m", True),
        ("b", 8, 0, "rm", False),
        ("c", 136, 77, "rwm", True),
    ],
)
def test_dockers_rules(kind: str, major: int, minor: int, access: str, expected: bool) -> None:
    assert allowed(DOCKER, kind, major, minor, access) is expected


def test_denied_exceptions() -> None:
    rules = [DeviceRule(True), DeviceRule(False, "b", 8, None, "w")]
    assert not allowed(rules, "b", 8, 1, "rw")
    assert allowed(rules, "b", 8, 1, "r")
    assert allowed(rules, "c", 8, 1, "w")


def test_no_rules_allow_everything() -> None:
    assert allowed([], "b", 8, 0, "rwm")


def test_a_later_rule_takes_back() -> None:
    rules = [DeviceRule(False), DeviceRule(True, "c", 1, 3, "rwm"), DeviceRule(False, "c", 1, 3, "w")]
    assert boil_down(rules).entries == {("c", 1, 3): 3}


RULES = st.lists(
    st.builds(
        DeviceRule,
        st.booleans(),
        st.sampled_from("abc"),
        st.sampled_from([None, 1, 8]),
        st.sampled_from([None, 0, 3]),
        st.sampled_from(["r", "w", "m", "rw", "rwm"]),
    ),
    max_size=6,
)


@given(
    RULES,
    st.sampled_from("bc"),
    st.sampled_from([1, 8, 9]),
    st.sampled_from([0, 3, 4]),
    st.sampled_from("rwm"),
)
def test_program_says_what_the_exceptions_say(
    rules: list[DeviceRule], kind: str, major: int, minor: int, access: str
) -> None:
    plain = boil_down(rules)
    excepted = any(
        kind == key_kind
        and key_major in (None, major)
        and key_minor in (None, minor)
        and bits & ACCESS[access]
        for (key_kind, key_major, key_minor), bits in plain.entries.items()
    )
    assert allowed(rules, kind, major, minor, access) is (plain.allow != excepted)
