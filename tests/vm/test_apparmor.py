"""AppArmor as Debian 12 has it: the kernel's default, with the package that loads profiles."""

from __future__ import annotations

from tests.vm.customer import Customer

CURRENT = "cat /proc/self/attr/apparmor/current 2>/dev/null || cat /proc/self/attr/current"
DEFAULT = "pymachine-default (enforce)"


def test_the_default_profile(customer: Customer) -> None:
    """Of the first process and of every exec, and shown as dockerd shows its own."""
    customer.run("run", "-d", "--name", "walled", "busybox", "sleep", "1000")
    try:
        assert customer.run("exec", "walled", "sh", "-c", CURRENT) == DEFAULT
        assert customer.run("exec", "walled", "sh", "-c", "cat /proc/1/attr/current") == DEFAULT
        assert customer.inspect("walled", "{{.AppArmorProfile}}") == "pymachine-default"
        assert customer.run("stop", "-t", "30", "walled") == "walled"  # its signals get through
    finally:
        customer.run("rm", "-f", "walled")
    assert "name=apparmor" in customer.run("info", "--format", "{{json .SecurityOptions}}")


def test_a_wall_behind_the_capabilities(customer: Customer) -> None:
    """CAP_SYS_ADMIN alone does not mount: that is what the profile is for."""
    mounts = "mkdir /mnt; mount -t tmpfs none /mnt 2>&1 && echo mounted; exit 0"
    assert "mounted" not in customer.in_container(mounts, "--cap-add", "SYS_ADMIN")
    free = ("--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined")
    assert customer.in_container(mounts, *free) == "mounted"
    assert customer.in_container(CURRENT, *free) == "unconfined"
    assert customer.in_container(CURRENT, "--privileged") == "unconfined"


def test_a_profile_of_ones_own(customer: Customer) -> None:
    text = "profile of-mine flags=(attach_disconnected) { file, network, capability, deny /etc/passwd r, }"
    customer.ssh(f"echo '{text}' | sudo apparmor_parser --replace --skip-cache")
    options = ("--security-opt", "apparmor=of-mine")
    assert customer.in_container(f"{CURRENT}; cat /etc/passwd || true", *options) == "of-mine (enforce)"
    unknown = customer.docker("run", "--rm", "--security-opt", "apparmor=ghost", "busybox", "true")
    assert unknown.code == 127
    assert "unable to apply apparmor profile ghost: it is not loaded" in unknown.err
    assert customer.run("ps", "-aq") == ""
