"""A running container's network changed from inside, by a short-lived child of its shim (design.md, rule 6).

The daemon has put new interfaces into the namespace already; the child configures them, removes others, and sets the
default route. It answers with a line of JSON on its channel, with the resolver's sockets beside it if they were wanted.
"""

from __future__ import annotations

import json
import os
import socket
from typing import NoReturn

from hostagent.kernel import constants, fds, libc, netlink
from hostagent.model.network import Interface
from hostagent.runtime import resolver
from hostagent.runtime.protocol import Rewire


def fork(message: Rewire, init_pid: int, open_resolver: bool) -> tuple[int, socket.socket]:
    """(pid, channel) of the child that does what `message` says in the network namespace of process `init_pid`.

    `open_resolver`: the resolver's sockets come with its answer; once only, as two pairs would share what is asked.
    """
    ours, theirs = fds.channel_pair()
    pid = os.fork()
    if pid == 0:
        _run(message, init_pid, open_resolver, theirs)  # never returns
    theirs.close()
    return pid, ours


def result(data: bytes) -> tuple[int, str]:
    """(errno, text) of the child's answer; (0, "") when all is done. No data: it was killed."""
    if not data:
        return 0, "the process that changes the network was killed"
    number, text = json.loads(data)
    return int(number), str(text)


def _run(message: Rewire, init_pid: int, open_resolver: bool, channel: socket.socket) -> NoReturn:
    try:
        passed: tuple[int, ...] = ()
        number, text = 0, ""
        try:
            libc.setns(
                os.open(f"/proc/{init_pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC), constants.CLONE_NEWNET
            )
            _change(message)
            if open_resolver:
                passed = resolver.open_sockets()
        except (OSError, ValueError, KeyError, TypeError) as error:
            number, text = getattr(error, "errno", 0) or 0, str(error)
        fds.send_message(channel, json.dumps([number, text]).encode(), passed)
    finally:
        os._exit(0)


def _change(message: Rewire) -> None:
    interfaces = [Interface.from_json(each) for each in message.interfaces]
    with netlink.Socket() as kernel:
        try:
            netlink.configure(interfaces)
            for each in interfaces:
                _set_sysctls(each)
        except BaseException:
            for each in interfaces:
                kernel.request(netlink.delete_link(each.name), ignore=netlink.GONE)
            raise
        for name in message.removed:
            kernel.request(netlink.delete_link(name), ignore=netlink.GONE)
        for family, gateway, interface in (
            (socket.AF_INET, message.gateway, message.gateway_interface),
            (socket.AF_INET6, message.gateway6, message.gateway6_interface),
        ):
            if gateway:
                kernel.request(netlink.new_default_route(gateway, socket.if_nametoindex(interface)))
            else:
                kernel.request(netlink.delete_default_route(family), ignore=netlink.NO_ROUTE)


def _set_sysctls(interface: Interface) -> None:
    for path, value in interface.sysctls:
        # /proc/sys/net shows the namespace of whoever looks.
        with open(f"/proc/sys/{path}", "w") as setting:
            setting.write(value)
