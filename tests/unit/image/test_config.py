"""Image configurations: parsed, rendered, changed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hostagent.errors import Invalid
from hostagent.image.changes import apply_changes
from hostagent.image.config import host_platform, parse_config, parse_platform, render_config
from hostagent.model.image import ImageConfig, Platform, chain_ids

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64

FULL = {
    "architecture": "arm64",
    "variant": "v8",
    "os": "linux",
    "created": "2024-01-01T00:00:00Z",
    "author": "me",
    "config": {
        "User": "1000:1000",
        "Env": ["A=b"],
        "Entrypoint": ["/e"],
        "Cmd": None,
        "WorkingDir": "/w",
        "Labels": {"l": "1"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/v": {}},
        "StopSignal": "SIGQUIT",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000, "Retries": 3},
        "Unknown": {"to": "us"},
    },
    "rootfs": {"type": "layers", "diff_ids": [A, B]},
    "history": [{"created_by": "step", "empty_layer": True}],
}


def test_parse_and_render() -> None:
    image = parse_config(json.dumps(FULL).encode())
    assert image.platform == Platform("linux", "arm64", "v8")
    assert image.config.entrypoint == ("/e",) and image.config.cmd is None
    assert image.config.exposed_ports == ("80/tcp",) and image.config.volumes == ("/v",)
    assert image.config.healthcheck is not None and image.config.healthcheck.retries == 3
    again = parse_config(render_config(image))
    assert (again.config, again.diff_ids, again.history) == (image.config, image.diff_ids, image.history)


def test_chain_ids() -> None:
    # printf 'sha256:aa… sha256:bb…' | sha256sum
    assert chain_ids((A, B)) == (A, "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c")
    assert chain_ids((A,)) == (A,) and chain_ids(()) == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"os":"linux"}',
        b'{"os":"linux","rootfs":{"diff_ids":["sha256:../../etc"]}}',
        b'{"os":"linux","rootfs":{"diff_ids":[1]}}',
        b'{"os":"linux","rootfs":{},"config":{"Env":"A=b"}}',
        b'{"os":"\xff","rootfs":{}}',
    ],
)
def test_malformed_configurations(raw: bytes) -> None:
    with pytest.raises(Invalid, match="configuration"):
        parse_config(raw)


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/arm/v7", Platform("linux", "arm", "v7")),
        ("arm64", Platform("linux", "arm64")),
        ("Linux/x86_64", Platform("linux", "amd64")),
        ("linux/amd64/v2", Platform("linux", "amd64", "v2")),
        ("aarch64", Platform("linux", "arm64")),
        ("linux/armhf", Platform("linux", "arm", "v7")),
        ("windows", replace(host_platform(), os="windows")),
    ],
)
def test_platforms(text: str, platform: Platform) -> None:
    assert parse_platform(text) == platform


@pytest.mark.parametrize("text", ["", "/", "x", "a/b/c/d", "linux//v7", "linux/"])
def test_bad_platforms(text: str) -> None:
    with pytest.raises(Invalid, match="is not a platform"):
        parse_platform(text)


def test_changes() -> None:
    config = apply_changes(
        ImageConfig(env=("A=1", "B=2")),
        [
            'CMD ["/bin/x", "-y"]',
            "entrypoint exec it",
            "ENV A=3 C='a b'",
            "ENV D some words",
            "EXPOSE 80 53/udp",
            "LABEL x=y",
            'VOLUME ["/a", "/b"]',
            "USER 1:2",
            "WORKDIR /w",
            "STOPSIGNAL SIGINT",
        ],
    )
    assert config.cmd == ("/bin/x", "-y") and config.entrypoint == ("/bin/sh", "-c", "exec it")
    assert config.env == ("A=3", "B=2", "C=a b", "D=some words")
    assert config.exposed_ports == ("80/tcp", "53/udp") and config.volumes == ("/a", "/b")
    assert (config.user, config.working_dir, config.stop_signal, config.labels) == (
        "1:2",
        "/w",
        "SIGINT",
        {"x": "y"},
    )


@pytest.mark.parametrize(
    "change",
    [
        "",
        "RUN x",
        "LABEL",
        "EXPOSE eighty",
        "EXPOSE 70000",
        "ENV A",
        "ENV 'A=b",
        "LABEL a=b c",
        "HEALTHCHECK --retries=x CMD a",
        "ONBUILD FROM a",
    ],
)
def test_bad_changes(change: str) -> None:
    with pytest.raises(Invalid):
        apply_changes(ImageConfig(), [change])
