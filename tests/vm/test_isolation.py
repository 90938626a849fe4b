"""Rights that the development machine cannot give (it lacks CAP_SYS_RESOURCE), and devices by the v2 BPF program."""

from __future__ import annotations

from tests.vm.customer import Customer


def test_a_device_that_may_only_be_read(customer: Customer) -> None:
    tries = "head -c 512 /dev/disk | wc -c; ls /dev/vda 2>&1; echo x >/dev/disk; exit 0"
    done = customer.docker("run", "--rm", "--device", "/dev/vdb:/dev/disk:r", "busybox", "sh", "-c", tries)
    assert done.out.splitlines()[0] == "512" and "No such file" in done.out
    assert done.err == "sh: can't create /dev/disk: Operation not permitted"


def test_a_rule_for_devices_that_the_container_makes(customer: Customer) -> None:
    number = customer.ssh("stat -c '%Hr %Lr' /dev/vdb")
    major = number.split()[0]
    tries = f"mknod /tmp/disk b {number}; head -c 512 /tmp/disk | wc -c; echo x >/tmp/disk || echo no; exit 0"
    assert customer.in_container(tries, "--device-cgroup-rule", f"b {major}:* rm").splitlines() == [
        "512",
        "no",
    ]
    assert customer.in_container(tries).splitlines() == ["0", "no"]


def test_privileged(customer: Customer) -> None:
    tries = "head -c 512 /dev/vda | wc -c; mkdir /mnt; mount -t tmpfs none /mnt && echo mounted"
    assert customer.in_container(tries, "--privileged").splitlines() == ["512", "mounted"]


def test_what_root_may_do_there_is_not_clamped(customer: Customer) -> None:
    """No warning, and the very values: a better OOM score, higher limits than the daemon's own."""
    options = ["--oom-score-adj", "-500", "--ulimit", "memlock=-1", "--ulimit", "nofile=900000:1000000"]
    read = "cat /proc/self/oom_score_adj; ulimit -l; ulimit -Sn; ulimit -Hn"
    done = customer.docker("run", "--rm", *options, "busybox", "sh", "-c", read)
    assert (done.out.split(), done.err) == (["-500", "unlimited", "900000", "1000000"], "")


def test_namespaces(customer: Customer) -> None:
    """Each of its own, but those of the host that were asked for."""
    kinds = ("pid", "net", "uts", "ipc", "mnt", "cgroup")
    look = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in kinds)
    host = customer.ssh(f"sudo sh -c '{look}'").splitlines()
    own = customer.in_container(look).splitlines()
    assert len(set(host) | set(own)) == 2 * len(kinds)
    shared = customer.in_container(
        look, "--pid", "host", "--network", "host", "--uts", "host", "--ipc", "host"
    )
    assert shared.splitlines()[:4] == host[:4] and shared.splitlines()[4] != host[4]
