"""`--chown` and `--chmod` of a copy, as they are written: numbers and names, octal and symbolic."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable

from hostagent.errors import Invalid
from hostagent.kernel.fds import owned

_PASSWD_LIMIT = 1 << 20
_SYMBOLIC = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)")
_BITS = {"r": 0o444, "w": 0o222, "x": 0o111}
_CLASSES = {"u": 0o4700, "g": 0o2070, "o": 0o1007}

Chmod = Callable[[int], int]
"""From a file's whole mode to its new permission bits."""


def owner_of(text: str) -> tuple[int, int]:
    """`user[:group]`, numbers or names of the new layer's root (passwd(5), group(5))."""
    user, colon, group = text.partition(":")
    uid, gid = _number(user), _number(user)
    if uid is None:
        fields = _account("/etc/passwd", user, "user")
        uid, gid = int(fields[2]), int(fields[3])
    if colon:
        found = _number(group)
        gid = found if found is not None else int(_account("/etc/group", group, "group")[2])
    assert gid is not None
    return uid, gid


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _account(path: str, name: str, what: str) -> list[str]:
    try:
        with owned(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)) as fd:
            lines = os.read(fd, _PASSWD_LIMIT).decode(errors="surrogateescape").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        lines = []
    for line in lines:
        fields = line.split(":")
        if fields[0] == name and len(fields) >= 4 and fields[2].isdecimal():
            return fields
    raise Invalid(f"--chown: there is no {what} {name} in {path} of the image")


def chmod_of(text: str) -> Chmod:
    """`755`, `0644`, `u=rwX,go=rX` (chmod(1))."""
    if re.fullmatch(r"[0-7]{1,5}", text):
        return lambda mode: int(text, 8) & 0o7777
    clauses = [_SYMBOLIC.fullmatch(part) for part in text.split(",")]
    if not all(clauses):
        raise Invalid(f"--chmod {text}: write octal, as 755, or symbolic, as u=rwX,go=rX")
    parsed = [(found[1] or "a", found[2], found[3]) for found in clauses if found]

    def changed(mode: int) -> int:
        for who, sign, what in parsed:
            mode = _clause(mode, who, sign, what)
        return stat.S_IMODE(mode)

    return changed


def _clause(mode: int, who: str, sign: str, what: str) -> int:
    reach = sum(_CLASSES[each] for each in set(who.replace("a", "ugo")))
    bits = sum(_BITS.get(each, 0) for each in set(what) - {"X"})
    if "X" in what and "x" not in what and (stat.S_ISDIR(mode) or mode & 0o111):
        bits |= 0o111
    bits &= reach & 0o777
    if "s" in what:
        bits |= reach & 0o6000
    if "t" in what:
        bits |= 0o1000
    if sign == "+":
        return mode | bits
    if sign == "-":
        return mode & ~bits
    return (mode & ~(reach & 0o777)) | bits
