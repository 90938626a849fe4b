"""The host reboots, once in good order and once as if the power had failed."""

from __future__ import annotations

import pytest

from tests.vm.customer import Customer
from tests.vm.guest import PUBLISHED_PORT
from tests.vm.test_containers import LOOP

# sysrq's b(oot): at once, nothing is written or unmounted (sysrq.rst). After the command, whose connection nobody
# would close any more.
CRASH = "sudo sh -c 'sync; (sleep 1; echo 1 >/proc/sys/kernel/sysrq; echo b >/proc/sysrq-trigger) >/dev/null 2>&1 &'"


@pytest.mark.parametrize(
    ("how", "heeded", "deaf"),
    [
        ("sudo systemctl reboot", 7, 137),
        (CRASH, 255, 255),
    ],  # 255: nobody saw how they ended, as dockerd has it
    ids=["order", "crash"],
)
def test_containers_come_back(customer: Customer, how: str, heeded: int, deaf: int) -> None:
    shell = ["busybox", "sh", "-c", LOOP]
    customer.run("run", "-d", "--name", "always", "--restart", "always", "-p", f"{PUBLISHED_PORT}:80", *shell)
    customer.run("run", "-d", "--name", "unless", "--restart", "unless-stopped", *shell)
    customer.run("run", "-d", "--name", "halted", "--restart", "unless-stopped", *shell)
    customer.run("run", "-d", "--name", "plain", *shell)
    customer.run("run", "-d", "--name", "deaf", "busybox", "sleep", "10000")
    customer.run("stop", "-t", "30", "halted")
    before = customer.inspect("always", "{{.State.StartedAt}}")
    boots = customer.guest.boots()

    # It may take the connection with it before the command has ended.
    customer.pymachine("ssh", "vm1", "--", how)
    customer.guest.wait_for_boot(boots + 1)
    customer.until_reachable()

    states = "{{.State.Status}} {{.State.ExitCode}}"
    for name in ("always", "unless"):
        customer.until(lambda name=name: customer.inspect(name, states) == "running 0")  # type: ignore[misc]  # bound at once
    assert customer.inspect("always", "{{.State.StartedAt}}") > before
    assert customer.inspect("halted", states) == "exited 7"
    assert customer.inspect("plain", states) == f"exited {heeded}"
    assert customer.inspect("deaf", states) == f"exited {deaf}"
    assert customer.run("exec", "always", "echo", "inside") == "inside"
    assert customer.run("port", "always").startswith(f"80/tcp -> 0.0.0.0:{PUBLISHED_PORT}")
    assert customer.ssh("systemctl is-system-running --wait") == "running"
