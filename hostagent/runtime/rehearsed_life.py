"""The life of a shim, rehearsed: a container that starts, says a line and ends, without anything being made.

The shim under test is this process. A forked child plays everybody else: the daemon, the builder's answer and the
container's first process.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable

from hostagent.kernel import constants, fds, libc
from hostagent.runtime import messages, protocol
from hostagent.runtime.logplan import LogPlan
from hostagent.runtime.shim import Shim


def live(directory: str) -> None:
    """In `directory`, which has to exist, whatever a shim leaves in its bundle is left."""
    shim_end, daemon = fds.channel_pair()
    builder, builder_end = fds.channel_pair()
    channel, init = fds.channel_pair()
    stdout, stderr = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
    ended_builder = _fork(lambda: None)
    player = _fork(lambda: _play(daemon, init, (stdout[1], stderr[1])))
    with builder_end, shim_end, channel:
        born = messages.Born(player, False, True, True, "", None, [])
        with fds.owned(libc.pidfd_open(player)) as pidfd:
            passed = (pidfd, channel.fileno(), stdout[0], stderr[0])
            fds.send_message(builder_end, born.encode(), passed)
        channel.close()
        for other in (daemon, init):
            other.close()
        for fd in (*stdout, *stderr):
            os.close(fd)
        launch = protocol.Launch("rehearsal", directory, f"{directory}/socket")
        Shim(launch, shim_end, (ended_builder, builder)).serve()


def _fork(act: Callable[[], None]) -> int:
    """It dies with us: who is killed in the middle of a rehearsal leaves nobody who waits for the other for ever."""
    rehearser = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            libc.prctl(constants.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == rehearser:
                act()
            code = 0
        finally:
            os._exit(code)
    return pid


def _play(daemon: socket.socket, init: socket.socket, output: tuple[int, ...]) -> None:
    """As the daemon to the end of the start, then as the program; in the end both are gone."""
    null = os.open("/dev/null", os.O_RDWR)
    fds.send_message(daemon, protocol.Keep().encode(), (null,))
    log = LogPlan("json-file", "/dev/null").fields()
    fds.send_message(daemon, protocol.Start(log, False, False, True, False, 15).encode())
    fds.send_message(init, messages.Namespaces().encode())
    _expect(daemon, protocol.NetnsReady)
    fds.send_message(daemon, protocol.Network([]).encode())
    fds.recv_message(init)
    init.close()
    _expect(daemon, protocol.Started)
    for fd in output:
        os.write(fd, b"output\n")


def _expect(daemon: socket.socket, kind: type[protocol.Message]) -> None:
    data, received = fds.recv_message(daemon)
    for fd in received:
        os.close(fd)
    if not isinstance(protocol.decode(data), kind):
        raise TypeError(f"rehearsal: {data!r} instead of {kind.__name__}")
