"""The daemon's command line and its configuration file, read once into one frozen object."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hostagent.engine.limits.units import ram_in_bytes
from hostagent.errors import Invalid

CONFIG = "/etc/pymachine/daemon.json"
KNOWN_KEYS = frozenset(
    {
        *(
            "builder",
            "registry-mirrors",
            "insecure-registries",
            "bip",
            "log-driver",
            "log-opts",
            "userns-remap",
        ),
        "allow-metadata",
    }
)


@dataclass(frozen=True)
class Options:
    """`hosts` are unix:///path addresses; none means sockets from systemd. `subnet` is the bridge's, "" to choose."""

    root: Path
    run: Path
    hosts: tuple[str, ...]
    bridge: str
    subnet: str
    cgroup_parent: str
    mirrors: tuple[str, ...]
    insecure: tuple[str, ...]
    log_driver: str
    log_options: dict[str, str]
    userns_remap: str
    """"", "default", USER or USER:GROUP."""
    build_cache: int
    """Bytes of build steps that are kept; 0 is no limit, -1 a tenth of the disk."""
    metadata: bool
    """Containers of the default bridge may ask the cloud's metadata service."""
    debug: bool


def parse(arguments: Sequence[str]) -> Options:
    """Options from the command line; lists add to those of the configuration file. Invalid for a bad file."""
    parser = argparse.ArgumentParser(
        prog="hostagent", description="A container engine that speaks the Docker Engine API."
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/var/lib/pymachine"), help="state, images, containers"
    )
    parser.add_argument(
        "--run", type=Path, default=Path("/run/pymachine"), help="sockets and locks, gone at a reboot"
    )
    parser.add_argument("--host", action="append", default=[], metavar="unix:///PATH", help="where to listen")
    parser.add_argument("--bridge", default="pymachine0", help="name of the default bridge")
    parser.add_argument("--cgroup-parent", default="/pymachine", help="where containers' cgroups are made")
    parser.add_argument("--registry-mirror", action="append", default=[], metavar="URL")
    parser.add_argument("--insecure-registry", action="append", default=[], metavar="HOST[:PORT]")
    parser.add_argument(
        "--userns-remap", default="", metavar="USER[:GROUP]", help="whose subordinate IDs containers run with"
    )
    parser.add_argument(
        "--log-driver", metavar="NAME", help="for containers that ask for none (default json-file)"
    )
    parser.add_argument(
        "--log-opt", action="append", default=[], metavar="NAME=VALUE", help="for that driver"
    )
    parser.add_argument(
        "--allow-metadata",
        action="store_true",
        help="let containers of the default bridge ask the cloud's metadata service",
    )
    parser.add_argument("--config", type=Path, default=Path(CONFIG), help=f"JSON file (default {CONFIG})")
    parser.add_argument("--debug", action="store_true")
    given = parser.parse_args(arguments)
    file = _read(given.config)
    return Options(
        root=given.root,
        run=given.run,
        hosts=tuple(given.host),
        bridge=given.bridge,
        subnet=str(file.get("bip", "")),
        cgroup_parent=given.cgroup_parent,
        mirrors=(*_strings(file, "registry-mirrors"), *given.registry_mirror),
        insecure=(*_strings(file, "insecure-registries"), *given.insecure_registry),
        log_driver=given.log_driver or str(file.get("log-driver", "json-file")),
        log_options={**_texts(file, "log-opts"), **_pairs(given.log_opt)},
        userns_remap=given.userns_remap or str(file.get("userns-remap", "")),
        build_cache=_build_cache(file),
        metadata=given.allow_metadata or _truth(file, "allow-metadata"),
        debug=given.debug,
    )


def _read(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Invalid(f"{path} is not JSON ({error}): mend it or take it away") from None
    if not isinstance(content, dict):
        raise Invalid(f"{path} must hold a JSON object")
    if unknown := sorted(set(content) - KNOWN_KEYS):
        raise Invalid(f"{path}: unknown keys {', '.join(unknown)}; known are {', '.join(sorted(KNOWN_KEYS))}")
    return content


def _strings(file: dict[str, object], key: str) -> list[str]:
    value = file.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Invalid(f"{key} must be a list of strings")
    return value


def _truth(file: dict[str, object], key: str) -> bool:
    value = file.get(key, False)
    if not isinstance(value, bool):
        raise Invalid(f"{key} must be true or false")
    return value


def _texts(file: dict[str, object], key: str) -> dict[str, str]:
    value = file.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Invalid(f"{key} must be an object whose values are strings")
    return value


def _build_cache(file: dict[str, object]) -> int:
    """`"builder": {"gc": {"enabled": true, "defaultKeepStorage": "20GB"}}`, as dockerd has it."""
    wrong = 'builder must be as {"gc": {"enabled": true, "defaultKeepStorage": "20GB"}}'
    builder = file.get("builder", {})
    gc = builder.get("gc", {}) if isinstance(builder, dict) and not builder.keys() - {"gc"} else None
    if not isinstance(gc, dict) or gc.keys() - {"enabled", "defaultKeepStorage"}:
        raise Invalid(wrong)
    enabled, size = gc.get("enabled", True), gc.get("defaultKeepStorage", "")
    if not isinstance(enabled, bool) or not isinstance(size, str):
        raise Invalid(wrong)
    try:
        kept = ram_in_bytes(size) if size else -1
    except ValueError as error:
        raise Invalid(f"builder.gc.defaultKeepStorage: {error}") from None
    return kept if enabled else 0


def _pairs(given: Sequence[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    if wrong := [name for name, equals, _ in pairs if not (name and equals)]:
        raise Invalid(f"--log-opt {wrong[0]}: write NAME=VALUE")
    return {name: value for name, _, value in pairs}
