"""Endpoints, challenges, manifests: what is decided before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hostagent.errors import Invalid, NotFound, Unsupported
from hostagent.image.export import describe
from hostagent.image.store import Blob
from hostagent.model.image import Platform
from hostagent.registry import media
from hostagent.registry.auth import Credentials, parse_challenge
from hostagent.registry.config import Endpoint, RegistryConfig
from hostagent.registry.manifest import Descriptor, Index, Manifest, choose, encode, parse

A, B, C = ("sha256:" + digit * 64 for digit in "abc")


def test_endpoints(tmp_path: Path) -> None:
    config = RegistryConfig(
        mirrors=("https://m.example/", "quay.io=https://q.example/proxy", "http://10.0.0.1"),
        insecure=("reg.example:5000", "10.0.0.0/8"),
        certificates=str(tmp_path),
    )
    assert config.endpoints("docker.io") == (
        Endpoint("https://m.example", mirror=True),
        Endpoint("http://10.0.0.1", verify=False, mirror=True),
        Endpoint("https://registry-1.docker.io"),
    )
    assert config.endpoints("docker.io", push=True) == (Endpoint("https://registry-1.docker.io"),)
    assert config.endpoints("quay.io") == (
        Endpoint("https://q.example/proxy", mirror=True),
        Endpoint("https://quay.io"),
    )
    assert config.endpoints("quay.io", push=True) == (Endpoint("https://quay.io"),)
    assert config.endpoints("10.1.2.3:5000") == (
        Endpoint("https://10.1.2.3:5000", verify=False),
        Endpoint("http://10.1.2.3:5000"),
    )
    assert config.endpoints("reg.example:5000")[1] == Endpoint("http://reg.example:5000")
    assert config.endpoints("reg.example") == (Endpoint("https://reg.example"),)
    for loopback in ("localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"):
        assert config.endpoints(loopback)[0] == Endpoint(f"http://{loopback}"), loopback
    own = tmp_path / "127.0.0.1:5000"
    own.mkdir()
    assert config.endpoints("127.0.0.1:5000") == (
        Endpoint("https://127.0.0.1:5000", certificates=str(own)),
    ), "whoever puts certificates there wants TLS"


@pytest.mark.parametrize(
    "mirror", ["m.example", "ftp://m", "https://", "https://m?x=1", "quay.io=m", "https://a@m"]
)
def test_what_is_no_mirror(mirror: str) -> None:
    with pytest.raises(Invalid, match="invalid mirror"):
        RegistryConfig(mirrors=(mirror,))


@pytest.mark.parametrize(
    ("header", "scheme", "parameters"),
    [
        ('Basic realm="x"', "basic", {"realm": "x"}),
        (
            'Bearer realm="https://a/token",service="s.io",scope="repository:a/b:pull,push"',
            "bearer",
            {"realm": "https://a/token", "service": "s.io", "scope": "repository:a/b:pull,push"},
        ),
        (
            r'Bearer realm="a\"b", error=insufficient_scope',
            "bearer",
            {"realm": 'a"b', "error": "insufficient_scope"},
        ),
        ("", "", {}),
    ],
)
def test_challenges(header: str, scheme: str, parameters: dict[str, str]) -> None:
    challenge = parse_challenge(header)
    assert (challenge.scheme, challenge.parameters) == (scheme, parameters)


def test_credentials_do_not_show() -> None:
    assert "hidden" not in repr(Credentials("me", "hidden"))
    assert Credentials("me", "x").basic() == "Basic bWU6eA==" and Credentials("me").basic() is None


def index(*platforms: tuple[str, str, str]) -> Index:
    entries = [
        {
            "mediaType": media.OCI_MANIFEST,
            "digest": "sha256:" + f"{number:064x}",
            "size": 1,
            "platform": {"os": os, "architecture": architecture, **({"variant": variant} if variant else {})},
        }
        for number, (os, architecture, variant) in enumerate(platforms)
    ]
    found = parse(
        json.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": entries}).encode()
    )
    assert isinstance(found, Index)
    return found


@pytest.mark.parametrize(
    ("wanted", "platforms", "number"),
    [
        (("linux", "amd64", ""), [("linux", "arm64", ""), ("linux", "amd64", "")], 1),
        (("linux", "arm64", "v8"), [("linux", "arm64", "")], 0),
        (("linux", "arm64", ""), [("linux", "arm64", "v8")], 0),
        (("linux", "arm", "v7"), [("linux", "arm", "v5"), ("linux", "arm", "v6")], 1),
        (("linux", "amd64", ""), [("unknown", "unknown", ""), ("linux", "amd64", "v2")], 1),
    ],
)
def test_choice(wanted: tuple[str, str, str], platforms: list[tuple[str, str, str]], number: int) -> None:
    assert choose(index(*platforms), Platform(*wanted)).digest == f"sha256:{number:064x}"


def test_no_choice() -> None:
    text = "no matching manifest for linux/amd64 in the manifest list entries: it offers linux/arm64, windows/amd64"
    with pytest.raises(NotFound, match=text):
        choose(
            index(("windows", "amd64", ""), ("linux", "arm64", ""), ("unknown", "unknown", "")),
            Platform("linux", "amd64"),
        )


def test_manifests_by_shape_and_type() -> None:
    descriptor = {"mediaType": "x", "digest": A, "size": 1}
    assert isinstance(
        parse(json.dumps({"schemaVersion": 2, "config": descriptor, "layers": []}).encode()), Manifest
    )
    assert isinstance(parse(json.dumps({"schemaVersion": 2, "manifests": []}).encode()), Index)
    with pytest.raises(Unsupported, match="schema 1"):
        parse(b'{"schemaVersion":1,"fsLayers":[]}')
    for bad in (b"", b"[]", b'{"schemaVersion":2}', b'{"schemaVersion":2,"config":{},"layers":[]}', b"\xff"):
        with pytest.raises(Invalid, match="manifest is malformed"):
            parse(bad)
    for digest in ("sha256:xyz", "md5:" + "0" * 32, "../../etc/passwd", "sha256:" + "A" * 64):
        with pytest.raises(Invalid, match="malformed"):
            parse(
                json.dumps(
                    {"schemaVersion": 2, "config": {**descriptor, "digest": digest}, "layers": []}
                ).encode()
            )


def test_a_manifest_of_our_own() -> None:
    gzip, zstd = Blob(A, B, media.OCI_LAYER_GZIP, 5), Blob(A, C, media.OCI_LAYER_ZSTD, 6)
    docker = describe(A, 9, [gzip])
    assert docker.media_type == media.DOCKER_MANIFEST
    assert docker.layers == [Descriptor(media.LAYER_GZIP, B, 5)]
    oci = describe(A, 9, [gzip, zstd])
    assert [layer.media_type for layer in oci.layers] == [media.OCI_LAYER_GZIP, media.OCI_LAYER_ZSTD]
    assert parse(encode(oci)) == oci and json.loads(encode(docker))["config"] == {
        "mediaType": media.DOCKER_CONFIG, "digest": A, "size": 9,
    }  # fmt: skip
