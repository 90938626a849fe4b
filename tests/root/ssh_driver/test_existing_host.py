"""The ssh driver on a host that was there before: a namespace host with an administrator, of which we only know that.

Debian 12 with systemd and sshd, without our agent; the laptop has a home that has never seen it.
"""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from machine.model.machine import Machine
from tests.root.local_driver.conftest import Laptop, caches, clear
from tests.servers.namespace import Namespace

pytestmark = pytest.mark.root
__all__ = ["caches"]

# A user whom the host's owner made; no engine, and a library of it that is not installed.
ADMINISTRATOR = r"""
useradd --create-home --shell /bin/bash admin
install -d -m 700 -o admin -g admin ~admin/.ssh
install -m 600 -o admin -g admin ~pymachine/.ssh/authorized_keys ~admin/.ssh/authorized_keys
install -D -m 600 ~pymachine/.ssh/authorized_keys ~root/.ssh/authorized_keys
printf 'admin ALL=(ALL) NOPASSWD:ALL\n' >/etc/sudoers.d/admin
"""
# All that could show that somebody was here.
TRACES = r"""
sudo find / -xdev -name '*pymachine*' -not -path '/proc/*' -not -path '/home/pymachine*' -not -path '/var/log/*' \
    -not -path '/var/lib/pymachine' -not -path '*/90-pymachine*' -not -path '/var/mail/*'
sudo ls -A /var/lib/pymachine /run/docker.sock /usr/local/bin/docker 2>/dev/null
ls /sys/class/net | grep -v -e '^lo$' -e '^eth0$' -e '^host0$'; sudo nft list tables; id admin; hostname
systemctl list-units --all --no-legend --plain '*pymachine*' | cut -d' ' -f1
pgrep -f '[h]ostagent'; true
"""

# The host lacks a package that its only archive has; somebody is at its package lists and at dpkg for some seconds.
LACKING = r"""
dpkg --purge --force-depends ca-certificates
mkdir -p /srv/archive/package/DEBIAN && cd /srv/archive
printf '%s\n' 'Package: ca-certificates' 'Version: 99' 'Architecture: all' 'Maintainer: nobody <nobody@example.com>' \
    'Description: nothing' >package/DEBIAN/control
dpkg-deb --build package package.deb
{ cat package/DEBIAN/control; echo "Filename: ./package.deb"; echo "Size: $(stat -c %s package.deb)"
  echo "SHA256: $(sha256sum package.deb | cut -d' ' -f1)"; } >Packages
rm -rf /etc/apt/sources.list.d/*; echo 'deb [trusted=yes] file:/srv/archive ./' >/etc/apt/sources.list
systemd-run -q --service-type=exec python3 -c 'import fcntl, time
files = [open(name, "w") for name in ("/var/lib/apt/lists/lock", "/var/lib/dpkg/lock-frontend")]
for file in files: fcntl.lockf(file, fcntl.LOCK_EX)
time.sleep(4)'
"""


@dataclass(frozen=True)
class Host:
    """`owner` made it and still knows it as dev1; `laptop` is somebody's who has only an account on it."""

    owner: Laptop
    laptop: Laptop
    machine: Machine

    def options(self, user: str = "admin") -> list[str]:
        return [
            f"host={user}@{self.machine.address}",
            f"identity-file={self.machine.identity_file}",
            f"host-key={' '.join(self.machine.host_key.split()[:2])}",
        ]


