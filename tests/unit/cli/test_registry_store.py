"""login and logout in docker's own file, and with a helper; docker itself reads what is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hostagent.wire import AuthConfig
from machine.cli import registry_auth, registry_store
from machine.errors import MachineError

SERVER = "registry.example.com"
HELPER = """#!/bin/sh
cd "$(dirname "$0")"
case $1 in
  store) cat > kept;;
  get) cat > asked
       [ -e kept ] || { echo "credentials not found in native keychain"; exit 1; }
       sed 's/"ServerURL"[^,]*,//' kept;;
  erase) cat > asked; rm kept;;
  list) [ -e kept ] && echo '{"registry.example.com":"me"}' || echo '{}';;
esac
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker" / "config.json"


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "docker-credential-fake").write_text(HELPER)
    (tools / "docker-credential-fake").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return tools


def auth(password: str = "pass:word") -> AuthConfig:
    return AuthConfig(username="me", password=password, serveraddress=SERVER)


def test_the_file(config: Path) -> None:
    assert registry_store.keep(SERVER, auth(), "") == str(config)
    assert registry_auth.credentials(f"{SERVER}/app:1") == auth()
    assert registry_auth.credentials("other.example.com/app") is None
    assert registry_auth.all_credentials() == {SERVER: auth()}
    assert config.stat().st_mode & 0o777 == 0o600
    assert registry_store.forget(SERVER)
    assert registry_auth.credentials(f"{SERVER}/app:1") is None
    assert not registry_store.forget(SERVER)


def test_a_token_takes_the_place_of_the_password(config: Path) -> None:
    registry_store.keep(SERVER, auth(), "long-token")
    found = registry_auth.credentials(f"{SERVER}/app")
    assert found is not None
    assert (found.identitytoken, found.password) == ("long-token", "")


def test_what_others_have_in_the_file_stays(config: Path) -> None:
    config.parent.mkdir()
    config.with_name("real").write_text('{"auths": {"a.example.com": {"auth": "eDp5"}}, "psFormat": "x"}')
    config.symlink_to("real")
    registry_store.keep(SERVER, auth(), "")
    registry_store.forget(SERVER)
    assert json.loads(config.read_text()) == {"auths": {"a.example.com": {"auth": "eDp5"}}, "psFormat": "x"}
    assert config.is_symlink()


@pytest.mark.parametrize("setting", [{"credsStore": "fake"}, {"credHelpers": {SERVER: "fake"}}])
def test_a_helper(config: Path, helper: Path, setting: dict[str, object]) -> None:
    config.parent.mkdir()
    config.write_text(json.dumps(setting))
    assert registry_store.keep(SERVER, auth(), "") == "docker-credential-fake"
    assert "pass:word" not in config.read_text()
    assert registry_auth.credentials(f"{SERVER}/app") == auth()
    assert registry_auth.all_credentials() == {SERVER: auth()}
    assert registry_store.forget(SERVER)
    assert registry_auth.credentials(f"{SERVER}/app") is None
    assert not registry_store.forget(SERVER)


def test_a_damaged_file_is_not_overwritten(config: Path) -> None:
    config.parent.mkdir()
    config.write_text("{")
    with pytest.raises(MachineError, match="cannot read the registry credentials"):
        registry_store.keep(SERVER, auth(), "")
    assert config.read_text() == "{"


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("", "https://index.docker.io/v1/"),
        ("docker.io", "https://index.docker.io/v1/"),
        ("https://registry.example.com/v2/", SERVER),
        ("localhost:5000", "localhost:5000"),
    ],
)
def test_server_keys(typed: str, key: str) -> None:
    assert registry_auth.server_key(typed) == key
