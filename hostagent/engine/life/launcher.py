"""The daemon's side of the launcher: start it, hand it births, start it again when it dies."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterable

from hostagent.engine.life.shimlink import OnMessage, ShimLink, Undelivered
from hostagent.kernel import fds
from hostagent.runtime import protocol

END_LIMIT = 2.0
"""Seconds for a launcher to notice that its daemon has closed the connection."""


class Launcher:
    """One launcher process at a time, always of this daemon's code."""

    def __init__(self, run_directory: str, shims_cgroup: str) -> None:
        self._run_directory = run_directory
        self._sockets = f"{run_directory}/shims"
        self._shims_cgroup = shims_cgroup
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._outbox: deque[tuple[bytes, socket.socket]] = deque()
        """Launches that a busy launcher (one that still imports, say) has no room for: the daemon never blocks."""
        os.makedirs(self._sockets, mode=0o700, exist_ok=True)

    def socket_path(self, container_id: str) -> str:
        """Where the container's shim listens for later daemons."""
        # 32 digits are as unique as 64 here, and a unix socket's path has 107 bytes.
        return f"{self._sockets}/{container_id[:32]}"

    def ensure(self) -> socket.socket:
        """The control socket of a living launcher."""
        if self._control is not None:
            return self._control
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "hostagent.runtime.launcher",
                    str(theirs.fileno()),
                    self._shims_cgroup,
                    self._run_directory,
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        self._control = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._gone)
        return ours

    def _gone(self) -> None:
        """The launcher never writes: readable means that it died. Running shims are not its children's children."""
        self._forget()

    def _forget(self) -> None:
        """Its end of what it did not take is closed: those births are found to have failed, and tried again."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            asyncio.get_running_loop().remove_writer(self._control.fileno())
            self._control.close()
            self._control = None
        for _, theirs in self._outbox:
            theirs.close()
        self._outbox.clear()
        if self._process is not None:
            try:
                self._process.wait(END_LIMIT)
            except subprocess.TimeoutExpired:  # stopped, say
                self._process.kill()
                self._process.wait()
            self._process = None

    def launch(
        self, container_id: str, bundle: str, on_message: OnMessage, undelivered: Undelivered
    ) -> ShimLink:
        """Have a shim forked; the link may be used at once, the messages wait for the shim."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        message = protocol.Launch(
            id=container_id,
            bundle=bundle,
            socket_path=self.socket_path(container_id),
        ).encode()
        self.ensure()
        self._outbox.append((message, theirs))
        self._flush()
        return ShimLink(ours, on_message, undelivered)

    def _flush(self) -> None:
        while self._outbox and self._control is not None:
            message, theirs = self._outbox[0]
            try:
                fds.send_message(self._control, message, (theirs.fileno(),))
            except BlockingIOError:
                asyncio.get_running_loop().add_writer(self._control.fileno(), self._writable)
                return
            except OSError:  # it died since we last looked
                self._forget()
                return
            self._outbox.popleft()
            theirs.close()

    def _writable(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_writer(self._control.fileno())
        self._flush()

    def reconnect(self, container_id: str, on_message: OnMessage, undelivered: Undelivered) -> ShimLink:
        """To a shim that an earlier daemon had launched. OSError when nobody listens, or hears us."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.setblocking(False)  # EAGAIN: earlier daemons still wait to be heard, so it does not go on
        try:
            connection.connect(self.socket_path(container_id))
        except OSError:
            connection.close()
            raise
        return ShimLink(connection, on_message, undelivered)

    def forget(self, container_id: str) -> None:
        """Remove the socket that a shim left which had no time to do so itself (kill -9)."""
        try:
            os.unlink(self.socket_path(container_id))
        except FileNotFoundError:
            pass

    def forget_others(self, container_ids: Iterable[str]) -> None:
        """Remove the sockets of all shims but those of these containers."""
        keep = {os.path.basename(self.socket_path(each)) for each in container_ids}
        for name in set(os.listdir(self._sockets)) - keep:
            self.forget(name)

    def close(self) -> None:
        """With the daemon goes its launcher."""
        self._forget()
