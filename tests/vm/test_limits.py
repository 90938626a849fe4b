"""Limits, by the controllers of cgroup v2 under systemd 252, which no test on the development machine has."""

from __future__ import annotations

from tests.vm.customer import Customer

GROUP = "cd /sys/fs/cgroup"
BUSY = "while :; do :; done"


def test_they_are_in_the_files(customer: Customer) -> None:
    options = [
        "-m",
        "32m",
        "--memory-swap",
        "64m",
        "--cpus",
        "0.5",
        "--cpu-shares",
        "512",
        "--pids-limit",
        "20",
    ]
    options += ["--cpuset-cpus", "1", "--memory-reservation", "16m"]
    read = f"{GROUP}; cat memory.max memory.swap.max memory.low cpu.max cpu.weight pids.max cpuset.cpus.effective"
    assert customer.in_container(read, *options).splitlines() == [
        *(str(32 << 20), str(32 << 20), str(16 << 20), "50000 100000", "20", "20", "1")
    ]


def test_memory(customer: Customer) -> None:
    hoard = 'x=$(head -c 60000000 /dev/zero | tr "\\0" x); echo alive'
    done = customer.docker("run", "--name", "hungry", "-m", "24m", "busybox", "sh", "-c", hoard)
    assert (done.code, done.out) == (137, "")
    assert customer.inspect("hungry", "{{.State.OOMKilled}} {{.State.ExitCode}}") == "true 137"
    assert customer.in_container(hoard, "-m", "256m") == "alive"


def test_processors(customer: Customer) -> None:
    customer.run("run", "-d", "--name", "busy", "--cpus", "0.2", "busybox", "sh", "-c", BUSY)

    def throttled() -> int:
        text = customer.run("exec", "busy", "grep", "nr_throttled", "/sys/fs/cgroup/cpu.stat")
        return int(text.split()[1])

    customer.until(lambda: throttled() > 10)
    customer.run("update", "--cpus", "2", "busy")
    assert customer.run("exec", "busy", "cat", "/sys/fs/cgroup/cpu.max") == "200000 100000"
    before = throttled()
    customer.run("exec", "busy", "sleep", "2")
    assert throttled() == before


def test_processes(customer: Customer) -> None:
    many = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 3 & done; wait"
    done = customer.docker("run", "--rm", "--pids-limit", "10", "busybox", "sh", "-c", many)
    assert done.code == 2 and "can't fork" in done.err


def test_block_io(customer: Customer) -> None:
    """Half a megabyte a second through one that writes four: eight seconds by the kernel's clock, not ours."""
    write = "dd if=/dev/zero of=/tmp/x bs=64k count=64 conv=fsync 2>/dev/null; cut -d' ' -f1 /proc/uptime"
    timed = f"cut -d' ' -f1 /proc/uptime; {write}"
    free, limited = (
        [float(word) for word in customer.in_container(timed, *options).split()]
        for options in ((), ("--device-write-bps", "/dev/vda:500kb"))
    )
    assert limited[1] - limited[0] > 6 > free[1] - free[0]


def test_statistics(customer: Customer) -> None:
    customer.run("run", "-d", "--name", "measured", "-m", "64m", "busybox", "sleep", "1000")
    form = "{{.MemUsage}}|{{.PIDs}}"
    used, pids = customer.run("stats", "--no-stream", "--format", form, "measured").split("|")
    assert used.endswith("/ 64MiB") and not used.startswith("0B") and pids == "1"
