"""One virtual machine for all tests of this folder, which run in the order of their files and leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.ssh.hostkey import fingerprint
from machine.ssh.keys import generate
from tests.peers.tree import cli_newest
from tests.servers.image import busybox
from tests.tools import need, need_root
from tests.vm.customer import NAME, Customer
from tests.vm.guest import SSH_PORT, USER, Guest, speaks_ssh
from tests.vm.image import image


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    """A host that boots, of which only its owner knows; its address is in no known_hosts."""
    need_root()
    folder = tmp_path_factory.mktemp("vm")
    key, host_key = generate("owner"), generate("customer")
    home = folder / "home"
    home.mkdir()
    (home / "host_key.pub").write_text(host_key.public)
    with Guest(image(), folder, key, host_key) as guest:
        made = Customer(guest, home, cli_newest())
        made.identity.write_text(key.private)
        made.identity.chmod(0o600)
        guest.wait_for_boot(1)
        yield made


@pytest.fixture(scope="session")
def customer(bare: Customer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    """The same with the agent on it, and an image `busybox`."""
    accept = ["--accept-host-key", fingerprint((bare.home / "host_key.pub").read_text())]
    host = ["--host", f"{USER}@127.0.0.1:{SSH_PORT}", "--identity-file", str(bare.identity)]
    bare.until(speaks_ssh, 300)
    bare.ok(bare.pymachine("create", "ssh", NAME, *host, *accept, timeout=600))
    archive = tmp_path_factory.mktemp("images") / "busybox.tar"
    busybox(archive, Path(need("busybox", "busybox-static")))
    bare.run("load", "-i", str(archive))
    yield bare
    if (bare.home / "machines" / NAME).exists():  # tests/vm/test_removal.py was not run
        bare.ok(bare.pymachine("rm", "--yes", NAME))


@pytest.fixture(autouse=True)
def no_containers_left(customer: Customer) -> Iterator[None]:
    """Every test begins without any."""
    yield
    if (customer.home / "machines" / NAME).exists() and (left := customer.run("ps", "-aq").split()):
        customer.run("rm", "-f", *left)
