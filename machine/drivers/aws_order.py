"""From what was asked for to what will be tried, looked up before anything is made: zones, subnets, images, types."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Literal

import msgspec

from machine.drivers import aws_images
from machine.drivers.aws_api import Aws, Refused
from machine.drivers.aws_options import Wanted
from machine.errors import Denied, Unsupported, Usage

Market = Literal["spot", "on demand"]
_NO_SUCH: Final = (
    "InvalidVpcID.NotFound",
    "InvalidSubnetID.NotFound",
    "InvalidSubnetId.NotFound",
    "InvalidGroup.NotFound",
    "InvalidInstanceType",
)


@dataclass(frozen=True)
class Candidate:
    """One way to get an instance, which AWS may refuse for want of room."""

    market: Market
    type: str
    zone: str
    subnet: str
    image: str
    root_device: str

    def __str__(self) -> str:
        return f"{self.type} in {self.zone}{' as spot' if self.market == 'spot' else ''}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A settled order: nothing in it is looked up again, so that a create that was cut off goes on with the same."""

    region: str
    profile: str | None
    vpc: str
    candidates: tuple[Candidate, ...]  # in this order
    architecture: str  # of the first one
    image: str  # as it was asked for
    disk_size: int
    disk_type: str
    encrypted: bool
    kms_key: str | None
    groups: tuple[str, ...]  # empty: our own
    private: bool
    admitted: str  # CIDR that may reach port 22; empty with groups of the person's own
    by: str  # who makes it: the last part of their ARN
    role: str | None
    key_name: str | None
    tags: dict[str, str]
    user_data: str

    @classmethod
    def adopted(
        cls, region: str, profile: str | None, vpc: str, own_groups: bool, private: bool, by: str
    ) -> Plan:
        """Of a machine that is there: enough to remove it."""
        return cls(
            region=region,
            profile=profile,
            vpc=vpc,
            candidates=(),
            architecture="",
            image="",
            disk_size=0,
            disk_type="",
            encrypted=False,
            kms_key=None,
            groups=("its own",) if own_groups else (),
            private=private,
            admitted="",
            by=by,
            role=None,
            key_name=None,
            tags={},
            user_data="",
        )

    def to_text(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def of(cls, text: str) -> Plan:
        return msgspec.json.decode(text, type=cls)


def region_of(aws: Aws, wanted: str | None) -> str:
    """The region of an order; Usage with close ones when boto3 knows of none such."""
    region = wanted or aws.default_region()
    if region is None:
        raise Usage(
            "which region? Say it:  pymachine create aws NAME -o region=eu-central-1     "
            "(or set AWS_REGION, or: aws configure set region eu-central-1)"
        )
    known = aws.known_regions()
    if region not in known:
        close = get_close_matches(region, known, n=2)
        hint = f": did you mean {' or '.join(close)}?" if close else " (aws ec2 describe-regions lists them)"
        raise Usage(f'AWS has no region "{region}"{hint}')
    return region


def identity(aws: Aws, region: str) -> str:
    """Who these credentials are: `user/anna`, `assumed-role/dev/anna@example.com`. Denied: they are of no use."""
    arn = str(aws.call(region, "get_caller_identity", service="sts")["Arn"])
    return arn.rsplit(":", 1)[-1]


def settle(aws: Aws, wanted: Wanted, region: str, by: str, admitted: str) -> Plan:
    """Raises Usage or Unsupported, naming cause and fix."""
    architectures = {name: _architecture(aws, region, name) for name in wanted.types}
    images = {
        word: aws_images.find(aws, region, wanted.image, word)
        for word in dict.fromkeys(architectures.values())
    }
    least = max(image.disk for image in images.values())
    if wanted.disk_size < least:
        raise Usage(f"{wanted.image} needs {least} GB: write -o disk-size={least} or more")
    vpc, subnets = _subnets(aws, region, wanted)
    places = [
        (kind, zone, subnet)
        for kind in wanted.types
        for zone, subnet in _offered(aws, region, kind, subnets).items()
    ]
    if not places:
        raise Unsupported(
            f"{' and '.join(wanted.types)} is not to be had in {', '.join(subnets)}: "
            "choose another type, zone or region"
        )
    markets: tuple[Market, ...] = ("spot", "on demand") if wanted.spot else ("on demand",)
    candidates = tuple(
        Candidate(
            market,
            kind,
            zone,
            subnet,
            images[architectures[kind]].id,
            images[architectures[kind]].root_device,
        )
        for market in markets
        for kind, zone, subnet in places
    )
    for group in wanted.groups:
        _exists(aws, region, "describe_security_groups", group, "security group", GroupIds=[group])
    return Plan(
        region=region,
        profile=wanted.profile,
        vpc=vpc,
        candidates=candidates,
        architecture=architectures[wanted.types[0]],
        image=wanted.image,
        disk_size=wanted.disk_size,
        disk_type=wanted.disk_type,
        encrypted=wanted.encrypted,
        kms_key=wanted.key,
        groups=wanted.groups,
        private=wanted.private,
        admitted=admitted or _range(aws, region, vpc),
        by=by,
        role=wanted.role,
        key_name=wanted.key_name,
        tags=wanted.tags,
        user_data=wanted.user_data.read_text() if wanted.user_data else "",
    )


def _architecture(aws: Aws, region: str, name: str) -> str:
    (found,) = _exists(aws, region, "describe_instance_types", name, "instance type", InstanceTypes=[name])[
        "InstanceTypes"
    ]
    offered = found["ProcessorInfo"]["SupportedArchitectures"]
    for word in ("x86_64", "arm64"):
        if word in offered:
            return word
    raise Unsupported(
        f"{name} runs {', '.join(offered)} only, the engine needs x86_64 or arm64: choose another type"
    )


def _subnets(aws: Aws, region: str, wanted: Wanted) -> tuple[str, dict[str, str]]:
    """(VPC, a subnet by zone), in the zones' order."""
    zone = wanted.zone and (f"{region}{wanted.zone}" if len(wanted.zone) == 1 else wanted.zone)
    if wanted.subnet is not None:
        found = _exists(aws, region, "describe_subnets", wanted.subnet, "subnet", SubnetIds=[wanted.subnet])
        (subnet,) = found["Subnets"]
        if wanted.vpc not in (None, subnet["VpcId"]):
            raise Usage(
                f"{wanted.subnet} is in {subnet['VpcId']}, not in {wanted.vpc}: leave out one of them"
            )
        if zone not in (None, subnet["AvailabilityZone"]):
            raise Usage(
                f"{wanted.subnet} is in {subnet['AvailabilityZone']}, not in {zone}: leave out one of them"
            )
        return str(subnet["VpcId"]), {subnet["AvailabilityZone"]: wanted.subnet}
    vpc = wanted.vpc or _default_vpc(aws, region)
    if wanted.vpc is not None:
        _exists(aws, region, "describe_vpcs", vpc, "VPC", VpcIds=[vpc])
    subnets: dict[str, str] = {}
    # The region's own zones come first: local zones, which cost more, have no default subnets.
    listed = aws.pages(region, "describe_subnets", "Subnets", Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    for subnet in sorted(listed, key=lambda subnet: (not subnet["DefaultForAz"], subnet["AvailabilityZone"])):
        if wanted.private or subnet["DefaultForAz"] or subnet["MapPublicIpOnLaunch"]:
            subnets.setdefault(subnet["AvailabilityZone"], subnet["SubnetId"])
    if not subnets:
        raise Unsupported(
            f"{vpc} has no public subnet: name one with -o subnet=subnet-..., or write -o private=true"
        )
    if zone is not None:
        if zone not in subnets:
            raise Usage(f'{vpc} has no subnet in a zone "{zone}": it has {", ".join(subnets)}')
        subnets = {zone: subnets[zone]}
    return vpc, subnets


def _default_vpc(aws: Aws, region: str) -> str:
    found = aws.call(region, "describe_vpcs", Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    if not found:
        raise Unsupported(
            f"{region} has no default VPC in this account: name one with -o vpc=vpc-..., or make it  "
            f"(aws ec2 create-default-vpc --region {region})"
        )
    return str(found[0]["VpcId"])


def _range(aws: Aws, region: str, vpc: str) -> str:
    """For a host without a public address, which is reached from inside: the VPC's own range."""
    return str(aws.call(region, "describe_vpcs", VpcIds=[vpc])["Vpcs"][0]["CidrBlock"])


def _offered(aws: Aws, region: str, name: str, subnets: dict[str, str]) -> dict[str, str]:
    """Those of `subnets` in whose zones there is such a type."""
    zones = {
        offer["Location"]
        for offer in aws.pages(
            region,
            "describe_instance_type_offerings",
            "InstanceTypeOfferings",
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": [name]}],
        )
    }
    return {zone: subnet for zone, subnet in subnets.items() if zone in zones}


def _exists(aws: Aws, region: str, operation: str, name: str, kind: str, **request: Any) -> dict[str, Any]:
    try:
        return aws.call(region, operation, expect=_NO_SUCH, **request)
    except Refused as error:
        raise Usage(
            f"there is no {kind} {name} in {region}: look for its name, or choose another region"
        ) from error


def rehearse(aws: Aws, plan: Plan, request: dict[str, Any]) -> None:
    """Asks AWS whether the first candidate may be run at all (DryRun): rights, role, key pair, disk."""
    try:
        aws.call(
            plan.region,
            "run_instances",
            expect=("DryRunOperation", "UnauthorizedOperation"),
            DryRun=True,
            **request,
        )
    except Refused as error:
        if error.code == "UnauthorizedOperation":
            raise Denied(
                f"these credentials ({plan.by}) may not run instances in {plan.region}: ask for ec2:RunInstances and "
                "ec2:CreateTags, or name others with -o profile=NAME"
            ) from error
