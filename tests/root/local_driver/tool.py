"""One workflow call, for tests that run it in a namespace and kill it: `tool.py VERB NAME [COMMAND]`.

Events go to stdout as they happen, one a line: "STATE STEP SECONDS DETAIL". An error is the last line of stderr, after
the name of its class. `host` makes the host and logs in, without the engine.
"""

from __future__ import annotations

import sys

from machine.drivers import base as drivers
from machine.errors import MachineError
from machine.model.machine import Machine
from machine.store.store import Store
from machine.workflow.create import create
from machine.workflow.plan import plan
from machine.workflow.power import start, state, stop
from machine.workflow.progress import StepEvent
from machine.workflow.remove import remove
from machine.workflow.runner import Runner
from machine.workflow.session import Session


def tell(event: StepEvent) -> None:
    print(f"{event.state}|{event.step}|{event.seconds:.2f}|{event.detail}", flush=True)


def make_host(store: Store, name: str) -> None:
    """All steps of `create` but the last."""
    driver = drivers.get("local", store)
    with store.lock(name), Session() as session:
        entry = store.make(name)
        if not entry.journal.read().order:
            entry.journal.add("order", values={"driver": "local"})
        machine = entry.read() or Machine(name=name, driver="local", address="")
        Runner(entry, tell).forward(plan(entry, driver, {}, session)[:-1], machine)
        entry.journal.add("complete")


def main() -> None:
    verb, name, *rest = sys.argv[1:]
    store = Store()
    match verb:
        case "create":
            create(store, "local", name, {}, tell)
        case "host":
            make_host(store, name)
        case "rm":
            remove(store, name, tell)
        case "stop":
            stop(store, name, tell)
        case "start-host":
            machine = drivers.get("local", store).start(store.get(name), lambda detail: None)
            store.save(machine)
        case "start":
            start(store, name, tell)
        case "state":
            print(state(store, store.get(name)))
        case "ssh":
            with Session() as session:
                done = session.connection(store.get(name), lambda detail: None).run(rest[0], check=False)
            sys.stdout.write(done.stdout.decode() + done.stderr.decode())
            sys.exit(done.status)


if __name__ == "__main__":
    try:
        main()
    except MachineError as error:
        sys.exit(f"{type(error).__name__}: {error}")
