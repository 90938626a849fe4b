"""`pymachine rm` on a host that stays: the engine is gone from it with all that it made, and nothing else."""

from __future__ import annotations

from tests.vm.customer import NAME, Customer

# What of ours could be left: files, interfaces, tables, groups of processes and of people, units.
LEFT = r"""
find / -xdev -name '*pymachine*' -not -path '/proc/*' -not -path '/var/log/*' 2>/dev/null
find /run -name '*docker*' 2>/dev/null
ip -o link | grep -E 'pymachine|pm-' ; sudo nft list tables
getent group pymachine; systemctl list-units --all '*pymachine*' --no-legend
pgrep -af '[h]ostagent' ; findmnt -t overlay --noheadings; true
"""


def test_nothing_of_ours_is_left(customer: Customer) -> None:
    customer.run(
        "run", "-d", "--name", "last", "--restart", "always", "-p", "80", "busybox", "sleep", "10000"
    )
    asked = customer.pymachine("rm", NAME)
    assert asked.code == 2 and "1 running container (last)" in asked.err and "rm --keep vm1" in asked.err
    keys = {
        name: customer.ssh(f"sudo cat {name}")
        for name in ("/etc/hostname", "/etc/ssh/ssh_host_ed25519_key.pub")
    }

    customer.ok(customer.pymachine("rm", "--yes", NAME))

    assert customer.pymachine("ls", "-q").out == ""
    assert customer.plain_ssh(LEFT) == ""
    assert {name: customer.plain_ssh(f"sudo cat {name}") for name in keys} == keys
    assert customer.plain_ssh("systemctl is-system-running") == "running"
