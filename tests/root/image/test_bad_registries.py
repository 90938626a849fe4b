"""Registries that are down, lie, break off, or want a login: a clear error each, and nothing is kept."""

from __future__ import annotations

import json
import re
import socket
from http.server import BaseHTTPRequestHandler

import pytest

from hostagent import wire
from hostagent.errors import EngineError, Invalid, NotFound, Unavailable, Unsupported
from hostagent.image.service import ImageService
from hostagent.model.reference import Reference
from hostagent.registry.config import RegistryConfig
from tests.root.image.conftest import NewService, left_over
from tests.root.image.lying_registry import Image, LyingRegistry, Serve, config_of, part
from tests.root.image.samples import digest, two_layers
from tests.servers.registry import Registry

pytestmark = pytest.mark.root


def honest() -> Image:
    layers = two_layers()
    return Image(config_of(layers), layers)


async def refused(
    service: ImageService, image: Image, error: type[EngineError], serve: Serve | None = None
) -> str:
    """Pull from a registry that serves `image`; the text of the error, after which nothing is there."""
    with LyingRegistry(image, serve) as registry:
        with pytest.raises(error) as caught:
            await service.pull(Reference.parse(f"{registry.address}/x:1"), None, None, lambda _: None)
        assert type(caught.value) is error
    assert left_over(service) == [] and service.list(True, {}) == []
    return str(caught.value)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_registry_that_is_down(service: ImageService) -> None:
    address = f"127.0.0.1:{free_port()}"
    said: list[wire.Progress] = []
    with pytest.raises(Unavailable, match=f"the registry {address} cannot be reached: connection refused"):
        await service.pull(Reference.parse(f"{address}/x"), None, None, said.append)
    assert said == [], "an error before the first line can still be an HTTP status"
    assert left_over(service) == []


async def test_an_unknown_image_and_an_unknown_tag(service: ImageService, registry: Registry) -> None:
    for name in ("nosuch:1", "nosuch/deeper:2"):
        with pytest.raises(
            NotFound, match=f"manifest for {registry.address}/{name} not found: manifest unknown"
        ):
            await service.pull(Reference.parse(f"{registry.address}/{name}"), None, None, lambda _: None)


async def test_push_of_what_is_not_here(service: ImageService) -> None:
    with pytest.raises(NotFound, match="An image does not exist locally with the tag: nosuch:1"):
        await service.push(Reference.parse("nosuch:1"), None, lambda _: None)
    with pytest.raises(Invalid, match="cannot push a digest reference"):
        await service.push(Reference.parse("x").at(digest(b"")), None, lambda _: None)


async def test_a_lie_about_a_layer(service: ImageService) -> None:
    image = honest()
    name = digest(image.layers[0])
    image.blobs[name] = image.layers[0][:-1] + b"!"
    assert f"filesystem layer verification failed for digest {name}" in await refused(
        service, image, EngineError
    )


async def test_a_layer_larger_than_the_manifest_says(service: ImageService) -> None:
    image = honest()
    name = digest(image.layers[0])
    image.blobs[name] = image.layers[0] + b"more"
    assert "sends more than the" in await refused(service, image, EngineError)


async def test_a_lie_about_the_configuration(service: ImageService) -> None:
    image = honest()
    image.blobs[digest(image.config)] = b"{}" + b" " * (len(image.config) - 2)
    assert "verification failed" in await refused(service, image, EngineError)


async def test_a_lie_about_the_manifest(service: ImageService) -> None:
    wanted = digest(b"another")
    with LyingRegistry(honest()) as registry:
        with pytest.raises(EngineError, match=f"manifest verification failed for digest {wanted}"):
            await service.pull(Reference.parse(f"{registry.address}/x@{wanted}"), None, None, lambda _: None)
    assert left_over(service) == []


async def test_a_wrong_diff_id(service: ImageService) -> None:
    layers = two_layers()
    text = await refused(service, Image(config_of([layers[0], b"else"]), layers), Invalid)
    assert f"but the image's configuration says {digest(b'else')}" in text


