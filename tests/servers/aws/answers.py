"""What AWS says where moto says nothing: images of Debian and Ubuntu, their SSM parameters, prices."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

_DEBIAN, _CANONICAL = "136693071363", "099720109477"
_RELEASES: Final = {
    "debian-12": (_DEBIAN, "debian-12-{arch}-20261101-1", "/aws/service/debian/release/12/latest/{arch}"),
    "debian-13": (_DEBIAN, "debian-13-{arch}-20261101-1", "/aws/service/debian/release/13/latest/{arch}"),
    "ubuntu-24.04": (
        _CANONICAL,
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{arch}-server-20261101",
        "/aws/service/canonical/ubuntu/server/24.04/stable/current/{arch}/hvm/ebs-gp3/ami-id",
    ),
}
_ARCHITECTURES: Final = {"amd64": "x86_64", "arm64": "arm64"}
ROOT_GB: Final = 8  # of the published images
# US dollars an hour, or a GB and month.
PRICES: Final = {"t3.small": "0.0240", "t4g.small": "0.0192", "m5.large": "0.1150", "gp3": "0.0952"}


def image_id(release: str, arch: str) -> str:
    """The same in every region."""
    number = list(_RELEASES).index(release) * 2 + list(_ARCHITECTURES).index(arch)
    return f"ami-0{number:016x}"


def images() -> list[dict[str, Any]]:
    """For moto's MOTO_AMIS_PATH. The last one only looks like Debian's: anybody may give such a name."""
    found = [
        _image(image_id(release, arch), owner, name.format(arch=arch), word)
        for release, (owner, name, _) in _RELEASES.items()
        for arch, word in _ARCHITECTURES.items()
    ]
    return [*found, _image("ami-0bad", "666666666666", "debian-12-amd64-20991231-9999", "x86_64")]


def _image(identifier: str, owner: str, name: str, architecture: str) -> dict[str, Any]:
    return {
        "ami_id": identifier,
        "state": "available",
        "public": True,
        "owner_id": owner,
        "image_location": f"{owner}/{name}",
        "sriov": "simple",
        "root_device_type": "ebs",
        "root_device_name": "/dev/xvda",
        "description": name,
        "image_type": "machine",
        "platform": None,
        "architecture": architecture,
        "name": name,
        "virtualization_type": "hvm",
        "hypervisor": "xen",
    }


def parameter(name: str) -> str | None:
    """Value of a public SSM parameter."""
    for release, (_, _, pattern) in _RELEASES.items():
        for arch in _ARCHITECTURES:
            if name == pattern.format(arch=arch):
                return image_id(release, arch)
    return None


def products(request: dict[str, Any]) -> list[str]:
    """PriceList of GetProducts (AWS Price List Query API), with the two forms that occur in it."""
    wanted = {item["Field"]: item["Value"] for item in request["Filters"]}
    price = PRICES.get(wanted.get("instanceType") or wanted.get("volumeApiName") or "")
    if price is None:
        return []
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": f"{Decimal(price):.10f}"}}
    product = {"attributes": wanted, "productFamily": wanted["productFamily"]}
    return [
        json.dumps(
            {"product": product, "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}}}
        )
    ]
