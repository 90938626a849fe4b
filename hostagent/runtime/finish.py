"""The last part of every start, first process or exec: identity, rights, program; and how a failure is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from hostagent.kernel.fds import send_message
from hostagent.kernel.rootpath import read_in_root
from hostagent.runtime import program, rights, supervise, users
from hostagent.runtime.messages import Failed
from hostagent.runtime.program import StartError
from hostagent.runtime.rights import Rights
from hostagent.runtime.spec import Process, User
from hostagent.runtime.users import Identity

_DEFAULT_UMASK = 0o022


@contextmanager
def report_and_exit(channel: socket.socket) -> Iterator[None]:
    """Whatever goes wrong inside is told to the parent; in no case does a child go on in its parent's code."""
    try:
        yield
    except StartError as error:
        _report(channel, Failed(error.stage, error.errno, str(error)))
    except OSError as error:
        _report(channel, Failed("init", error.errno or 0, _sentence(error)))
    except BaseException as error:  # even KeyboardInterrupt: the parent's frames are below us
        _report(channel, Failed("init", 0, f"{type(error).__name__}: {error}"))
    finally:
        os._exit(1)


def exec_program(
    process: Process,
    granted: Rights,
    channel: socket.socket,
    supervised: bool = False,
    before_exec: Callable[[], None] | None = None,
) -> NoReturn:
    """Inside the container's root: become the user, find the program, and run it. Raises StartError, OSError.

    `before_exec` is called when all is checked but nothing is sealed. `supervised`: the program becomes a child.
    """
    identity = _identity(process.user)
    if process.user.username:
        granted = rights.of_user(granted, identity.uid)
    entered = program.enter_directory(process.cwd)
    rights.become(granted, identity)
    umask = process.user.umask
    os.umask(_DEFAULT_UMASK if umask is None else umask)
    if not entered:
        program.enter_directory_now(process.cwd)
    env = program.environment(process.env, identity.home)
    path = program.find(process.args[0], env.get("PATH", ""))
    if before_exec is not None:
        before_exec()
    if supervised:
        supervise.split(channel)
    rights.seal(granted)
    program.execute(path, process.args, env)


def _identity(user: User) -> Identity:
    if not user.username:
        home = users.home_of(user.uid, _text("/etc/passwd"))
        return Identity(user.uid, user.gid, user.additional_gids, home)
    try:
        groups_text = _text("/etc/group")
        found = users.resolve(user.username, _text("/etc/passwd"), groups_text)
        added = users.further_groups(user.additional_groups, groups_text)
    except users.UnknownUserError as error:
        raise StartError("user", 0, str(error)) from None
    # The primary group is one of them, as Docker has it since CVE-2022-2989: else a file's "group" bits can be dodged.
    groups = dict.fromkeys((found.gid, *found.groups, *user.additional_gids, *added))
    return Identity(found.uid, found.gid, tuple(groups), found.home)


def _text(path: str) -> str:
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        return read_in_root(root, path).decode("utf-8", "replace")
    except OSError:  # an image without users has numbers only
        return ""
    finally:
        os.close(root)


def _report(channel: socket.socket, failure: Failed) -> None:
    try:
        send_message(channel, failure.encode())
    except OSError:
        # The parent is gone (OCI create has returned): the container's own output is what is left.
        os.write(2, f"{failure.message}\n".encode())


def _sentence(error: OSError) -> str:
    return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror or error)
