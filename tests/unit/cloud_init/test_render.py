"""The user-data, read back by a YAML parser and checked by cloud-init's own schema."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cloud_init.render import combine, packages, render, render_meta_data
from cloud_init.spec import HostKey, HostSpec, User
from tests.tools import need

_PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n"
SPEC = HostSpec(
    hostname="dev1",
    users=(User(name="pymachine", keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA pymachine dev1",)),),
    host_key=HostKey(private=_PEM, public="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB dev1"),
)


ENDS = datetime(2026, 11, 24, 20, 40, tzinfo=timezone(timedelta(hours=2)))


def document(spec: HostSpec) -> dict[str, Any]:
    text = render(spec)
    assert text.startswith("#cloud-config\n")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        replace(SPEC, packages=packages("debian-12"), time_servers=("time1.example", "time2.example")),
        replace(
            SPEC,
            users=(
                *SPEC.users,
                User(name="ann", keys=("ssh-ed25519 AAAA",), groups=("pymachine",), sudo=False),
            ),
        ),
        replace(SPEC, ends=ENDS),
    ],
    ids=["local", "cloud", "two users", "ends"],
)
def test_cloud_init_accepts_it(spec: HostSpec, tmp_path: Path) -> None:
    (tmp_path / "user-data").write_text(render(spec))
    command = [need("cloud-init", "cloud-init"), "schema", "--config-file", str(tmp_path / "user-data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Valid cloud-config" in done.stdout
    assert "deprecat" not in done.stdout.lower()


def test_a_host_that_ends(tmp_path: Path) -> None:
    """systemd takes the timer for what it is meant to be."""
    rendered = document(replace(SPEC, ends=ENDS))
    files = {Path(item["path"]).name: item["content"] for item in rendered["write_files"]}
    assert "OnCalendar=2026-11-24 18:40:00 UTC\n" in files["pymachine-end.timer"]
    assert rendered["runcmd"][-1] == ["systemctl", "enable", "--now", "--no-block", "pymachine-end.timer"]
    units = [tmp_path / name for name in ("pymachine-end.timer", "pymachine-end.service")]
    for unit in units:
        unit.write_text(files[unit.name])
    command = [need("systemd-analyze", "systemd"), "verify", *map(str, units)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not [item for item in document(SPEC)["write_files"] if "end" in Path(item["path"]).name]


@pytest.mark.parametrize(
    ("theirs", "kind"),
    [("#!/bin/sh\necho \u00e4\n", "x-shellscript"), ("#cloud-config\npackages: [git]\n", "cloud-config")],
)
def test_somebodys_own_comes_after_ours(theirs: str, kind: str) -> None:
    parts = list(message_from_string(combine(render(SPEC), theirs)).walk())[1:]
    texts = [part.get_payload(decode=True).decode() for part in parts]  # type: ignore[union-attr]
    assert texts == [render(SPEC), theirs]
    assert [part.get_content_type() for part in parts] == ["text/cloud-config", f"text/{kind}"]


def test_host_key_is_ours_and_logins_are_by_key_only() -> None:
    rendered = document(SPEC)
    assert rendered["ssh_keys"] == {"ed25519_private": _PEM, "ed25519_public": SPEC.host_key.public}
    assert rendered["ssh_deletekeys"] is True
    assert rendered["ssh_pwauth"] is False
    assert rendered["disable_root"] is True


def test_users_own_group_is_the_engines() -> None:
    rendered = document(
        replace(SPEC, users=(*SPEC.users, User(name="ann", keys=(), groups=("pymachine",), sudo=False)))
    )
    assert rendered["groups"] == ["pymachine"]
    first, second = rendered["users"]
    assert first["primary_group"] == "pymachine" and first["sudo"] == "ALL=(ALL) NOPASSWD:ALL"
    assert second["groups"] == ["pymachine"] and "sudo" not in second


def test_packages_are_asked_for_only_when_the_image_lacks_them() -> None:
    assert "packages" not in document(SPEC)
    rendered = document(replace(SPEC, packages=("nftables",)))
    assert rendered["packages"] == ["nftables"] and rendered["package_update"] is True


def test_files() -> None:
    spec = replace(
        SPEC, sysctls=(("net.ipv4.ip_forward", "1"),), journal_max_use="50M", time_servers=("a", "b")
    )
    content = {file["path"]: file["content"] for file in document(spec)["write_files"]}
    assert content["/etc/sysctl.d/90-pymachine.conf"].splitlines()[-1] == "-net.ipv4.ip_forward = 1"
    assert "SystemMaxUse=50M\n" in content["/etc/systemd/journald.conf.d/90-pymachine.conf"]
    assert content["/etc/systemd/timesyncd.conf.d/90-pymachine.conf"].endswith("NTP=a b\n")


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t")))
def test_no_value_leaves_its_place(text: str) -> None:
    spec = replace(SPEC, hostname=text, users=(User(name=text, keys=(text,)),))
    rendered = document(spec)
    assert rendered["hostname"] == text
    assert [user["ssh_authorized_keys"] for user in rendered["users"]] == [[text]]
    assert set(rendered) == set(document(SPEC))


def test_meta_data() -> None:
    assert yaml.safe_load(render_meta_data("i-1", "dev1")) == {"instance-id": "i-1", "local-hostname": "dev1"}


def test_recipe_names_what_the_agent_needs() -> None:
    assert {"python3", "nftables", "libnftables1", "libseccomp2", "openssh-server"} <= set(
        packages("debian-12")
    )
    with pytest.raises(KeyError):
        packages("../../etc/passwd")


def test_private_key_is_not_in_a_spec_that_is_printed() -> None:
    assert "PRIVATE" not in repr(SPEC)
