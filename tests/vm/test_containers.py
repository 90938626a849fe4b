"""What a container may and may not do on the customer's kernel, and what survives the daemon."""

from __future__ import annotations

import urllib.request

from tests.vm.customer import Customer
from tests.vm.guest import PUBLISHED_PORT

LOOP = 'trap "echo bye; exit 7" TERM; echo hello; while :; do sleep 0.2; done'


def test_devices(customer: Customer) -> None:
    """v2 has no list of devices: a BPF program answers for each open and mknod."""
    number = customer.ssh("stat -c '%Hr %Lr' /dev/vda")
    tries = f"mknod /tmp/disk b {number}; head -c 1 /tmp/disk 2>&1 | tail -n 1; echo x >/dev/null && echo null; exit 0"
    said = customer.in_container(tries, "--cap-add", "MKNOD")
    assert "Operation not permitted" in said and said.endswith("null")


def test_seccomp(customer: Customer) -> None:
    """A user namespace needs no capability on this kernel: only the filter refuses it."""
    tries = "grep Seccomp: /proc/self/status; unshare -U true 2>&1; exit 0"
    assert (
        customer.in_container(tries) == "Seccomp:\t2\nunshare: unshare(0x10000000): Operation not permitted"
    )
    free = customer.in_container(tries, "--security-opt", "seccomp=unconfined")
    assert free == "Seccomp:\t0"


def test_overlay(customer: Customer) -> None:
    """A copy-up, a whiteout and an opaque folder: at the container's next start, in `diff`, and as a layer."""
    change = "echo more >>/etc/group && rm -r /etc/passwd /home && mkdir /home && touch /home/new"
    look = "tail -n 1 /etc/group; ls /home; grep -c ' / / .* - overlay ' /proc/self/mountinfo"
    script = f"if [ -e /etc/passwd ]; then {change}; else {look}; fi"
    customer.run("run", "--name", "changed", "busybox", "sh", "-c", script)
    assert customer.run("start", "-a", "changed").splitlines() == ["more", "new", "1"]
    changes = set(customer.run("diff", "changed").splitlines())
    assert {"C /etc", "C /etc/group", "D /etc/passwd", "A /home/new"} <= changes
    customer.run("commit", "changed", "changed:1")
    committed = customer.run("run", "--rm", "changed:1", "sh", "-c", script)
    assert committed.splitlines() == ["more", "new", "1"]
    assert customer.in_container("tail -n 1 /etc/group; ls /home") == "staff:x:50:www"
    customer.run("rmi", "changed:1")


def test_streams(customer: Customer) -> None:
    assert customer.run("run", "--rm", "-i", "busybox", "cat", stdin="half-close") == "half-close"


def test_a_published_port(customer: Customer) -> None:
    """From outside the host, through its own interface: nftables of this kernel, with this libnftables."""
    page = "echo hello >/tmp/index.html; exec httpd -f -p 80 -h /tmp"
    customer.run("run", "-d", "--name", "web", "-p", f"{PUBLISHED_PORT}:80", "busybox", "sh", "-c", page)
    customer.until(lambda: _get() == "hello\n", 60)
    address = customer.inspect("web", "{{.NetworkSettings.IPAddress}}")
    assert customer.in_container(f"wget -q -O - http://{address}/") == "hello"
    customer.run("rm", "-f", "web")
    assert _get() == ""


def test_life(customer: Customer) -> None:
    customer.run("run", "-d", "--name", "life", "busybox", "sh", "-c", LOOP)
    customer.until(lambda: customer.run("logs", "life") == "hello")
    assert customer.run("exec", "life", "hostname") == customer.inspect("life", "{{.Config.Hostname}}")
    customer.run("pause", "life")
    assert customer.inspect("life", "{{.State.Status}}") == "paused"
    customer.run("unpause", "life")
    customer.run("stop", "-t", "30", "life")
    assert customer.inspect("life", "{{.State.Status}} {{.State.ExitCode}}") == "exited 7"
    assert customer.run("logs", "life") == "hello\nbye"


def test_the_daemon_is_killed(customer: Customer) -> None:
    customer.run("run", "-d", "--name", "survivor", "busybox", "sh", "-c", LOOP)
    pid = customer.inspect("survivor", "{{.State.Pid}}")
    customer.ssh("sudo systemctl kill -s KILL pymachine.service")
    assert customer.inspect("survivor", "{{.State.Status}} {{.State.Pid}}") == f"running {pid}"
    assert customer.run("exec", "survivor", "echo", "inside") == "inside"
    customer.run("stop", "-t", "30", "survivor")
    assert customer.inspect("survivor", "{{.State.ExitCode}}") == "7"


def _get() -> str:
    """What the published port answers; empty when nobody does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PUBLISHED_PORT}/", timeout=10) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""
