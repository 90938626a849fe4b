"""kill -9 of the daemon, the launcher or a shim at random points of many operations by several clients.

Afterwards nothing hangs, the state is true (what runs answers, what ended has its code), and nothing is left.
Repeat a run's dice with PYMACHINE_FAULT_SEED; the moments of the kills still depend on the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.root.faults.clients import PROGRAMS, Client, Known
from tests.servers.cgroups import children
from tests.servers.hostagent import Daemon

CLIENTS = 4
SEED = int(os.environ.get("PYMACHINE_FAULT_SEED", "20261124"))
SIGNAL_CODES = {129, 138, 143}
"""HUP, USR1, TERM; 137 may always be: a killed shim is a killed container."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("operations", [50, pytest.param(500, marks=pytest.mark.long)])
def test_kills_at_random_points(daemon: Daemon, operations: int) -> None:
    print(f"PYMACHINE_FAULT_SEED={SEED}")
    log = len(daemon.log())
    clients = [Client(daemon.engine, f"c{number}", random.Random(SEED + number)) for number in range(CLIENTS)]
    done = threading.Semaphore(0)

    def work(client: Client) -> None:
        for left in reversed(range(operations // CLIENTS)):
            try:
                client.act()
            except BaseException:
                with contextlib.suppress(ValueError, ProcessLookupError):  # another client was quicker
                    os.kill(daemon.pid, signal.SIGABRT)  # it writes down where it is (faulthandler)
                    time.sleep(1)
                    print(daemon.log()[log:])
                done.release(max(1, left))
                raise
            finally:
                done.release()

    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(work, client) for client in clients]
        kill_at_random(daemon, done, operations // CLIENTS * CLIENTS, random.Random(SEED))
        for each in running:
            each.result()
    daemon.ensure()
    for client in clients:
        check(daemon, client)
    # Else the daemon was away most of the time, and little was tried.
    assert sum(len(client.uncertain) for client in clients) < operations / 4
    check_host(daemon)
    assert "Traceback" not in daemon.log()[log:], daemon.log()[log:]


def kill_at_random(daemon: Daemon, done: threading.Semaphore, operations: int, dice: random.Random) -> None:
    """After every few operations, and a moment that is not the end of one."""
    left = operations
    while left > 0:
        step = min(left, dice.randint(1, 20))
        for _ in range(step):
            if not done.acquire(timeout=120):
                return  # a client hangs: its result says so
        left -= step
        time.sleep(dice.uniform(0, 0.05))
        match dice.choice(("daemon", "launcher", "shim", "shim")):
            case "daemon":
                daemon.kill()
                daemon.start()
            case "launcher":
                if pid := daemon.launcher_pid:
                    os.kill(pid, signal.SIGKILL)
            case "shim":
                kill_a_shim(daemon, dice)


def kill_a_shim(daemon: Daemon, dice: random.Random) -> None:
    alive = sorted(name for name in os.listdir(daemon.shims))
    if not alive:
        return
    chosen = dice.choice(alive)
    for path in daemon.containers.glob(f"{chosen}*/lock"):
        try:
            pid = json.loads(path.read_bytes().partition(b"\n")[0])["pid"]
        except (OSError, ValueError):
            continue  # it is just being written, or removed
        command = ["sh", "-c", f"grep -q pm-shim /proc/{pid}/comm && kill -9 {pid}"]
        subprocess.run(daemon.engine.namespace.command(command), check=False, capture_output=True, timeout=10)


def check(daemon: Daemon, client: Client) -> None:
    """Everything that its client was told is so."""
    for name, known in client.containers.items():
        found = daemon.engine.api("GET", f"/containers/{name}/json")
        assert found.status == 200, f"{name} was made and not removed: {found.body}"
        assert isinstance(found.body, dict)
        check_state(daemon, name, known, found.body["State"])
    for name in client.uncertain:
        answer = daemon.engine.docker("rm", "-f", name, timeout=60)
        assert answer.code == 0, answer.err


def check_state(daemon: Daemon, name: str, known: Known, state: dict[str, object]) -> None:
    code = PROGRAMS[known.kind][1]
    match state["Status"]:
        case "running":
            if code is None:
                assert daemon.engine.ok("exec", name, "echo", "alive") == "alive"
            else:
                answer = daemon.engine.api("POST", f"/containers/{name}/wait")
                assert isinstance(answer.body, dict)
                assert answer.body["StatusCode"] in {code, 137, *SIGNAL_CODES}
        case "exited":
            allowed = (
                {137} | ({code} if code is not None else set()) | (SIGNAL_CODES if known.killed else set())
            )
            # A start that failed because its shim was killed is recorded so.
            assert state["ExitCode"] in allowed | {128}, f"{name} ({known}): {state}"
            assert state["Pid"] == 0
        case "created":
            assert state["Pid"] == 0
        case other:
            raise AssertionError(f"{name} is {other}: {state}")


def check_host(daemon: Daemon) -> None:
    """The host has what the containers that run need, and nothing else."""

    def seen() -> tuple[set[str], set[str]]:
        running = set(daemon.engine.ok("ps", "-q", "--no-trunc").split())
        groups = {os.path.basename(path) for path in children(f"{daemon.parent}/c")}
        return running ^ groups, {each[:32] for each in running} ^ set(os.listdir(daemon.shims))

    deadline = time.monotonic() + 10
    while (different := seen()) != (set(), set()):
        assert time.monotonic() < deadline, f"running containers differ from (cgroups, sockets): {different}"
        time.sleep(0.1)
