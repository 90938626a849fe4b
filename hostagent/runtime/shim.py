"""The shim: one process per running container, which outlives the daemon and the launcher.

It owns the container's pipes or terminal, is the only writer of its log, keeps its exit record, holds the fds that must
live as long as the container (published ports), serves attach, exec, resize and signals, and locks `<bundle>/lock` for
life: the lock held means alive, whatever the pid says (design.md, rules 2, 3 and 7).

Forked by the launcher; imports nothing afterwards (rule 12).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal.signal() is this plus enums: 100 kB of copied pages
import errno
import fcntl
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

from hostagent.kernel import constants, fds, libc, pty
from hostagent.kernel.cgroup import Cgroup
from hostagent.runtime import birth, builder, exitrecord, messages, protocol, rewire, waiters
from hostagent.runtime.logdrivers import open_log
from hostagent.runtime.logfile import Log
from hostagent.runtime.logplan import LogPlan
from hostagent.runtime.loop import READ, Loop
from hostagent.runtime.processes import birth_certificate, exit_code, set_name, signal_child
from hostagent.runtime.shim_daemon import DaemonLink
from hostagent.runtime.shim_exec import Execution
from hostagent.runtime.spec import Home
from hostagent.runtime.streams import Session
from hostagent.runtime.waiters import Waiters

LOCK_SECONDS = 5.0
FINISHED_EXECS_KEPT = 64


def run(order: bytes, connection: int) -> NoReturn:
    """In the freshly forked child of the launcher: become the shim of one container, as a `Launch` orders.

    `connection` is the daemon's.

    Beside it and the standard streams, the launcher has no fd open that a shim would have to close.
    """
    code = 1
    try:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        launch = protocol.decode(order)
        assert isinstance(launch, protocol.Launch)
        started = _fork_builder(launch.bundle, connection)
        _leave_the_launcher(launch)
        Shim(launch, socket.socket(fileno=connection), started).serve()
        code = 0
    except (
        BaseException
    ):  # the process ends here: the last words go to the shim's own log, nobody can catch them
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)


def _fork_builder(bundle: str, connection: int) -> tuple[int, socket.socket]:
    """It reads and plans while we settle, and makes nothing before we hold the lock and say `Build`."""
    ours, theirs = fds.channel_pair()
    shim = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(connection)
        ours.close()
        builder.run(bundle, theirs, shim)  # never returns
    theirs.close()
    return pid, ours


def _leave_the_launcher(launch: protocol.Launch) -> None:
    set_name(f"pm-shim:{launch.id[:7]}", f"pymachine: shim {launch.id[:12]}")
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    errors = os.open(f"{launch.bundle}/shim.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(errors, 2)
    libc.prctl(constants.PR_SET_CHILD_SUBREAPER, 1)


class Shim:
    """One container's keeper. State: created -> starting -> running -> exited."""

    def __init__(
        self, launch: protocol.Launch, daemon: socket.socket, started: tuple[int, socket.socket]
    ) -> None:
        self._bundle = launch.bundle
        self._loop = Loop()
        self._phase = "created"
        self._lock = self._take_lock()
        self._daemon = DaemonLink(
            self._loop, launch.socket_path, daemon, self._act, self._daemon_lost, self._answer
        )
        self._start: protocol.Start | None = None
        self._builder: tuple[int, socket.socket] | None = started
        self._home = Home("", None)
        self._makes_network = False
        self._child: birth.Child | None = None
        self._log: Log | None = None
        self._pending: list[tuple[protocol.Attach, int]] = []
        self._session: Session | None = None
        self._execs: dict[str, Execution] = {}
        self._kept: list[int] = []
        self._resolver: list[int] = []
        """The sockets of its network's resolver, for this daemon and later ones; few containers have them."""
        self._waiters = Waiters(self._loop)
        self._started_ns = 0
        self._record: protocol.Exit | None = None

    # -- birth

    def _take_lock(self) -> int:
        """Held by another for a moment: a daemon that looks whether it is held, or the shim that a launcher still made
        for a daemon that was killed, and which is about to give up."""
        fd = os.open(f"{self._bundle}/{exitrecord.LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        certificate = birth_certificate()
        # In place: the file's block stays ours also when the disk is full meanwhile (exitrecord.py).
        os.pwrite(fd, certificate, 0)
        os.ftruncate(fd, len(certificate))
        return fd

    def serve(self) -> None:
        """Until the container has ended, its output is delivered, and its exit is recorded."""
        self._daemon.open()
        self._loop.run()
        self._daemon.part()
        self._let_go()

    def _let_go(self) -> None:
        """Of the directory: another shim may have it, though we still deliver output to a client that reads slowly."""
        if self._lock < 0:
            return
        self._daemon.close()
        os.close(self._lock)
        self._lock = -1

    def _daemon_lost(self) -> None:
        if self._phase in ("created", "starting"):
            # Nobody is left who could finish the start; a daemon that comes later begins again (rule 2).
            self._abandon()

    def _answer(self, client: int) -> None:
        """One that no daemon has answered."""
        if self._record:
            waiters.answer(client, self._record.code)
        else:
            os.close(client)

    def _abandon(self) -> None:
        if self._builder and self._phase == "starting":
            # Too late to stop it, and it is quick: what it made is undone.
            self._builder[1].setblocking(True)
            self._hear_builder()
        if self._child:
            signal_child(self._child.pidfd, signal.SIGKILL)
            os.waitpid(self._child.pid, 0)
            self._remove_cgroup()
        self._loop.running = False

    # -- the daemon's messages

    def _act(self, message: protocol.Message, received: list[int]) -> None:
        HANDLERS[type(message)](self, message, received)

    def _hello(self, message: protocol.Hello, received: list[int]) -> None:
        self._daemon.tell(
            protocol.Status(
                version=protocol.VERSION,
                phase=self._phase,
                pid=self._child.pid if self._child else 0,
                started_ns=self._started_ns,
                execs=[execution.status() for execution in self._execs.values()],
            )
        )
        if self._resolver and message.version >= protocol.NETWORKS_SINCE:
            self._daemon.tell(protocol.Resolver(), *self._resolver)

    def _keep(self, message: protocol.Keep, received: list[int]) -> None:
        self._kept += received

    def _await(self, message: protocol.Await, received: list[int]) -> None:
        (client,) = received
        self._waiters.add(client, message.removed)
        if self._record:
            self._answer_waiters(self._record.code)

    def _attach(self, message: protocol.Attach, received: list[int]) -> None:
        (client,) = received
        if self._session is None:
            self._pending.append((message, client))
        else:
            self._attach_now(message, client)

    def _attach_now(self, message: protocol.Attach, client: int) -> None:
        assert self._session is not None
        streams = [name for name in ("stdout", "stderr") if getattr(message, name)]
        self._session.attach(
            client,
            streams=streams,
            stdin=message.stdin and message.stream,
            multiplexed=message.multiplexed,
            detach_keys=bytes(message.detach_keys),
            early=message.early.encode("latin-1"),
            stay=message.stream,
        )

    def _signal(self, message: protocol.Signal, received: list[int]) -> None:
        if message.exec_id:
            if execution := self._execs.get(message.exec_id):
                execution.signal(message.number)
        elif self._child and self._phase == "running":
            signal_child(self._child.pidfd, message.number)

    def _stop(self, message: protocol.Stop, received: list[int]) -> None:
        if self._start:
            self._signal(protocol.Signal(self._start.stop_signal), [])

    def _resize(self, message: protocol.Resize, received: list[int]) -> None:
        if message.exec_id:
            if execution := self._execs.get(message.exec_id):
                execution.resize(message.height, message.width)
        elif self._session and self._session.terminal >= 0:
            pty.set_size(self._session.terminal, message.height, message.width)

    def _exec(self, message: protocol.Exec, received: list[int]) -> None:
        client = received[0] if received else -1
        if self._child is None or self._phase != "running":  # its pid may be another's by now
            if client >= 0:
                os.close(client)
            self._daemon.tell(protocol.ExecFailed(message.exec_id, errno.ESRCH, "the container has ended"))
            return
        finished = [key for key, execution in self._execs.items() if execution.code is not None]
        for key in finished[: max(0, len(finished) - FINISHED_EXECS_KEPT)]:
            del self._execs[key]
        execution = Execution(self._loop, message, self._daemon.tell, self._maybe_finish)
        self._execs[message.exec_id] = execution
        execution.start(self._home, self._child.pid, client)

    # -- the start

    def _begin(self, message: protocol.Start, received: list[int]) -> None:
        self._start = message
        self._phase = "starting"
        assert self._builder is not None
        channel = self._builder[1]
        self._loop.watch(channel.fileno(), READ, lambda _events: self._hear_builder())
        try:
            fds.send_message(channel, messages.Build(message.open_stdin).encode())
        except OSError:
            pass  # it said why it ended
        self._log = open_log(LogPlan(**message.log), self._loop)

    def _hear_builder(self) -> None:
        assert self._builder is not None and self._start is not None
        pid, channel = self._builder
        try:
            data, received = fds.recv_message(channel)
        except ConnectionResetError:
            data, received = b"", []
        self._loop.unwatch(channel.fileno())
        channel.close()
        os.waitpid(pid, 0)
        self._builder = None
        match messages.decode(data) if data else None:
            case messages.Born() as born:
                self._born(born, received)
            case messages.Failed(stage, number, text):
                self._fail(protocol.StartFailed(stage, number, text))
            case _:
                self._fail(
                    protocol.StartFailed("create", 0, "the process that makes the container was killed")
                )

    def _born(self, born: messages.Born, received: list[int]) -> None:
        assert self._start is not None
        pidfd, channel, *streams = received
        self._child = birth.Child(born.pid, pidfd, socket.socket(fileno=channel), tuple(born.warnings))
        self._home = Home(born.cgroups_path, born.seccomp_path)
        self._makes_network = born.network
        if not born.pids:
            # Orphans are then the host's: as its reaper we would keep each as a zombie, for we wait for our own only.
            libc.prctl(constants.PR_SET_CHILD_SUBREAPER, 0)
        self._session = Session(
            self._loop,
            self._log,
            close_stdin_at_eof=self._start.stdin_once and not born.terminal,
            on_detach=lambda: self._daemon.tell(protocol.Detached()),
            on_output_end=self._maybe_finish,
        )
        if not born.terminal:
            *stdin, stdout, stderr = streams
            for fd in stdin:
                self._session.set_stdin(fd)
            self._session.add_source("stdout", stdout)
            self._session.add_source("stderr", stderr)
        for attach, client in self._pending:
            self._attach_now(attach, client)
        self._pending.clear()
        self._loop.watch(self._child.channel.fileno(), READ, lambda _events: self._hear_init())

    def _hear_init(self) -> None:
        assert self._child is not None and self._start is not None and self._session is not None
        channel = self._child.channel
        try:
            data, received = fds.recv_message(channel)
        except ConnectionResetError:
            data, received = b"", []
        if not data:
            self._loop.unwatch(channel.fileno())
            channel.close()
            self._running()
            return
        match messages.decode(data):
            case messages.Namespaces():
                self._namespaces_made()
            case messages.Resolver():
                self._keep_resolver(received)
            case messages.Console():
                (master,) = received
                if self._start.height and self._start.width:
                    pty.set_size(master, self._start.height, self._start.width)
                self._session.set_terminal(master)
            case messages.Failed(stage, number, text):
                self._loop.unwatch(channel.fileno())
                channel.close()
                os.waitpid(self._child.pid, 0)
                self._fail(protocol.StartFailed(stage, number, text))

    def _namespaces_made(self) -> None:
        assert self._child is not None and self._start is not None
        if not self._makes_network:
            return
        if not self._start.await_network:
            self._network(protocol.Network([]), [])
            return
        self._tell_netns()

    def _tell_netns(self) -> None:
        assert self._child is not None
        try:
            netns = os.open(f"/proc/{self._child.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # as below
        self._daemon.tell(protocol.NetnsReady(), netns)
        os.close(netns)

    def _network(self, message: protocol.Network, received: list[int]) -> None:
        assert self._child is not None
        try:
            fds.send_message(self._child.channel, messages.network(message.interfaces, message.resolver))
        except OSError:
            return  # init is gone; its end is reported by the channel's EOF and the pidfd

    def _keep_resolver(self, sockets: list[int]) -> None:
        self._resolver = sockets
        self._daemon.tell(protocol.Resolver(), *sockets)

    # -- the network of a container that runs

    def _ask_netns(self, message: protocol.AskNetns, received: list[int]) -> None:
        if self._phase == "running":  # else its end is on the way to the daemon
            self._tell_netns()

    def _rewire(self, message: protocol.Rewire, received: list[int]) -> None:
        if self._child is None or self._phase != "running":
            return
        pid, channel = rewire.fork(message, self._child.pid, message.resolver and not self._resolver)
        self._loop.watch(channel.fileno(), READ, lambda _events: self._rewired(pid, channel))

    def _rewired(self, pid: int, channel: socket.socket) -> None:
        data, received = fds.recv_message(channel)
        self._loop.unwatch(channel.fileno())
        channel.close()
        os.waitpid(pid, 0)
        if received:
            self._keep_resolver(received)
        self._daemon.tell(protocol.Rewired(*rewire.result(data)))

    def _running(self) -> None:
        assert self._child is not None and self._session is not None
        self._phase = "running"
        self._started_ns = time.time_ns()
        self._session.started()
        self._loop.watch(self._child.pidfd, READ, lambda _events: self._ended())
        self._daemon.tell(protocol.Started(self._child.pid, self._started_ns, list(self._child.warnings)))

    def _fail(self, failure: protocol.StartFailed) -> None:
        self._phase = "exited"
        self._remove_cgroup()
        self._hand_back()
        self._daemon.tell(failure)
        self._loop.running = False

    # -- the end

    def _ended(self) -> None:
        assert self._child is not None and self._session is not None
        self._loop.unwatch(self._child.pidfd)
        _, status = os.waitpid(self._child.pid, 0)
        oom = bool(self._home.cgroups_path) and Cgroup(self._home.cgroups_path).oom_kills() > 0
        # Before the pipes are emptied: without a PID namespace of its own, others may still write.
        self._remove_cgroup()
        self._session.drain()
        if self._log:
            self._log.close()
        self._phase = "exited"
        assert self._start is not None
        record = protocol.Exit(
            code=exit_code(status),
            oom=oom,
            started_ns=self._started_ns,
            finished_ns=time.time_ns(),
            boot_id=exitrecord.boot_id(),
        )
        exitrecord.write(self._bundle, record, self._start.durable, self._lock)
        for fd in (*self._kept, *self._resolver):
            os.close(fd)
        self._kept.clear()
        self._resolver.clear()
        self._record = record
        self._answer_waiters(record.code)
        self._daemon.tell(record)
        self._maybe_finish()
        if self._loop.running:
            self._let_go()

    def _answer_waiters(self, code: int) -> None:
        """By the daemon, so that it has recorded the exit before any client hears of it; without one, by us."""
        self._hand_back()
        self._waiters.answer(code)

    def _hand_back(self) -> None:
        if self._daemon.present:
            self._daemon.hand_back(self._waiters.take())

    def _remove_cgroup(self) -> None:
        """What does not die (a process in uninterruptible sleep) keeps its group, not us: the daemon tries again when
        the container is removed."""
        if self._home.cgroups_path:
            try:
                Cgroup(self._home.cgroups_path).end()
            except OSError as error:
                print(f"cgroup {self._home.cgroups_path} stays: {error}", file=sys.stderr, flush=True)

    def _maybe_finish(self) -> None:
        """The last client has its last byte: nothing is left to do."""
        if self._phase != "exited" or self._session is None or not self._session.output_ended:
            return
        if self._session.clients == 0 and not any(execution.busy for execution in self._execs.values()):
            self._loop.running = False


HANDLERS: dict[type[protocol.Message], Callable[[Shim, protocol.Message, list[int]], None]] = {
    protocol.Hello: Shim._hello,  # type: ignore[dict-item]  # each handler takes its own message
    protocol.Keep: Shim._keep,  # type: ignore[dict-item]
    protocol.Await: Shim._await,  # type: ignore[dict-item]
    protocol.Attach: Shim._attach,  # type: ignore[dict-item]
    protocol.Start: Shim._begin,  # type: ignore[dict-item]
    protocol.Network: Shim._network,  # type: ignore[dict-item]
    protocol.AskNetns: Shim._ask_netns,  # type: ignore[dict-item]
    protocol.Rewire: Shim._rewire,  # type: ignore[dict-item]
    protocol.Exec: Shim._exec,  # type: ignore[dict-item]
    protocol.Signal: Shim._signal,  # type: ignore[dict-item]
    protocol.Stop: Shim._stop,  # type: ignore[dict-item]
    protocol.Resize: Shim._resize,  # type: ignore[dict-item]
}
