"""How `run` goes: create (pulling the image if it is missing), attach, wait, start, carry the streams, exit code."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, Literal

import typer

from machine.cli import session, target, terminal
from machine.cli.console import note, print_warning
from machine.cli.request import attached_streams, container_create
from machine.cli.run_options import RunOptions
from machine.client.docker import DockerClient
from machine.client.docker_call import run_failure
from machine.errors import DaemonError, MachineError, RunFailed, Usage

PullPolicy = Literal["missing", "always", "never"]
_POLICIES: Final[tuple[PullPolicy, ...]] = ("missing", "always", "never")
_STDIN: Final = 0


@dataclass(frozen=True)
class Order:
    """A container to be made."""

    options: RunOptions
    name: str | None
    platform: str | None
    pull: PullPolicy
    quiet: bool


def pull_policy(text: str) -> PullPolicy:
    for policy in _POLICIES:
        if policy == text:
            return policy
    raise Usage(f'invalid --pull "{text}": missing, always or never')


def run(
    context: typer.Context, machine: str | None, order: Order, *, detach_keys: str, sig_proxy: bool
) -> int:
    """Exit code of the container, 0 when it goes on without us. RunFailed: it did not start."""
    try:
        return _run(context, machine, order, detach_keys, sig_proxy)
    except RunFailed:
        raise
    except MachineError as error:
        # docker's 125 says "not the container's own code", whatever it was that failed here.
        raise RunFailed(str(error)) from error


def _run(context: typer.Context, machine: str | None, order: Order, detach_keys: str, sig_proxy: bool) -> int:
    keys = terminal.parse_detach_keys(detach_keys)
    options = order.options
    if options.interactive and options.tty and not options.detach and not os.isatty(_STDIN):
        raise RunFailed("-t needs a terminal, and stdin is none: leave -t out (a pipe needs -i alone)")
    name, body = _prepare(context, machine, order)
    with target.engine(context, machine) as client:
        container = _create(client, order, body, name)
        if options.detach:
            _start(client, container)
            print(container)
            return 0
        return _run_attached(client, container, options, keys, sig_proxy)


def create(context: typer.Context, machine: str | None, order: Order) -> str:
    """The new container's ID."""
    name, body = _prepare(context, machine, order)
    with target.engine(context, machine) as client:
        return _create(client, order, body, name)


def _prepare(context: typer.Context, machine: str | None, order: Order) -> tuple[str, bytes]:
    """The machine's name for messages, and the request; usage errors come before anything is touched."""
    from hostagent import wire

    console = terminal.size(1) if order.options.tty else None
    try:
        request = container_create(order.options, os.environ, os.getcwd(), console or (0, 0))
        return target.machine_name(context, machine), wire.encode(request)
    except MachineError as error:
        raise RunFailed(str(error)) from error


def _create(client: DockerClient, order: Order, body: bytes, machine: str) -> str:
    image, cidfile = order.options.image, order.options.cidfile
    if cidfile and os.path.exists(cidfile):
        raise RunFailed(f"{cidfile} of --cidfile exists: remove it, or name another file")
    if order.pull == "always":
        _pull(client, order, machine)
    try:
        made = client.containers.create(body, name=order.name, platform=order.platform)
    except DaemonError as error:
        if error.status != 404 or "such image" not in str(error).lower() or order.pull != "missing":
            raise _explained(error, image, order.name) from error
        _pull(client, order, machine)
        try:
            made = client.containers.create(body, name=order.name, platform=order.platform)
        except DaemonError as again:
            raise _explained(again, image, order.name) from again
    for warning in made.warnings:
        print_warning(warning)
    if cidfile:
        _write_id(cidfile, made.id)
    return made.id


def _write_id(path: str, container: str) -> None:
    try:
        with open(path, "x", encoding="ascii") as file:
            file.write(container)
    except OSError as error:
        raise RunFailed(
            f"cannot write {path}: {error.strerror}. The container is there: {container[:12]}"
        ) from error


def _explained(error: DaemonError, image: str, name: str | None) -> RunFailed:
    text = str(error)
    if error.status == 404 and "such image" in text.lower():
        text += f".  Pull it:  pymachine pull {image}"
    elif error.status == 409 and name is not None:
        text += f"\nRemove it:  pymachine container rm {name}"
    return RunFailed(text)


def _pull(client: DockerClient, order: Order, machine: str) -> None:
    from machine.cli import transfer_progress
    from machine.cli.registry_auth import credentials

    image = order.options.image
    try:
        reports = client.images.pull(image, platform=order.platform, auth=credentials(image))
        transfer_progress.follow(f"pulling {image} on {machine}", reports, quiet=order.quiet)
    except DaemonError as error:
        raise RunFailed(f"{image} is not on {machine} and could not be pulled: {error}") from error


def _start(client: DockerClient, container: str) -> None:
    try:
        client.containers.start(container)
    except DaemonError as error:
        raise run_failure(error) from error


def _run_attached(
    client: DockerClient, container: str, options: RunOptions, keys: bytes, sig_proxy: bool
) -> int:
    streams = attached_streams(options)
    with ExitStack() as stack:
        stream = stack.enter_context(
            client.containers.attach(
                container,
                stdin="stdin" in streams,
                stdout="stdout" in streams,
                stderr="stderr" in streams,
                detach_keys=None,
                tty=options.tty,
                logs=False,
            )
        )
        # Asked before the start, so that even the shortest life is seen to its end.
        waiter = client.containers.wait(container, "removed" if options.remove else "next-exit")
        stack.callback(waiter.close)
        _start(client, container)
        far = session.Far(
            stream=stream,
            tty=options.tty,
            stdin="stdin" in streams,
            resize=lambda height, width: client.containers.resize(container, height, width),
            kill=(lambda name: client.containers.kill(container, name))
            if sig_proxy and not options.tty
            else None,
            detach_keys=keys,
        )
        if not session.join(far):
            note(f"\ndetached; it goes on:  pymachine container attach {container[:12]}")
            return 0
        result = waiter.result()
    if result.error is not None:
        raise RunFailed(result.error.message)
    return result.status_code
