"""Image configuration JSON <-> model. Unknown members are kept in the stored blob and ignored here."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import msgspec

from hostagent.errors import Invalid
from hostagent.model.image import Healthcheck, HistoryEntry, Image, ImageConfig, Platform
from hostagent.model.reference import is_digest

CONFIG_LIMIT = (
    4 << 20
)  # bytes; registries refuse larger manifests, and a configuration has no reason to exceed it

# `uname -m` -> GOARCH and variant, as images name them.
_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""),
}
_ALIASES = {
    **{name: known for name, known in _MACHINES.items() if name != "aarch64"},
    "aarch64": ("arm64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_ARCHITECTURES = frozenset(
    (
        "386",
        "amd64",
        "arm",
        "arm64",
        "loong64",
        "mips64",
        "mips64le",
        "ppc64",
        "ppc64le",
        "riscv64",
        "s390x",
        "wasm",
    )
)
_SYSTEMS = frozenset(("linux", "windows", "darwin", "freebsd"))
"""Names that are an operating system's where they stand alone; others have to be an architecture's."""


class _Healthcheck(msgspec.Struct, rename="pascal", omit_defaults=True):
    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class RunConfig(msgspec.Struct, rename="pascal", omit_defaults=True):
    """The member `config`."""

    user: str = ""
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    exposed_ports: dict[str, msgspec.Raw] | None = None
    volumes: dict[str, msgspec.Raw] | None = None
    stop_signal: str = ""
    shell: list[str] | None = None
    on_build: list[str] | None = None
    healthcheck: _Healthcheck | None = None


class _RootFS(msgspec.Struct):
    diff_ids: list[str] | None = None
    type: str = "layers"


class History(msgspec.Struct, omit_defaults=True):
    """One member of `history`."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class _File(msgspec.Struct, omit_defaults=True):
    architecture: str = ""
    os: str = ""
    variant: str = ""
    created: str | None = None
    author: str = ""
    comment: str = ""
    config: RunConfig | None = None
    rootfs: _RootFS | None = None
    history: list[History] | None = None


_decoder = msgspec.json.Decoder(_File)


def _optional(words: list[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(words)


def parse_config(raw: bytes) -> Image:
    """The image whose configuration file is `raw`. Raises Invalid naming the member that is wrong."""
    try:
        file = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the image's configuration is malformed: {error}") from error
    if file.rootfs is None or not file.os:
        raise Invalid("the image's configuration has no rootfs or no os: this is not a container image")
    diff_ids = tuple(file.rootfs.diff_ids or ())
    for diff_id in diff_ids:
        if not is_digest(diff_id):
            raise Invalid(f"the image's configuration has a malformed diff ID: {diff_id!r}")
    return Image(
        id="sha256:" + hashlib.sha256(raw).hexdigest(),
        platform=Platform(file.os, file.architecture, file.variant),
        config=_run_config(file.config or RunConfig()),
        diff_ids=diff_ids,
        history=tuple(
            HistoryEntry(h.created, h.created_by, h.author, h.comment, h.empty_layer)
            for h in file.history or ()
        ),
        created=file.created or "",
        author=file.author,
        comment=file.comment,
    )


def _run_config(c: RunConfig) -> ImageConfig:
    health = c.healthcheck
    return ImageConfig(
        user=c.user,
        env=tuple(c.env or ()),
        entrypoint=_optional(c.entrypoint),
        cmd=_optional(c.cmd),
        working_dir=c.working_dir,
        labels=c.labels or {},
        exposed_ports=tuple(c.exposed_ports or ()),
        volumes=tuple(c.volumes or ()),
        stop_signal=c.stop_signal,
        shell=_optional(c.shell),
        on_build=tuple(c.on_build or ()),
        healthcheck=None
        if health is None
        else Healthcheck(
            tuple(health.test or ()),
            health.interval,
            health.timeout,
            health.start_period,
            health.start_interval,
            health.retries,
        ),
    )


def render_config(image: Image) -> bytes:
    """The configuration file of an image made here; `image.id` is not looked at, being the hash of the result."""
    c = image.config
    health = c.healthcheck
    empty = msgspec.Raw(b"{}")
    file = _File(
        architecture=image.platform.architecture,
        os=image.platform.os,
        variant=image.platform.variant,
        created=image.created or None,
        author=image.author,
        comment=image.comment,
        config=RunConfig(
            user=c.user,
            env=list(c.env) or None,
            entrypoint=None if c.entrypoint is None else list(c.entrypoint),
            cmd=None if c.cmd is None else list(c.cmd),
            working_dir=c.working_dir,
            labels=dict(c.labels) or None,
            exposed_ports=dict.fromkeys(c.exposed_ports, empty) or None,
            volumes=dict.fromkeys(c.volumes, empty) or None,
            stop_signal=c.stop_signal,
            shell=None if c.shell is None else list(c.shell),
            on_build=list(c.on_build) or None,
            healthcheck=None
            if health is None
            else _Healthcheck(
                list(health.test),
                health.interval,
                health.timeout,
                health.start_period,
                health.start_interval,
                health.retries,
            ),
        ),
        rootfs=_RootFS(diff_ids=list(image.diff_ids)),
        history=[History(h.created, h.created_by, h.author, h.comment, h.empty_layer) for h in image.history],
    )
    return msgspec.json.encode(file)


def host_platform() -> Platform:
    """The platform of this kernel, for choosing in an index."""
    machine = os.uname().machine
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    return Platform("linux", architecture, variant)


def parse_platform(text: str) -> Platform:
    """`linux/arm64/v8`, `linux/amd64`, `arm64` or `linux`; also with the names that uname and others have. Raises
    Invalid."""
    parts = text.lower().split("/")
    if len(parts) == 1:
        if text.lower() in _SYSTEMS:
            return replace(host_platform(), os=text.lower())
        if text.lower() in _ARCHITECTURES or text.lower() in _ALIASES:
            parts.insert(0, "linux")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise Invalid(f"{text!r} is not a platform: write os/architecture[/variant], as linux/arm64")
    architecture, variant = _ALIASES.get(parts[1], (parts[1], ""))
    return Platform(parts[0], architecture, parts[2] if len(parts) == 3 else variant)
