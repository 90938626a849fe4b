"""known_hosts and ~/.ssh/config as ssh reads them; ssh-keygen makes the hashed lines."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from machine.errors import HostKeyMismatch, Unavailable
from machine.model.machine import Machine
from machine.ssh.connect import shown_key
from machine.ssh.keys import generate
from machine.ssh.known_hosts import KEY_TYPES, KnownHosts, resolve
from tests.tools import need
from tests.unit.machine_ssh.sshd import Sshd

KEY = " ".join(generate("").public.split()[:2])
OTHER = " ".join(generate("").public.split()[:2])


def known(folder: Path, *lines: str) -> KnownHosts:
    path = folder / "known"
    path.write_text("".join(f"{line}\n" for line in lines))
    return KnownHosts([path, folder / "missing"])


@pytest.mark.parametrize(
    ("patterns", "name", "meant"),
    [
        ("box", "box", True),
        ("Box,other", "bOX", True),
        ("box", "[box]:2222", False),
        ("[box]:2222", "[box]:2222", True),
        ("[box]:2222", "b", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com,!bad.example.com", "bad.example.com", False),
        ("10.0.0.?", "10.0.0.7", True),
        ("|1|nonsense", "box", False),
        ("|1|!|!", "box", False),
    ],
)
def test_names(tmp_path: Path, patterns: str, name: str, meant: bool) -> None:
    assert known(tmp_path, f"{patterns} {KEY} comment").keys(name) == ((KEY,) if meant else ())


def test_hashed_names(tmp_path: Path) -> None:
    path = tmp_path / "known"
    path.write_text(f"[box]:2222 {KEY}\n")
    subprocess.run(
        [need("ssh-keygen", "openssh-client"), "-H", "-f", str(path)], check=True, capture_output=True
    )
    assert "box" not in path.read_text()
    found = KnownHosts([path])
    assert found.keys("[box]:2222") == (KEY,) and found.keys("box") == ()


def test_what_says_nothing(tmp_path: Path) -> None:
    lines = [
        "",
        "# box ssh-ed25519 AAAA",
        "box",
        f"@cert-authority * {KEY}",
        "box ssh-dss AAAA",
        f"box {OTHER}",
    ]
    assert known(tmp_path, *lines).keys("box") == (OTHER,)


def test_the_best_type_comes_first_and_a_revoked_key_is_told(tmp_path: Path) -> None:
    found = known(tmp_path, "box ssh-rsa AAAA", f"box {KEY}", f"@revoked * {OTHER}")
    assert found.keys("box") == (KEY, "ssh-rsa AAAA")
    assert found.revoked("box", OTHER) and not found.revoked("box", KEY)


def test_the_configuration_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text(
        "Host box\n  HostName box.example.com\n  User deploy\n  Port 2222\n  UserKnownHostsFile ~/mine\n"
        "Host inner\n  ProxyJump box\n  HostKeyAlias alias\n"
    )
    box = resolve("box")
    assert (box.hostname, box.user, box.port) == ("box.example.com", "deploy", 2222)
    assert box.known_as == "[box.example.com]:2222" and box.known_hosts[0] == tmp_path / "mine"
    assert (resolve("box", "root", 22).user, resolve("box", "root", 22).known_as) == (
        "root",
        "box.example.com",
    )
    inner = resolve("inner", "root", 2222)
    assert inner.proxied and inner.known_as == "alias" and not box.proxied


def test_the_key_is_seen_without_a_login(sshd: Sshd) -> None:
    stranger = Machine(name="x", driver="ssh", address="127.0.0.1", port=sshd.port, user="nobody-at-all")
    assert shown_key(stranger, KEY_TYPES) == " ".join(sshd.host_pair.public.split()[:2])
    with pytest.raises(HostKeyMismatch):
        shown_key(
            Machine(name="x", driver="ssh", address="127.0.0.1", port=sshd.port, host_key="ssh-rsa A"),
            ("ssh-rsa",),
        )
    with pytest.raises(Unavailable, match="cannot be reached"):
        shown_key(Machine(name="x", driver="ssh", address="127.0.0.1", port=1), KEY_TYPES)
