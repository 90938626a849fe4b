"""Docker's user[:group] against a container's own /etc/passwd and /etc/group: pure functions on their text.

Numbers need no entry; names do. Supplementary groups come from /etc/group unless a group is given (Docker's
reference, `docker run --user`). A malformed line is skipped, as libc does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MAX_ID = (1 << 31) - 1


class UnknownUserError(Exception):
    """The text is Docker's."""


@dataclass(frozen=True)
class Identity:
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


@dataclass(frozen=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve(wanted: str, passwd: str, group: str) -> Identity:
    """Raises UnknownUserError when a name has no entry or a number is out of range."""
    user, _, primary = wanted.partition(":")
    user = user or "0"
    account = _find_account(user, passwd)
    if account is None:
        if not user.isdecimal():
            raise UnknownUserError(f"unable to find user {user}: no matching entries in passwd file")
        account = _Account("", _number(user), 0, "/")
    groups = tuple(_groups(group))
    if not primary:
        extra = tuple(entry.gid for entry in groups if account.name and account.name in entry.members)
        return Identity(account.uid, account.gid, extra, account.home or "/")
    gid = next((entry.gid for entry in groups if entry.name == primary), None)
    if gid is None:
        if not primary.isdecimal():
            raise UnknownUserError(f"unable to find group {primary}: no matching entries in group file")
        gid = _number(primary)
    return Identity(account.uid, gid, (), account.home or "/")


def further_groups(wanted: Sequence[str], group: str) -> tuple[int, ...]:
    """`--group-add`: numbers need no entry, names do. Raises UnknownUserError."""
    known = {entry.name: entry.gid for entry in reversed(tuple(_groups(group)))} if wanted else {}
    found = []
    for text in wanted:
        if text in known:
            found.append(known[text])
        elif text.isdecimal():
            found.append(_number(text))
        else:
            raise UnknownUserError(f"Unable to find group {text}: no matching entries in group file")
    return tuple(found)


def home_of(uid: int, passwd: str) -> str:
    """The home directory of a numeric user; "/" when it has none."""
    account = next((entry for entry in _accounts(passwd) if entry.uid == uid), None)
    return (account.home if account else "") or "/"


def _find_account(user: str, passwd: str) -> _Account | None:
    """By name before by number: a user may be called "123"."""
    accounts = tuple(_accounts(passwd))
    by_name = next((entry for entry in accounts if entry.name == user), None)
    if by_name or not user.isdecimal():
        return by_name
    return next((entry for entry in accounts if entry.uid == int(user)), None)


def _number(text: str) -> int:
    number = int(text)
    if number > _MAX_ID:
        raise UnknownUserError(f"uids and gids must be in range 0-{_MAX_ID}")
    return number


def _accounts(text: str) -> Iterator[_Account]:
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 6 and fields[2].isdecimal() and fields[3].isdecimal():
            yield _Account(fields[0], int(fields[2]), int(fields[3]), fields[5])


def _groups(text: str) -> Iterator[_Group]:
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and fields[2].isdecimal():
            yield _Group(fields[0], int(fields[2]), tuple(filter(None, fields[3].split(","))))
