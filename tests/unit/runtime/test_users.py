"""Docker's user[:group] against files as they come."""

from __future__ import annotations

import pytest

from hostagent.runtime import users
from hostagent.runtime.users import Identity

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
ann:x:1001:1002:Ann:/home/ann:/bin/sh
# a comment
broken:line
123:x:7:8::/numbers:
nohome:x:9:9:::
"""
GROUP = """\
root:x:0:
ann:x:1002:
wheel:x:10:root,ann
also:x:11:ann
"""


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", Identity(0, 0, (10,), "/root")),
        ("root", Identity(0, 0, (10,), "/root")),
        ("ann", Identity(1001, 1002, (10, 11), "/home/ann")),
        ("1001", Identity(1001, 1002, (10, 11), "/home/ann")),
        ("ann:wheel", Identity(1001, 10, (), "/home/ann")),
        ("ann:77", Identity(1001, 77, (), "/home/ann")),
        (":wheel", Identity(0, 10, (), "/root")),
        ("4242", Identity(4242, 0, (), "/")),
        ("4242:4343", Identity(4242, 4343, (), "/")),
        ("123", Identity(7, 8, (), "/numbers")),
        ("nohome", Identity(9, 9, (), "/")),
    ],
)
def test_found(wanted: str, expected: Identity) -> None:
    assert users.resolve(wanted, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("bob", "unable to find user bob: no matching entries in passwd file"),
        ("broken", "unable to find user broken: no matching entries in passwd file"),
        ("ann:staff", "unable to find group staff: no matching entries in group file"),
        ("99999999999", "uids and gids must be in range 0-2147483647"),
    ],
)
def test_refused_in_dockers_words(wanted: str, text: str) -> None:
    with pytest.raises(users.UnknownUserError) as caught:
        users.resolve(wanted, PASSWD, GROUP)
    assert str(caught.value) == text


def test_an_image_without_files() -> None:
    assert users.resolve("5:6", "", "") == Identity(5, 6, (), "/")
    assert users.resolve("", "", "") == Identity(0, 0, (), "/")
    assert users.home_of(5, "") == "/"
    assert users.home_of(1001, PASSWD) == "/home/ann"
