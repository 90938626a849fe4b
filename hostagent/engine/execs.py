"""Further processes in running containers: create, start, inspect, resize."""

from __future__ import annotations

import asyncio
import secrets
import signal
from dataclasses import asdict
from typing import Any

import msgspec

from hostagent.engine import oci
from hostagent.engine.container import Container, ExecConfig, ExecState
from hostagent.engine.containers import Containers
from hostagent.engine.detachkeys import parse as parse_detach_keys
from hostagent.engine.events import EventBus
from hostagent.engine.isolation import capabilities, security
from hostagent.engine.isolation.namespaces import network_of
from hostagent.engine.life import startfailure
from hostagent.engine.life.pausing import must_run
from hostagent.engine.networks.links import Links
from hostagent.errors import Conflict, EngineError, Invalid, NotFound
from hostagent.model.stream import Upgrade
from hostagent.runtime import protocol
from hostagent.wire import ExecCreate, ExecInspect

START_LIMIT = 60.0


class Execs:
    """Execs live with their container: in its memory here, and in its shim for a daemon that comes later."""

    def __init__(self, containers: Containers, links: Links, events: EventBus) -> None:
        self._containers = containers
        self._links = links
        self._events = events

    def create(self, reference: str, body: ExecCreate) -> str:
        """A new exec's ID. Conflict when the container does not run."""
        container = self._containers.find(reference)
        self._must_run(container, reference)
        if not body.cmd:
            raise Invalid("No exec command specified")
        parse_detach_keys(body.detach_keys, "escape")
        config = container.config
        execution = ExecState(
            id=secrets.token_hex(32),
            container=container,
            config=ExecConfig(
                args=body.cmd,
                user=body.user or config.user,
                tty=body.tty,
                open_stdin=body.attach_stdin,
                open_stdout=body.attach_stdout,
                open_stderr=body.attach_stderr,
                env=body.env or [],
                working_dir=body.working_dir or config.working_dir,
                detach_keys=body.detach_keys,
                console_size=body.console_size or (0, 0),
                privileged=body.privileged,
            ),
        )
        container.execs[execution.id] = execution
        self._tell(execution, "exec_create")
        return execution.id

    async def start(
        self,
        exec_id: str,
        detach: bool,
        tty: bool,
        console_size: tuple[int, int] | None,
        upgrade: Upgrade | None,
    ) -> None:
        """Run it; with `upgrade` its streams go to the client, which then also reads why it failed.

        `tty` says how the client reads them, raw or in frames, whatever the exec itself was created with.
        """
        execution = self._find(exec_id)
        container = execution.container
        if execution.exit_code is not None:
            raise Conflict(f"Error: Exec command {exec_id} has already run")
        if execution.begun is not None:
            raise Conflict(f"Error: Exec command {exec_id} is already running")
        self._must_run(container, container.id)
        config = execution.config
        execution.begun = asyncio.get_running_loop().create_future()
        attach: protocol.Attach | None = None
        passed: tuple[int, ...] = ()
        if not detach and upgrade is not None:
            hijacked = await upgrade(not tty)
            attach = protocol.Attach(
                stdin=config.open_stdin,
                stdout=config.open_stdout,
                stderr=config.open_stderr and not (config.tty or tty),
                multiplexed=not tty,
                detach_keys=list(parse_detach_keys(config.detach_keys)) if config.tty else [],
                early=hijacked.early.decode("latin-1"),
            )
            passed = (hijacked.fd,)
        size = console_size or config.console_size if config.tty else (0, 0)
        self._launch(execution, attach, passed, size)
        if attach is None:
            await self._begun(execution)

    def start_check(self, container: Container, command: list[str], output: int) -> ExecState:
        """A health check's process, under way; all that it says goes raw to the fd `output`, which is taken over.

        It is forgotten at its end: `ended` has its code.
        """
        config = ExecConfig(
            args=command,
            user=container.config.user,
            tty=False,
            open_stdin=False,
            open_stdout=True,
            open_stderr=True,
            env=[],
            working_dir=container.config.working_dir,
            detach_keys="",
            health_check=True,
        )
        loop = asyncio.get_running_loop()
        execution = ExecState(id=secrets.token_hex(32), container=container, config=config)
        execution.begun, execution.ended = loop.create_future(), loop.create_future()
        execution.ended.add_done_callback(lambda _: container.execs.pop(execution.id, None))
        container.execs[execution.id] = execution
        self._tell(execution, "exec_create")
        raw = protocol.Attach(stdin=False, stdout=True, stderr=True, multiplexed=False)
        self._launch(execution, raw, (output,), (0, 0))
        return execution

    def _launch(
        self,
        execution: ExecState,
        attach: protocol.Attach | None,
        passed: tuple[int, ...],
        size: tuple[int, int],
    ) -> None:
        """Give it to the shim, with the connection (`passed`) of the client that `attach` describes."""
        container, config = execution.container, execution.config
        assert container.link is not None
        self._tell(execution, "exec_start")
        process = self._process(container, config)
        if all(size):
            # The process itself gives it to its terminal, before there is a program that could ask.
            process["consoleSize"] = {"height": size[0], "width": size[1]}
        message = protocol.Exec(
            exec_id=execution.id,
            process=process,
            open_stdin=config.open_stdin,
            config=msgspec.to_builtins(config),
            attach=asdict(attach) if attach else None,
        )
        container.link.send(message, passed)

    async def _begun(self, execution: ExecState) -> None:
        assert execution.begun is not None and execution.container.link is not None
        closed = execution.container.link.closed
        either: set[asyncio.Future[Any]] = {execution.begun, closed}
        await asyncio.wait(either, timeout=START_LIMIT, return_when=asyncio.FIRST_COMPLETED)
        if not execution.begun.done():
            raise EngineError("the container ended, or its shim did not answer, before the command could run")
        outcome = execution.begun.result()
        if isinstance(outcome, protocol.ExecFailed):
            raise startfailure.exec_error_of(outcome)

    def _process(self, container: Container, config: ExecConfig) -> dict[str, object]:
        links = self._links.environment(container)
        hostname = network_of(container, self._containers.find).config.hostname
        env = oci.environment(container.config, hostname, config.tty, links)
        host = container.host
        process = oci.process(
            args=config.args,
            env=oci.override(env, config.env),
            cwd=config.working_dir or "/",
            terminal=config.tty,
            user=config.user,
            capabilities=capabilities.everything() if config.privileged else capabilities.of(host),
            no_new_privileges=security.of(host).no_new_privileges,
            groups=host.group_add or (),
            apparmor=security.apparmor_profile(host),
        )
        return process | oci.scores(host)

    def inspect(self, exec_id: str) -> ExecInspect:
        execution = self._find(exec_id)
        config = execution.config
        return ExecInspect(
            id=exec_id,
            running=execution.running,
            exit_code=execution.exit_code,
            process_config=config.process(),
            open_stdin=config.open_stdin,
            open_stdout=config.open_stdout,
            open_stderr=config.open_stderr,
            container_id=execution.container.id,
            detach_keys=config.detach_keys,
            pid=execution.pid,
        )

    async def resize(self, exec_id: str, height: int, width: int) -> None:
        """Also when it has not started yet: a client asks as soon as it has attached."""
        execution = self._find(exec_id)
        if execution.begun is None:
            raise Invalid(f"exec {exec_id} is not running: start it first")
        if execution.exit_code is not None:
            raise NotFound(f"process does not exist {exec_id}: not found")
        if not execution.begun.done() and execution.container.link:
            either: set[asyncio.Future[Any]] = {execution.begun, execution.container.link.closed}
            await asyncio.wait(either, timeout=START_LIMIT, return_when=asyncio.FIRST_COMPLETED)
        if execution.container.link:
            execution.container.link.send(protocol.Resize(height, width, exec_id))

    def adopt(self, container: Container, known: list[dict[str, object]]) -> None:
        """Execs that a shim told of after the daemon came back."""
        for entry in known:
            execution = ExecState(
                id=str(entry["exec_id"]),
                container=container,
                config=msgspec.convert(entry["config"], ExecConfig),
                pid=int(str(entry["pid"])),
                exit_code=None if entry["code"] is None else int(str(entry["code"])),
            )
            execution.begun = asyncio.get_running_loop().create_future()
            execution.begun.set_result(protocol.ExecStarted(execution.id, execution.pid))
            if execution.config.health_check:
                # Its result is of no use any more; one that hangs has nobody else who would end it.
                if execution.running and container.link:
                    container.link.send(protocol.Signal(signal.SIGKILL, execution.id))
                continue
            container.execs[execution.id] = execution

    def _find(self, exec_id: str) -> ExecState:
        for container in self._containers.all():
            if found := container.execs.get(exec_id):
                return found
        raise NotFound(f"No such exec instance: {exec_id}")

    @staticmethod
    def _must_run(container: Container, called: str) -> None:
        must_run(container)
        if container.state.paused:
            raise Conflict(f"Container {called} is paused, unpause the container before exec")

    def _tell(self, execution: ExecState, what: str) -> None:
        container = execution.container
        program, *arguments = execution.config.args
        action = f"{what}: {program} {' '.join(arguments)}"  # the space is there without arguments too, as in Docker
        self._events.publish(
            "container", action, container.id, container.event_attributes(execID=execution.id)
        )
