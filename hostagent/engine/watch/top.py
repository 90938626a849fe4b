"""`top`: the processes of a container as the host's ps(1) shows them."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence

from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.life.bundles import Bundles
from hostagent.engine.life.pausing import must_run
from hostagent.engine.watch import processtable
from hostagent.errors import EngineError, Unavailable
from hostagent.kernel.cgroup import Cgroup
from hostagent.wire import Top

DEFAULT = "-ef"
PS_LIMIT = 30.0
"""Seconds."""


class Processes:
    """Asks ps, which knows all its options; a host without it still has the default table."""

    def __init__(self, containers: Containers, bundles: Bundles, events: EventBus) -> None:
        self._containers = containers
        self._bundles = bundles
        self._events = events

    async def top(self, reference: str, arguments: str) -> Top:
        """`arguments` are ps's, "" for the default. PIDs are the host's. Conflict when it does not run."""
        arguments = arguments or DEFAULT
        processtable.check_arguments(arguments)
        container = self._containers.find(reference)
        must_run(container)
        pids = Cgroup(self._bundles.cgroup(container)).pids()
        if program := shutil.which("ps"):
            table = processtable.cut(await _print(program, arguments.split(" "), pids), pids)
        elif arguments == DEFAULT:
            table = processtable.own(pids, time.time())
        else:
            raise Unavailable("this host has no ps: install procps, or ask without options of ps")
        self._events.publish("container", "top", container.id, container.event_attributes())
        return table


async def _print(program: str, arguments: Sequence[str], pids: set[int]) -> str:
    """What ps says: of these processes only, or of all where its options (such as f) do not go with -q."""
    quick = f"-q{','.join(str(pid) for pid in sorted(pids))}"
    for words in ((*arguments, quick), arguments):
        process = await asyncio.create_subprocess_exec(
            program,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), PS_LIMIT)
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        if process.returncode == 0:
            return out.decode("utf-8", "replace")
    said = err.decode("utf-8", "replace").partition("\n")[0]
    raise EngineError(f"ps: {said or f'exit status {process.returncode}'}")
