"""One workflow call, for tests that run it in a namespace and kill it: `tool.py VERB NAME [ARGUMENT...]`.

Events go to stdout as they happen, one a line: "STATE STEP SECONDS DETAIL". An error is the last line of stderr, after
the name of its class. `host` makes the host and logs in, without the engine.
"""

from __future__ import annotations

import hashlib
import io
import platform
import sys
import tarfile
from pathlib import Path

from machine.drivers import base as drivers
from machine.errors import MachineError
from machine.model.machine import Machine
from machine.model.registries import Registries
from machine.store.store import Store
from machine.workflow import bundle
from machine.workflow.bundle import Bundle, Target
from machine.workflow.create import create
from machine.workflow.plan import plan
from machine.workflow.power import start, state, stop
from machine.workflow.progress import StepEvent
from machine.workflow.provision import activate, send
from machine.workflow.remove import remove
from machine.workflow.request import Request
from machine.workflow.runner import Runner
from machine.workflow.session import Session


def tell(event: StepEvent) -> None:
    print(f"{event.state}|{event.step}|{event.seconds:.2f}|{event.detail}", flush=True)


def make_host(store: Store, name: str) -> None:
    """All steps of `create` but the last."""
    driver = drivers.get("local", store)
    with store.lock(name), Session() as session:
        entry = store.make(name)
        request = Request("local")
        if not entry.journal.read().order:
            entry.journal.add("order", values=request.values())
        machine = entry.read() or Machine(name=name, driver="local", address="")
        Runner(entry, tell).forward(plan(entry, driver, request, session)[:-1], machine)
        entry.journal.add("complete")


def install_broken(machine: Machine, folder: Path) -> None:
    """Installs a version whose daemon ends at once, by the workflow's own means."""
    good = bundle.ensure(Target("3.11", platform.machine()), lambda detail: None)
    path = folder / "broken.tar.gz"
    with tarfile.open(good.path) as source, tarfile.open(path, "w:gz", compresslevel=1) as target:
        for info in source:
            data = source.extractfile(info)
            content = (
                b"raise SystemExit('broken on purpose')" if info.name.endswith("daemon/main.py") else None
            )
            info.size = info.size if content is None else len(content)
            target.addfile(info, data if content is None else io.BytesIO(content))
    made = Bundle("0.0.0-broken", hashlib.sha256(path.read_bytes()).hexdigest(), path)
    with Session() as session:
        connection = session.connection(machine, lambda detail: None)
        send(connection, made)
        activate(connection, made.version, lambda detail: None)


def main() -> None:
    verb, name, *rest = sys.argv[1:]
    store = Store()
    match verb:
        case "create":
            create(store, "local", name, {}, tell, registries=Registries(mirrors=tuple(rest)))
        case "ssh-create":
            create(store, "ssh", name, dict(option.split("=", 1) for option in rest), tell)
        case "forget":
            remove(store, name, tell, keep=True)
        case "host":
            make_host(store, name)
        case "rm":
            remove(store, name, tell)
        case "stop":
            stop(store, name, tell)
        case "start":
            start(store, name, tell)
        case "break":
            install_broken(store.get(name), Path(rest[0]))
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