async def test_a_layer_that_is_no_tar(service: ImageService) -> None:
    layers = [b"nonsense " * 100]
    assert "not a tar archive" in await refused(service, Image(config_of(layers), layers), Invalid)


async def test_too_few_layers(service: ImageService) -> None:
    layers = two_layers()
    assert "1 layers, its configuration 2" in await refused(
        service, Image(config_of(layers), layers[:1]), Invalid
    )


@pytest.mark.parametrize(
    ("manifest", "error", "text"),
    [
        (b"not json", Invalid, "manifest is malformed"),
        (b'{"schemaVersion":1,"fsLayers":[]}', Unsupported, "schema 1"),
        (
            b'{"schemaVersion":2,"config":{"mediaType":"a","digest":"sha256:../../x","size":1},"layers":[]}',
            Invalid,
            "malformed descriptor",
        ),
        (
            b'{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"sha256:%b","size":1,'
            b'"platform":{"os":"linux","architecture":"s390x"}}]}' % (b"0" * 64),
            NotFound,
            "no matching manifest for linux/.*it offers linux/s390x",
        ),
    ],
)
async def test_bad_manifests(
    service: ImageService, manifest: bytes, error: type[EngineError], text: str
) -> None:
    image = honest()
    image.manifest = manifest
    assert re.search(text, await refused(service, image, error))


async def test_a_config_that_is_no_image(service: ImageService) -> None:
    config = json.dumps({"apiVersion": "v2", "name": "a helm chart"}).encode()
    assert "not a container image" in await refused(service, Image(config, []), Invalid)


async def test_a_layer_that_breaks_off_is_resumed(service: ImageService) -> None:
    image = honest()
    name = digest(image.layers[0])

    def serve(handler: BaseHTTPRequestHandler, blob: str, data: bytes) -> bool:
        if blob != name:
            return False
        wanted = handler.headers.get("Range", "bytes=0-")
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        part(handler, data, start, start + 4000)
        return True

    with LyingRegistry(image, serve) as registry:
        pulled = await service.pull(Reference.parse(f"{registry.address}/x:1"), None, None, lambda _: None)
        ranges = [wanted for _, path, wanted, _ in registry.requests if name in path]
    assert pulled.diff_ids == tuple(digest(layer) for layer in image.layers)
    assert ranges[:3] == ["", "bytes=4000-", "bytes=8000-"]


async def test_a_truncated_layer(service: ImageService) -> None:
    image = honest()
    name = digest(image.layers[0])

    def serve(handler: BaseHTTPRequestHandler, blob: str, data: bytes) -> bool:
        start = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        part(handler, data, start, 5000) if blob == name else part(handler, data, 0, len(data))
        return True

    text = await refused(service, image, Unavailable, serve)
    assert (
        f"the layer {name} is truncated: 127.0.0.1" in text and f"sent 5000 of {len(image.layers[0])}" in text
    )


async def test_a_missing_layer(service: ImageService) -> None:
    image = honest()
    del image.blobs[digest(image.layers[1])]
    assert "blob unknown" in await refused(service, image, NotFound)


async def test_a_token_is_fetched_and_kept_from_others(service: ImageService) -> None:
    auth = wire.AuthConfig(username="me", password="pass")
    with LyingRegistry(honest(), realm="repository:x:pull") as registry:
        await service.pull(Reference.parse(f"{registry.address}/x:1"), None, auth, lambda _: None)
        tokens = [(path, kept) for _, path, _, kept in registry.requests if path.startswith("/token")]
    assert tokens == [("/token?service=s&scope=repository%3Ax%3Apull&account=me", "Basic bWU6cGFzcw==")]


async def test_a_mirror_is_asked_first_and_passed_over_when_down(new_service: NewService) -> None:
    with LyingRegistry(honest()) as mirror:
        config = RegistryConfig(mirrors=(f"http://127.0.0.1:{free_port()}", f"http://{mirror.address}"))
        service = new_service("mirrored", config)
        await service.pull(Reference.parse("busybox:1"), None, None, lambda _: None)
        assert mirror.requests[0][:2] == ("GET", "/v2/library/busybox/manifests/1")
    assert service.inspect("busybox:1").repo_tags == ["busybox:1"]
