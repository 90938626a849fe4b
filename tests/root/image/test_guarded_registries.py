"""Registries with a login and with TLS: Debian's docker-registry, set up so."""

from __future__ import annotations

import socket
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import bcrypt
import pytest
import trustme
from msgspec.structs import replace

from hostagent import wire
from hostagent.errors import Denied, Invalid, NotFound, Unauthorized, Unavailable
from hostagent.image.crewpool import CrewPool
from hostagent.image.registrycalls import RegistryCalls
from hostagent.image.service import ImageService
from hostagent.model.reference import Reference
from hostagent.registry.config import RegistryConfig
from tests.root.image.conftest import NewService, stream
from tests.root.image.lying_registry import Image, LyingRegistry, config_of
from tests.root.image.samples import archived, digest, two_layers
from tests.servers import registry as servers
from tests.servers.registry import Registry
from tests.servers.scripted import Scripted
from tests.servers.tokens import IDENTITY, ISSUER, SERVICE, TokenServer

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
        crews = CrewPool()
        login = calls(one, RegistryConfig(), crews).login
        assert (
            await login(replace(RIGHT, serveraddress=f"http://{registry.address}/v1/")) == wire.AuthResult()
        )
        with pytest.raises(
            Unauthorized, match=rf"login attempt to http://{registry.address}/v2/ failed.*401"
        ):
            await login(replace(WRONG, serveraddress=registry.address))
        await crews.close()
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


def calls(service: ImageService, config: RegistryConfig, crews: CrewPool) -> RegistryCalls:
    return RegistryCalls(service.store, config, crews)


async def test_tokens(new_service: NewService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = TokenServer(tmp_path)
    one, two = new_service("one"), new_service("two")
    crews = CrewPool()
    with Scripted(tokens) as server:
        guard = (
            f"auth:\n  token:\n    realm: {server.url}/token\n    service: {SERVICE}\n    issuer: {ISSUER}\n"
            f"    rootcertbundle: {tokens.roots}\n"
        )
        monkeypatch.setattr(servers, "CONFIG", servers.CONFIG + guard)
        with Registry(tmp_path / "registry", address()) as registry:
            await tagged(one, tmp_path, registry)
            login = calls(one, RegistryConfig(), crews).login
            result = await login(
                wire.AuthConfig(username="me", password="right", serveraddress=registry.address)
            )
            assert result == wire.AuthResult(status="Login Succeeded", identity_token=IDENTITY)
            with pytest.raises(Unauthorized, match="incorrect username or password"):
                await login(wire.AuthConfig(username="me", password="wrong", serveraddress=registry.address))
            identity = wire.AuthConfig(username="me", identitytoken=IDENTITY)
            first = Reference.parse(f"{registry.address}/a:1")
            await one.push(first, RIGHT, lambda _: None)
            # Mounted from the other repository, with a token for both.
            second = Reference.parse(f"{registry.address}/open/b:1")
            one.tag("a:1", second)
            said: list[wire.Progress] = []
            await one.push(second, identity, said.append)
            assert sum(line.status == "Mounted from a" for line in said) == 2, [line.status for line in said]
            with pytest.raises(NotFound, match="pull access denied"):
                await two.pull(first, None, None, lambda _: None)
            assert await two.pull(first, None, identity, lambda _: None) == one.resolve("a:1")
            assert await two.pull(second, None, None, lambda _: None) == one.resolve("a:1")
            with pytest.raises((Denied, Unauthorized)):
                await two.push(second, None, lambda _: None)
            looked = await calls(two, RegistryConfig(), crews).look(second, None)
            assert looked.descriptor.digest == second_digest(one, second)
            assert [(each.os, each.architecture) for each in looked.platforms] == [("linux", "amd64")]
    await crews.close()


def second_digest(service: ImageService, name: Reference) -> str:
    """What the registry has under a name that was pushed."""
    names = service.store.names(service.resolve(name.familiar).id)
    return next(each.digest or "" for each in names if each.digest and each.repository == name.repository)


async def test_a_private_authority_and_a_client_certificate(
    new_service: NewService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    server, mine = authority.issue_cert("127.0.0.1"), authority.issue_cert("client.test")
    for file, blob in (
        ("key.pem", server.private_key_pem),
        ("cert.pem", server.cert_chain_pems[0]),
        ("ca.pem", authority.cert_pem),
    ):
        blob.write_to_path(str(tmp_path / file))
    plain = servers.CONFIG[: servers.CONFIG.index("http:")]
    tls = (
        f"http:\n  addr: {{address}}\n  tls:\n    certificate: {tmp_path}/cert.pem\n    key: {tmp_path}/key.pem\n"
        f"    clientcas: [{tmp_path}/ca.pem]\n"
    )
    monkeypatch.setattr(servers, "CONFIG", plain + tls)
    where = address()
    certificates = tmp_path / "certs.d" / where
    certificates.mkdir(parents=True)
    config = RegistryConfig(certificates=str(certificates.parent))
    service = new_service("one", config)
    with Registry(tmp_path / "registry", where) as registry:
        name = await tagged(service, tmp_path, registry)
        with pytest.raises(Unavailable, match=f"certificates: .*put the CA's into .*{where}/ca.crt"):
            await service.push(name, None, lambda _: None)
        authority.cert_pem.write_to_path(str(certificates / "ca.crt"))
        with pytest.raises(Unavailable, match=r"(?i)certificate"):
            await service.push(name, None, lambda _: None)
        mine.cert_chain_pems[0].write_to_path(str(certificates / "client.cert"))
        with pytest.raises(Invalid, match=r"missing key client\.key for client certificate client\.cert"):
            await service.push(name, None, lambda _: None)
        mine.private_key_pem.write_to_path(str(certificates / "client.key"))
        await service.push(name, None, lambda _: None)
        await service.pull(name, None, None, lambda _: None)


async def test_mirrors_of_one_host(new_service: NewService) -> None:
    """In their order: one that is down, one that lacks the image, one that breaks in a layer, one that has it."""
    layers = two_layers()
    image = Image(config_of(layers), layers)

    def breaks(handler: BaseHTTPRequestHandler, name: str, data: bytes) -> bool:
        if name != digest(layers[1]):
            return False
        handler.send_error(404)
        return True

    empty = Image(b"{}", [])
    with LyingRegistry(empty) as lacks, LyingRegistry(image, breaks) as damaged, LyingRegistry(image) as good:
        empty.manifest = b'{"schemaVersion": 2}'
        mirrors = tuple(
            f"far.example={url}"
            for url in (
                "http://127.0.0.1:1", f"http://{lacks.address}", f"http://{damaged.address}", f"http://{good.address}",
            )
        )  # fmt: skip
        service = new_service("two", RegistryConfig(mirrors=mirrors))
        name = Reference.parse("far.example/x:1")
        found = await service.pull(name, None, RIGHT, lambda _: None)
        assert service.store.named(name) == found
        assert all(asked[3] == "" for server in (lacks, damaged, good) for asked in server.requests)