@pytest.fixture
def host(caches: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Namespace() as namespace:
        folder = tmp_path_factory.mktemp("existing")
        owner, laptop = Laptop(namespace, folder / "owner"), Laptop(namespace, folder / "laptop")
        try:
            owner.call("host", "dev1")
            owner.ssh("dev1", f"sudo sh -ec {shlex.quote(ADMINISTRATOR)}")
            yield Host(owner, laptop, owner.machine("dev1"))
        finally:
            for name in laptop.store.names():
                laptop.call("forget", name)
            clear(owner)


def test_created_and_removed(host: Host) -> None:
    before = host.owner.ssh("dev1", TRACES)
    host.laptop.call("ssh-create", "vm1", *host.options())
    record = host.laptop.machine("vm1")
    assert (record.user, record.driver, record.next_host_key) == ("admin", "ssh", None)
    units = "pymachine.socket pymachine-docker.socket pymachine.service pymachine-containers.service"
    assert set(host.laptop.ssh("vm1", f"systemctl is-active {units}").split()) == {"active"}
    # Without sudo, as the keeper comes to it; the name, the host key and the account's rights are the owner's.
    ping = r"printf 'GET /_ping HTTP/1.0\r\n\r\n' | docker system dial-stdio"
    assert host.laptop.ssh("vm1", ping).endswith("OK")
    assert host.laptop.ssh("vm1", "hostname") == "dev1"
    assert host.laptop.call("state", "vm1") == "running\n"
    for verb in ("stop", "start"):
        assert "its owner does" in host.laptop.call(verb, "vm1", status=1)
    host.laptop.call("rm", "vm1")
    assert host.owner.ssh("dev1", TRACES) == before
    assert not host.laptop.store.names() and host.owner.call("state", "dev1") == "running\n"


def test_what_is_there_is_left_alone(host: Host) -> None:
    """A missing package is installed once its locks are free; the rest is left alone.

    Somebody else's docker; an engine of ours that another laptop finds; and the engine when the host is gone.
    """
    host.owner.ssh("dev1", f"sudo sh -ec {shlex.quote(LACKING)}")
    listen = "systemd-run -q --unit=theirs --service-type=exec python3 -c "
    program = '"import socket, time; s = socket.socket(1); s.bind(\\"/run/docker.sock\\"); s.listen(); time.sleep(999)"'
    host.owner.ssh("dev1", f"sudo {listen} {program}")
    host.laptop.call("ssh-create", "vm1", *host.options())
    assert host.owner.ssh("dev1", "dpkg-query -W ca-certificates").split() == ["ca-certificates", "99"]
    assert host.laptop.machine("vm1").driver_data["missing packages"] == "ca-certificates"
    inode = "stat -c %i /run/docker.sock"
    theirs = host.owner.ssh("dev1", inode)
    assert "docker.sock" in host.owner.ssh("dev1", "sudo ss -xlp | grep 'docker.sock.*python3'")
    host.owner.ssh("dev1", "ls /etc/systemd/system/pymachine-docker.socket", status=2)

    other = Laptop(host.laptop.namespace, host.laptop.home.with_name("other"))
    other.call("ssh-create", "vm2", *host.options())
    assert "stays" in other.call("rm", "vm2")
    assert host.laptop.ssh("vm1", "systemctl is-active pymachine.service") == "active"

    assert host.owner.ssh("dev1", inode) == theirs

    host.owner.call("stop", "dev1")
    said = host.laptop.call("rm", "vm1", status=1)
    assert "The engine is still on it" in said and "rm --keep vm1" in said
    assert host.laptop.store.names() == ["vm1"]
    host.laptop.call("forget", "vm1")
    assert host.laptop.store.names() == []


@pytest.mark.parametrize("moments", [(1.2,), pytest.param((0.5, 0.8, 1.4, 2.0, 2.5), marks=pytest.mark.long)])
def test_killed_and_resumed_or_removed(host: Host, moments: tuple[float, ...]) -> None:
    before = host.owner.ssh("dev1", TRACES)
    for moment in moments:
        for finish in (True, False):
            process = host.laptop.process("ssh-create", "vm1", *host.options("root"))
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
            if finish:
                if process.returncode == -signal.SIGKILL:  # else it was done before that moment
                    host.laptop.call("ssh-create", "vm1", *host.options("root"))
                assert host.laptop.ssh("vm1", "systemctl is-active pymachine.service") == "active"
            if host.laptop.store.names():
                host.laptop.call("rm", "vm1")
            assert host.owner.ssh("dev1", TRACES) == before, (moment, finish)
