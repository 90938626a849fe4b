"""A further process in a running container (`docker exec`), as its shim sees it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hostagent.errors import EngineError
from hostagent.kernel import fds, pty
from hostagent.runtime import birth, messages, program, protocol
from hostagent.runtime import spec as specs
from hostagent.runtime.loop import READ, Loop
from hostagent.runtime.pipes import Three, make_pipes, null_stdio
from hostagent.runtime.processes import exit_code, signal_child
from hostagent.runtime.streams import Session

Tell = Callable[[protocol.Message], None]


class Execution:
    """One exec: from the daemon's `Exec` message to its exit code, kept for `exec inspect`."""

    def __init__(self, loop: Loop, message: protocol.Exec, tell: Tell, on_idle: Callable[[], None]) -> None:
        self._loop = loop
        self._message = message
        self._tell = tell
        self._on_idle = on_idle
        self._child: birth.Child | None = None
        self._pipes: Three | None = None
        self._master = -1
        self.code: int | None = None
        self.session = Session(
            loop,
            None,
            close_stdin_at_eof=not message.process.get("terminal", False),
            on_detach=lambda: tell(protocol.Detached(message.exec_id)),
            on_output_end=on_idle,
            until_drained=True,
        )

    @property
    def busy(self) -> bool:
        """The process runs, or its last output is not yet delivered."""
        return self.code is None or self.session.clients > 0

    def status(self) -> dict[str, Any]:
        """For `Status`, and so for a daemon that did not see this exec."""
        return {
            "exec_id": self._message.exec_id,
            "pid": self._child.pid if self._child else 0,
            "code": self.code,
            "config": self._message.config,
        }

    def start(self, home: specs.Home, init_pid: int, client: int) -> None:
        """Fork it into the container; `client` is the attached connection, or -1."""
        terminal = bool(self._message.process.get("terminal"))
        attached = client >= 0
        if terminal:
            inner = None
        elif attached:
            inner, self._pipes = make_pipes(self._message.open_stdin)
        else:
            inner = null_stdio()
        try:
            process = specs.parse_process(self._message.process)
            self._child = birth.fork_exec(process, home, init_pid, inner)
        except (OSError, EngineError) as error:
            self._fail(getattr(error, "errno", 0) or 0, str(error), client)
            return
        finally:
            for fd in inner or ():
                os.close(fd)
        self._loop.watch(self._child.channel.fileno(), READ, lambda _events: self._hear(client))

    def _hear(self, client: int) -> None:
        assert self._child is not None
        channel = self._child.channel
        try:
            data, received = fds.recv_message(channel)
        except ConnectionResetError:
            data, received = b"", []
        message = messages.decode(data) if data else None
        if isinstance(message, messages.Console):
            (self._master,) = received
            return
        self._loop.unwatch(channel.fileno())
        channel.close()
        if isinstance(message, messages.Failed):
            os.waitpid(self._child.pid, 0)
            os.close(self._child.pidfd)
            self._fail(message.errno, message.message, client)
            return
        # Known to the daemon before its client's stream can end.
        self._tell(protocol.ExecStarted(self._message.exec_id, self._child.pid))
        # The client before the sources: the program may have written already.
        if client >= 0 and self._message.attach is not None:
            attach = protocol.Attach(**self._message.attach)
            self.session.attach(
                client,
                streams=[name for name in ("stdout", "stderr") if getattr(attach, name)],
                stdin=attach.stdin,
                multiplexed=attach.multiplexed,
                detach_keys=bytes(attach.detach_keys),
                early=attach.early.encode("latin-1"),
            )
        self._connect()
        self._loop.watch(self._child.pidfd, READ, lambda _events: self._ended())

    def _connect(self) -> None:
        """The process's streams, from now on."""
        if self._pipes:
            stdin, stdout, stderr = self._pipes
            if stdin >= 0:
                self.session.set_stdin(stdin)
            self.session.add_source("stdout", stdout)
            self.session.add_source("stderr", stderr)
        if self._master >= 0:
            self.session.set_terminal(self._master)
        self.session.started()

    def _fail(self, errno: int, text: str, client: int) -> None:
        for fd in (*(self._pipes or ()), self._master):
            if fd >= 0:
                os.close(fd)
        self.code = program.EXEC_FAILED
        self.session.started()
        self.session.drain()
        self._tell(protocol.ExecFailed(self._message.exec_id, errno, text))
        if client >= 0:
            # The client sees the reason where the output would have been, as with dockerd.
            attach = protocol.Attach(**(self._message.attach or {}))
            line = f"{program.exec_failure(errno, text)}\r\n".encode()
            self.session.attach(client, ["stdout"], False, attach.multiplexed, replay=[("stdout", line)])
        self._on_idle()

    def _ended(self) -> None:
        assert self._child is not None
        self._loop.unwatch(self._child.pidfd)
        _, status = os.waitpid(self._child.pid, 0)
        os.close(self._child.pidfd)
        self.code = exit_code(status)
        # The code is on its way before the client can see the end of its stream.
        self._tell(protocol.ExecExit(self._message.exec_id, self.code))
        self.session.drain()
        if not self.session.clients:
            self._on_idle()

    def signal(self, number: int) -> None:
        if self._child and self.code is None:
            signal_child(self._child.pidfd, number)

    def resize(self, height: int, width: int) -> None:
        if self.session.terminal >= 0:
            pty.set_size(self.session.terminal, height, width)
