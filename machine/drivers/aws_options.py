"""What may be said in `create aws`, checked without asking anybody."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from machine.drivers.aws_images import IMAGES
from machine.drivers.base import SETTLED
from machine.errors import Usage

OPTIONS: Final = {
    "region": "where: eu-central-1 (default: AWS_REGION, or the profile's)",
    "zone": "only in this availability zone: eu-central-1a, or a",
    "profile": "of ~/.aws, if not the default one",
    "type": "instance type, default t3.small; t4g.small,t4g.medium: the next one when AWS has no room",
    "image": f"{', '.join(IMAGES)} (default debian-12), or ami-...",
    "disk-size": "of the root disk in GB, default 10",
    "disk-type": "gp3 (default), gp2, standard",
    "disk-encrypted": "true, or the ARN or alias of a KMS key",
    "spot": "true: ask for a spot instance first, in all zones and types, then for one on demand",
    "vpc": "vpc-..., if not the region's default one",
    "subnet": "subnet-..., if not any public one of the VPC",
    "security-group": "sg-..., several with commas: used as they are, none is made",
    "private": "true: no public address; reached by the private one",
    "ssh-from": "who may reach port 22, as 203.0.113.7/32 (default: your own address)",
    "role": "name of the instance profile that the host gets",
    "key-name": "an EC2 key pair that may log in too, as the image's own user",
    "tags": "KEY=VALUE,KEY=VALUE on all that is made",
    "user-data": "file with cloud-init data of your own, run after ours",
}
_DISKS: Final = ("gp3", "gp2", "standard")  # the others cannot boot, or are bought by their IOPS
_TYPE: Final = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
_TRUTH: Final = {"true": True, "yes": True, "": True, "1": True, "false": False, "no": False, "0": False}
_OURS: Final = ("pymachine", "aws:")
_MAX_TAGS: Final = 40  # AWS admits 50, ours among them


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An order. Sizes in GB (2^30 bytes, as EBS has it); None: AWS's or our choice."""

    region: str | None
    zone: str | None
    profile: str | None
    types: tuple[str, ...]
    image: str
    disk_size: int
    disk_type: str
    encrypted: bool
    key: str | None  # KMS
    spot: bool
    vpc: str | None
    subnet: str | None
    groups: tuple[str, ...]
    private: bool
    ssh_from: str | None
    role: str | None
    key_name: str | None
    tags: dict[str, str]
    user_data: Path | None


def parse(options: dict[str, str]) -> Wanted:
    """Raises Usage, in one sentence that says what to write."""
    unknown = sorted(key for key in options if key not in OPTIONS and not key.startswith(SETTLED))
    if unknown:
        raise Usage(f"the aws driver has no option {', '.join(unknown)}. It has: {', '.join(OPTIONS)}")
    encrypted = options.get("disk-encrypted", "false")
    key = None if encrypted.lower() in _TRUTH else encrypted
    return Wanted(
        region=_matched(options, "region", r"[a-z]{2}(-[a-z]+)+-\d", "eu-central-1"),
        zone=_matched(options, "zone", r"([a-z]{2}(-[a-z]+)+-\d)?[a-z]|[a-z0-9-]+-\d[a-z]", "eu-central-1a"),
        profile=options.get("profile") or None,
        types=_types(options.get("type", "t3.small")),
        image=_image(options.get("image", "debian-12")),
        disk_size=_size(options.get("disk-size", "10")),
        disk_type=_chosen(options, "disk-type", _DISKS),
        encrypted=key is not None or _flag(options, "disk-encrypted"),
        key=key,
        spot=_flag(options, "spot"),
        vpc=_matched(options, "vpc", r"vpc-[0-9a-f]+", "vpc-0123456789abcdef0"),
        subnet=_matched(options, "subnet", r"subnet-[0-9a-f]+", "subnet-0123456789abcdef0"),
        groups=_groups(options.get("security-group", "")),
        private=_flag(options, "private"),
        ssh_from=_source(options.get("ssh-from")),
        role=options.get("role") or None,
        key_name=options.get("key-name") or None,
        tags=_tags(options.get("tags", "")),
        user_data=_file(options.get("user-data")),
    )


def _matched(options: dict[str, str], key: str, pattern: str, example: str) -> str | None:
    text = options.get(key)
    if text is not None and not re.fullmatch(pattern, text):
        raise Usage(f'"{text}" is no {key}: write it as {example}')
    return text


def _flag(options: dict[str, str], key: str) -> bool:
    text = options.get(key, "false")
    if text.lower() not in _TRUTH:
        raise Usage(f'"{text}" says neither yes nor no: write {key}=true or {key}=false')
    return _TRUTH[text.lower()]


def _chosen(options: dict[str, str], key: str, among: tuple[str, ...]) -> str:
    text = options.get(key, among[0])
    if text not in among:
        raise Usage(f'there is no {key} "{text}": write one of {", ".join(among)}')
    return text


def _types(text: str) -> tuple[str, ...]:
    types = tuple(word.strip() for word in text.split(","))
    for word in types:
        if not _TYPE.fullmatch(word):
            raise Usage(f'"{word}" is no instance type: write it as t3.small, several with commas')
    return types


def _image(text: str) -> str:
    if text not in IMAGES and not re.fullmatch(r"ami-[0-9a-f]+", text):
        raise Usage(f'there is no image "{text}": write one of {", ".join(IMAGES)}, or ami-...')
    return text


def _size(text: str) -> int:
    number = text.lower().removesuffix("gb").removesuffix("g").strip()
    if not number.isdecimal() or not 1 <= int(number) <= 65536:
        raise Usage(f'"{text}" is no disk size: write whole GB, for example disk-size=20')
    return int(number)


def _groups(text: str) -> tuple[str, ...]:
    groups = tuple(word.strip() for word in text.split(",") if word.strip())
    for word in groups:
        if not re.fullmatch(r"sg-[0-9a-f]+", word):
            raise Usage(f'"{word}" is no security group: write its ID, sg-..., several with commas')
    return groups


def _source(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise Usage(
            f'"{text}" is no range of addresses: write ssh-from=203.0.113.7/32 (or 0.0.0.0/0 for everybody)'
        ) from None


def _tags(text: str) -> dict[str, str]:
    tags: dict[str, str] = {}
    for word in filter(None, text.split(",")):
        key, equals, value = word.partition("=")
        if not key or not equals or len(key) > 128 or len(value) > 256:
            raise Usage(f'"{word}" is no tag: write KEY=VALUE, several with commas')
        if key.lower().startswith(_OURS) or key == "Name":
            raise Usage(
                f'the tag "{key}" is not yours to set: "Name", "aws:..." and "pymachine..." are taken'
            )
        tags[key] = value
    if len(tags) > _MAX_TAGS:
        raise Usage(f"{len(tags)} tags are too many: AWS and pymachine leave you {_MAX_TAGS}")
    return tags


def _file(text: str | None) -> Path | None:
    if text is None:
        return None
    path = Path(text).expanduser()
    if not path.is_file():
        raise Usage(f"there is no file {text}: user-data names a file with cloud-init data")
    if not path.read_bytes().startswith((b"#cloud-config", b"#!")):
        raise Usage(
            f'{text} is no cloud-init data: its first line is "#cloud-config", or "#!" and an interpreter'
        )
    return path
