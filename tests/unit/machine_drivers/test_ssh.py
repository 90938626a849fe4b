"""What the ssh driver makes of an order: every mistake in one sentence, and no host key trusted silently."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_init.spec import HostSpec
from machine.drivers.base import Order
from machine.drivers.ssh import SshDriver
from machine.errors import Denied, HostKeyMismatch, Unsupported, Usage
from machine.model.machine import Machine
from machine.ssh.hostkey import fingerprint
from machine.ssh.keys import generate
from machine.store.store import Store
from machine.workflow.create import create
from machine.workflow.existing import check
from machine.workflow.remove import remove
from tests.unit.machine_ssh.sshd import Sshd

OTHER = " ".join(generate("").public.split()[:2])


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Neither the agent nor ~/.ssh of who runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir()
    return tmp_path


def key_of(sshd: Sshd) -> str:
    return " ".join(sshd.host_pair.public.split()[:2])


def no_spec() -> HostSpec:
    raise AssertionError("nothing is made")


def never(question: str) -> bool:
    raise AssertionError(question)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "which host"),
        ({"host": "a b"}, "is no host"),
        ({"host": "box:99999"}, "is no port"),
        ({"host": "box", "port": "ssh"}, "is no port"),
        ({"host": "box", "size": "big"}, "no option size"),
        ({"host": "box", "identity-file": "/nowhere"}, "no key file /nowhere"),
        ({"host": "box", "accept-host-key": "yes"}, "no fingerprint"),
        ({"host": "box", "host-key": "AAAA"}, "no host key"),
    ],
)
def test_mistakes(tmp_path: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(Usage, match=said) as caught:
        create(Store(tmp_path / "home"), "ssh", "vm1", options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("host", "account"),
    [
        ("box", ("box", "me", "22")),
        ("root@box:2222", ("box", "root", "2222")),
        ("root@[fd00::1]:2222", ("fd00::1", "root", "2222")),
        ("fd00::1", ("fd00::1", "me", "22")),
    ],
)
def test_hosts(host: str, account: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "me")
    options = SshDriver().settle({"host": host, "host-key": OTHER}, never)
    (step,) = SshDriver().steps(Order("vm1", "", Path("/nowhere"), options, no_spec))
    machine = step.execute(Machine(name="vm1", driver="ssh", address=""), lambda detail: None)
    assert (machine.address, machine.user, str(machine.port)) == account
    assert machine.host_key == OTHER and machine.identity_file is None


def test_a_key_of_known_hosts_is_trusted(sshd: Sshd, home: Path) -> None:
    (home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {key_of(sshd)}\n")
    settled = SshDriver().settle({"host": f"root@127.0.0.1:{sshd.port}"}, never)
    assert settled["host-key"] == key_of(sshd)


@pytest.mark.parametrize("mark", ["", "@revoked "])
def test_another_key_than_known_hosts_says_is_refused(sshd: Sshd, home: Path, mark: str) -> None:
    key = key_of(sshd) if mark else OTHER
    (home / ".ssh/known_hosts").write_text(f"{mark}[127.0.0.1]:{sshd.port} {key}\n")
    accepted = {"accept-host-key": fingerprint(key_of(sshd))}
    with pytest.raises(HostKeyMismatch, match="nothing was sent"):
        SshDriver().settle({"host": f"root@127.0.0.1:{sshd.port}", **accepted}, never)


def test_an_unknown_key_is_asked_for_by_its_fingerprint(sshd: Sshd, home: Path) -> None:
    order = {"host": f"root@127.0.0.1:{sshd.port}"}
    shown = fingerprint(key_of(sshd))
    asked: list[str] = []

    def no(question: str) -> bool:
        asked.append(question)
        return False

    with pytest.raises(Denied, match="--accept-host-key SHA256:") as caught:
        SshDriver().settle(order, no)
    assert shown in str(caught.value) and shown in asked[0]
    assert SshDriver().settle(order, lambda question: True)["host-key"] == key_of(sshd)
    assert SshDriver().settle({**order, "accept-host-key": shown}, never)["host-key"] == key_of(sshd)
    with pytest.raises(HostKeyMismatch, match="not SHA256:"):
        SshDriver().settle({**order, "accept-host-key": fingerprint(OTHER)}, never)
    assert not (home / ".ssh/known_hosts").exists()


def test_a_refused_login_leaves_what_rm_removes(sshd: Sshd, tmp_path: Path) -> None:
    """Nothing was done on the host: so nothing on it has to be reached to undo it."""
    store = Store(tmp_path / "home")
    options = {"host": f"nobody-at-all@127.0.0.1:{sshd.port}", "host-key": key_of(sshd)}
    options["identity-file"] = str(sshd.user_key)
    driver = "machine.workflow.plan._REACHABLE"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Denied, match="refused the login"):
        patch.setattr(driver, 0.1)
        create(store, "ssh", "vm1", options)
    assert store.list()[0].unfinished == "ssh, host key verified"
    remove(store, "vm1")
    assert store.names() == []


FACTS = {
    "os": "Debian GNU/Linux 12 (bookworm)",
    "root": "yes",
    "systemd": "yes",
    "apt": "yes",
    "missing": "libseccomp2",
}


@pytest.mark.parametrize(
    ("lacking", "kind", "said"),
    [
        ("root", Denied, "no sudo without a password"),
        ("systemd", Unsupported, "not run by systemd"),
        ("apt", Unsupported, "no Debian or Ubuntu.*libseccomp2"),
    ],
)
def test_hosts_that_cannot_carry_the_engine(lacking: str, kind: type[Exception], said: str) -> None:
    machine = Machine(name="vm1", driver="ssh", address="192.0.2.7", user="admin")
    check(machine, FACTS)
    with pytest.raises(kind, match=said):
        check(machine, {key: value for key, value in FACTS.items() if key != lacking})
