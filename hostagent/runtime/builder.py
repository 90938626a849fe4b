"""The shim's short-lived child that reads the spec, decides, and makes the container's first process.

Nearly all pages that a start dirties (reference counts are enough) are dirtied here and in init, and are gone when
these end or execute: the shim, which stays as long as the container, goes on sharing them with its launcher. Init is
cloned as the shim's child (CLONE_PARENT), not ours.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from typing import NoReturn

from hostagent.errors import EngineError, Invalid
from hostagent.kernel import constants, libc
from hostagent.kernel.cgroup import Cgroup
from hostagent.kernel.fds import recv_message, send_message
from hostagent.runtime import birth, messages
from hostagent.runtime import spec as specs
from hostagent.runtime.pipes import make_pipes


def run(bundle: str, channel: socket.socket, shim: int) -> NoReturn:
    """In a freshly forked child of `shim`: `Born` or `Failed` goes to `channel`. Never returns.

    It dies with the shim: whoever finds a shim dead may clean up behind it, and nothing is made afterwards.
    """
    libc.prctl(constants.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != shim:
        os._exit(1)
    try:
        _build(bundle, channel)
    except Invalid as error:
        _fail(channel, 0, str(error), "config")
    except (OSError, EngineError) as error:
        _fail(channel, getattr(error, "errno", 0) or 0, str(error))
    except BaseException as error:  # the shim's frames are below us
        traceback.print_exc(file=sys.stderr)
        _fail(channel, 0, f"{type(error).__name__}: {error}")
    finally:
        os._exit(0)


def _build(bundle: str, channel: socket.socket) -> None:
    try:
        spec = specs.load(f"{bundle}/config.json")
        decided = birth.decide(spec, bundle)
    except BaseException:
        recv_message(channel)  # an order that stayed unread would reset the socket, and lose what we say
        raise
    data, _ = recv_message(channel)
    if not data:
        return  # the shim has given up
    order = messages.decode(data)
    assert isinstance(order, messages.Build)
    inner, outer = (None, ()) if spec.process.terminal else make_pipes(order.open_stdin)
    try:
        child = birth.fork_init(spec, bundle, inner, sibling=True, decided=decided)
    except BaseException:
        if spec.cgroups_path:
            Cgroup(spec.cgroups_path).end()
        raise
    born = messages.Born(
        pid=child.pid,
        terminal=spec.process.terminal,
        network=spec.new_network_namespace,
        pids=spec.namespace("pid") is not None,
        cgroups_path=spec.cgroups_path,
        seccomp_path=spec.seccomp_path,
        warnings=list(child.warnings),
    )
    passed = [child.pidfd, child.channel.fileno(), *(fd for fd in outer if fd >= 0)]
    send_message(channel, born.encode(), passed)


def _fail(channel: socket.socket, number: int, text: str, stage: str = "create") -> None:
    try:
        send_message(channel, messages.Failed(stage, number, text).encode())
    except OSError:
        pass  # the shim is gone, and with it whoever would want to know
