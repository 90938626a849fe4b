"""Registries with a login and with TLS: Debian's docker-registry, set up so."""

from __future__ import annotations

import socket
from pathlib import Path

import bcrypt
import pytest
import trustme

from hostagent import wire
from hostagent.errors import NotFound, Unauthorized
from hostagent.image.service import ImageService
from hostagent.model.reference import Reference
from tests.root.image.conftest import NewService, stream
from tests.root.image.samples import archived, two_layers
from tests.servers import registry as servers
from tests.servers.registry import Registry

pytestmark = pytest.mark.root

RIGHT = wire.AuthConfig(username="me", password="right")
WRONG = wire.AuthConfig(username="me", password="wrong")


def address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def tagged(service: ImageService, tmp_path: Path, registry: Registry) -> Reference:
    await service.load(stream(archived(tmp_path / "a.tar", ["a:1"], two_layers())), lambda _: None)
    name = Reference.parse(f"{registry.address}/a:1")
    service.tag("a:1", name)
    return name


async def test_a_login(new_service: NewService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = tmp_path / "htpasswd"
    passwords.write_bytes(b"me:" + bcrypt.hashpw(b"right", bcrypt.gensalt(4)) + b"\n")
    guard = f"auth:\n  htpasswd:\n    realm: here\n    path: {passwords}\n"
    monkeypatch.setattr(servers, "CONFIG", servers.CONFIG + guard)
    one, two = new_service("one"), new_service("two")
    with Registry(tmp_path / "registry", address()) as registry:
        name = await tagged(one, tmp_path, registry)
        for auth in (None, WRONG):
            with pytest.raises(Unauthorized):
                await one.push(name, auth, lambda _: None)
        await one.push(name, RIGHT, lambda _: None)
        for auth in (None, WRONG):
            with pytest.raises(
                NotFound, match=f"pull access denied for {registry.address}/a, .*docker login"
            ):
                await two.pull(name, None, auth, lambda _: None)
        assert await two.pull(name, None, RIGHT, lambda _: None) == one.resolve("a:1")


async def test_tls_on_loopback(
    new_service: NewService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    plain = servers.CONFIG[: servers.CONFIG.index("http:")]
    tls = f"http:\n  addr: {{address}}\n  tls:\n    certificate: {tmp_path}/cert.pem\n    key: {tmp_path}/key.pem\n"
    monkeypatch.setattr(servers, "CONFIG", plain + tls)
    one, two = new_service("one"), new_service("two")
    with Registry(tmp_path / "registry", address()) as registry:
        name = await tagged(one, tmp_path, registry)
        await one.push(name, None, lambda _: None)
        assert await two.pull(name, None, None, lambda _: None) == one.resolve("a:1")
