"""What all JSON types of the Docker Engine API have in common: spelling, omission, lenient decoding.

Fields are snake_case here and Docker's spelling on the wire. Omission follows Go's `omitempty`: a field with
a plain default is left out while it has that default; a field with `shown(default)` is always written.
Lists and maps that Go writes as `null` when nil are `list[X] | None = shown(None)`; those that Go omits when
empty are `list[X] = []`. Every field has a default: what an old or foreign peer leaves out is no error.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

# Docker's spelling where it is not the plain CamelCase of our name.
_SPELLED = {
    "cdi_spec_dirs": "CDISpecDirs",
    "container_id_file": "ContainerIDFile",
    "container_id": "ContainerID",
    "device_ids": "DeviceIDs",
    "dns_names": "DNSNames",
    "enable_ipv6": "EnableIPv6",
    "endpoint_id": "EndpointID",
    "exec_ids": "ExecIDs",
    "global_ipv6_address": "GlobalIPv6Address",
    "global_ipv6_prefix_len": "GlobalIPv6PrefixLen",
    "image_id": "ImageID",
    "io_maximum_bandwidth": "IOMaximumBandwidth",
    "io_maximum_iops": "IOMaximumIOps",
    "ip": "IP",
    "ip_address": "IPAddress",
    "ip_prefix_len": "IPPrefixLen",
    "ip_range": "IPRange",
    "ipam": "IPAM",
    "ipam_config": "IPAMConfig",
    "ipv4_address": "IPv4Address",
    "ipv4_forwarding": "IPv4Forwarding",
    "ipv6_address": "IPv6Address",
    "ipv6_gateway": "IPv6Gateway",
    "blkio_device_read_iops": "BlkioDeviceReadIOps",
    "blkio_device_write_iops": "BlkioDeviceWriteIOps",
    "kernel_memory_tcp": "KernelMemoryTCP",
    "link_local_ips": "LinkLocalIPs",
    "link_local_ipv6_address": "LinkLocalIPv6Address",
    "link_local_ipv6_prefix_len": "LinkLocalIPv6PrefixLen",
    "min_api_version": "MinAPIVersion",
    "n_cpu": "NCPU",
    "network_id": "NetworkID",
    "oom_killed": "OOMKilled",
    "os_type": "OSType",
    "root_fs": "RootFS",
    "rw": "RW",
    "sandbox_id": "SandboxID",
    "secondary_ip_addresses": "SecondaryIPAddresses",
    "secondary_ipv6_addresses": "SecondaryIPv6Addresses",
    "uts_mode": "UTSMode",
}

# JSON objects whose keys are the caller's own; a null beside such a key is a value, not a missing field.
_MAPS = frozenset({"PortBindings", "Ports", "EndpointsConfig", "Networks", "ExposedPorts", "Volumes"})
# Go's strslice: one string stands for a list of one.
STRING_LISTS = frozenset({"Cmd", "Entrypoint", "Shell", "CapAdd", "CapDrop"})


def docker_name(field: str) -> str:
    """The JSON key of a field: `cpu_period` -> `CpuPeriod`, `uts_mode` -> `UTSMode`."""
    return _SPELLED.get(field) or "".join(word.capitalize() for word in field.split("_"))


def shown(value: T, name: str | None = None) -> T:
    """A default that is nevertheless always written (Go field without `omitempty`); `name` overrides the key.

    msgspec omits a field only while it *is* its default object; one made by a factory never is.
    """
    default: T = msgspec.field(default_factory=lambda: value, name=name)
    return default


class Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=docker_name):
    """Base of all Docker-shaped types; immutable, keyword-only."""


def encode(value: object) -> bytes:
    """JSON of a Wire object, or of lists and dicts of them."""
    return msgspec.json.encode(value)


def decode(raw: bytes | str, kind: type[T]) -> T:
    """JSON text as `kind`, forgiving what Go's decoder forgives.

    Unknown keys are ignored, `null` means "not given" for any field, and a string is accepted where Go's
    strslice accepts one. Raises ValueError with the JSON path of what does not fit.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        return msgspec.convert(_as_go_reads(msgspec.json.decode(raw), ""), type=kind)


def _as_go_reads(value: Any, key: str) -> Any:
    if isinstance(value, list):
        return [_as_go_reads(item, "") for item in value]
    if isinstance(value, dict):
        keep_null = key in _MAPS
        return {
            name: _as_go_reads(item, name) for name, item in value.items() if item is not None or keep_null
        }
    if isinstance(value, str) and key in STRING_LISTS:
        return [value]
    return value
