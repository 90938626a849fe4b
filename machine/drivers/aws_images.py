"""The images that hosts are made of: published by their distributions, found by SSM, else by their owner's account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from machine.drivers.aws_api import Aws, Refused
from machine.errors import Unavailable, Usage


@dataclass(frozen=True)
class Source:
    """`parameter` (SSM) and `name` (of the image) hold {arch}: amd64 or arm64. `owner` is the publisher's account.

    Both are said by the publishers: wiki.debian.org/Cloud/AmazonEC2Image, documentation.ubuntu.com/aws.
    """

    parameter: str
    owner: str
    name: str


_DEBIAN: Final = "136693071363"
_CANONICAL: Final = "099720109477"
IMAGES: Final = {
    "debian-12": Source("/aws/service/debian/release/12/latest/{arch}", _DEBIAN, "debian-12-{arch}-*"),
    "debian-13": Source("/aws/service/debian/release/13/latest/{arch}", _DEBIAN, "debian-13-{arch}-*"),
    "ubuntu-24.04": Source(
        "/aws/service/canonical/ubuntu/server/24.04/stable/current/{arch}/hvm/ebs-gp3/ami-id",
        _CANONICAL,
        "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{arch}-server-*",
    ),
}
# EC2's word for an architecture, and the distributions'.
_DEBIAN_WORD: Final = {"x86_64": "amd64", "arm64": "arm64"}


@dataclass(frozen=True)
class Image:
    """`disk` is the least size of the root disk, in GB."""

    id: str
    architecture: str
    root_device: str
    disk: int


def find(aws: Aws, region: str, wanted: str, architecture: str) -> Image:
    """The image called `wanted` (of IMAGES, or an ID) for `architecture` (x86_64, arm64). Raises Usage, Unavailable."""
    if wanted not in IMAGES:
        found = _described(aws, region, ImageIds=[wanted])
        if not found:
            raise Usage(f"there is no image {wanted} in {region}, or it is not shared with this account")
        if found[0].architecture != architecture:
            raise Usage(
                f"{wanted} is for {found[0].architecture}, the instance type for {architecture}: "
                "choose another type or image"
            )
        return found[0]
    source, word = IMAGES[wanted], _DEBIAN_WORD[architecture]
    named = _by_parameter(aws, region, source.parameter.format(arch=word))
    # What SSM names has to be the publisher's too: anybody may publish an image.
    found = _described(aws, region, ImageIds=[named], Owners=[source.owner]) if named else []
    found = found or _described(
        aws,
        region,
        Owners=[source.owner],
        Filters=[
            {"Name": "name", "Values": [source.name.format(arch=word)]},
            {"Name": "state", "Values": ["available"]},
        ],
    )
    if not found:
        raise Unavailable(
            f"neither SSM nor account {source.owner} has {wanted} for {architecture} in {region}: "
            "name an image with -o image=ami-..., or another region"
        )
    return found[-1]


def _by_parameter(aws: Aws, region: str, name: str) -> str | None:
    unheard = ("ParameterNotFound", "AccessDeniedException", "AccessDenied", "ValidationException")
    try:
        answer = aws.call(region, "get_parameter", service="ssm", expect=unheard, Name=name)
    except Refused:
        return None
    return str(answer["Parameter"]["Value"])


def _described(aws: Aws, region: str, **request: Any) -> list[Image]:
    """Oldest first."""
    try:
        found = aws.call(
            region,
            "describe_images",
            expect=("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed"),
            **request,
        )["Images"]
    except Refused:
        return []
    images = []
    for image in sorted(found, key=lambda image: str(image.get("CreationDate", ""))):
        root = image.get("RootDeviceName") or "/dev/xvda"
        disks = [
            mapping["Ebs"].get("VolumeSize", 0)
            for mapping in image.get("BlockDeviceMappings", ())
            if mapping.get("DeviceName") == root and "Ebs" in mapping
        ]
        images.append(Image(image["ImageId"], image["Architecture"], root, max(disks, default=0)))
    return images
