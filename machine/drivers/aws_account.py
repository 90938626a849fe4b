"""What of ours is in the account, by tags alone: for gc, adopt and whoever lost a laptop."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from machine.drivers import aws_price
from machine.drivers.account import Found, Quote
from machine.drivers.aws_api import Aws, Profiles, Refused
from machine.drivers.aws_group import GROUP, Group, consent, own_address
from machine.drivers.aws_instance import INSTANCE, MARKET, PROFILE, REGION, TYPE, Instances
from machine.drivers.aws_options import parse
from machine.drivers.aws_order import Plan, identity, region_of
from machine.drivers.aws_tags import (
    AGENT,
    BY,
    ENDS,
    HOST_KEY,
    HOURLY,
    NAME,
    SHARED,
    STATE,
    TAG,
    USER,
    WHOLE,
    tags,
)
from machine.drivers.base import Ask, Say
from machine.errors import MachineError
from machine.model.bill import Bill
from machine.model.machine import Machine
from machine.store.store import Store

PLAN: Final = "settled plan"  # key of an order's options
_LIVING: Final = ["pending", "running", "stopping", "stopped"]
_AT_ONCE: Final = 8


class AwsAccount:
    """An Account (machine.drivers.account)."""

    def __init__(self, store: Store, profiles: Profiles) -> None:
        self._store, self._profiles = store, profiles

    def quote(self, options: dict[str, str]) -> Quote:
        plan = Plan.of(options[PLAN])
        return aws_price.quote(self._profiles.get(plan.profile), plan)

    def publish(self, machine: Machine, order_id: str, options: dict[str, str], say: Say) -> Machine:
        data = machine.driver_data
        aws = self._profiles.get(data[PROFILE])
        bill = machine.bill or _bill(aws, Plan.of(options[PLAN]), data)
        values = {
            TAG: order_id,
            NAME: machine.name,
            USER: machine.user,
            HOST_KEY: " ".join(machine.host_key.split()[:2]),
            AGENT: machine.agent or "",
            ENDS: machine.ends,
            HOURLY: bill.hourly if bill else "",
            STATE: WHOLE,
        }
        Instances(aws, data[REGION]).tag(
            data[INSTANCE], {key: value for key, value in values.items() if value}
        )
        say(f"{data[INSTANCE]} in {data[REGION]}")
        return replace(machine, bill=bill)

    def admit(self, machine: Machine, ask: Ask, say: Say) -> None:
        data = machine.driver_data
        if GROUP not in data:
            return  # groups of the person's own
        aws = self._profiles.get(data[PROFILE])
        instance = Instances(aws, data[REGION]).get(data[INSTANCE])
        if instance is None or machine.address == instance.get("PrivateIpAddress"):
            return  # reached from inside, where no address of ours counts
        address, by = own_address(), identity(aws, data[REGION])
        group = Group(aws, self._store, data[REGION], instance["VpcId"])
        consent(group, address, by, ask)
        group.ensure(address, by)
        say(f"22 from {address}")

    def found(self, options: dict[str, str], say: Say) -> list[Found]:
        wanted = parse(options)
        aws = self._profiles.get(wanted.profile)
        home = region_of(aws, wanted.region or aws.default_region() or "us-east-1")
        regions = [Plan.of(options[PLAN]).region] if PLAN in options else [home]
        if wanted.region is None and PLAN not in options:
            listed = aws.call(home, "describe_regions")["Regions"]
            regions = sorted(str(region["RegionName"]) for region in listed)
        say(f"looking in {len(regions)} region{'' if len(regions) == 1 else 's'}")
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            lists = pool.map(lambda region: list(_in_region(aws, region)), regions)
            return [found for part in lists for found in part]

    def discard(self, found: Found, options: dict[str, str], say: Say) -> None:
        aws = self._profiles.get(options.get("profile"))
        match found.kind:
            case "machine":
                Instances(aws, found.place).terminate(found.id)
            case "disk":
                _delete(aws, found.place, "delete_volume", "InvalidVolume.NotFound", VolumeId=found.id)
            case "security group":
                vpc = found.name
                if not Group(aws, self._store, found.place, vpc).remove_if_unused(say):
                    raise MachineError(
                        f"{found.id} is in use: run the command again when its machines are gone"
                    )
        say(f"{found.id} removed")


def _bill(aws: Aws, plan: Plan, data: dict[str, str]) -> Bill | None:
    """At the price of what AWS gave: the order may have had others to fall back to."""
    given = [item for item in plan.candidates if (item.type, item.market) == (data[TYPE], data[MARKET])]
    hourly = aws_price.quote(aws, replace(plan, candidates=tuple(given[:1]))).hourly if given else None
    return None if hourly is None else Bill(hourly=f"{hourly:f}").running()


def _delete(aws: Aws, region: str, operation: str, gone: str, **request: str) -> None:
    try:
        aws.call(region, operation, expect=(gone,), **request)
    except Refused:
        return


def _in_region(aws: Aws, region: str) -> Iterator[Found]:
    ours = {"Name": "tag-key", "Values": [TAG]}
    now = datetime.now(UTC)
    used: set[str] = set()
    states = {"Name": "instance-state-name", "Values": [*_LIVING, "shutting-down"]}
    for reservation in aws.pages(region, "describe_instances", "Reservations", Filters=[ours, states]):
        for instance in reservation["Instances"]:
            used.update(group["GroupId"] for group in _groups(instance))
            if instance["State"]["Name"] != "shutting-down":
                yield _machine(instance, region, aws.profile, now)
    available = {"Name": "status", "Values": ["available", "error"]}
    for volume in aws.pages(region, "describe_volumes", "Volumes", Filters=[ours, available]):
        said = tags(volume)
        yield Found(
            kind="disk",
            id=volume["VolumeId"],
            place=region,
            name=said.get(NAME, ""),
            order=said[TAG],
            condition="unused",
            by=said.get(BY, ""),
            age=(now - volume["CreateTime"]).total_seconds(),
        )
    for group in aws.pages(region, "describe_security_groups", "SecurityGroups", Filters=[ours]):
        if tags(group)[TAG] == SHARED:
            yield Found(
                kind="security group",
                id=group["GroupId"],
                place=region,
                name=group["VpcId"],
                order="",
                condition="in use" if group["GroupId"] in used else "unused",
                by="",
                age=0.0,
            )


def _machine(instance: dict[str, Any], region: str, profile: str | None, now: datetime) -> Found:
    said = tags(instance)
    whole = said.get(STATE) == WHOLE
    public, private = instance.get("PublicIpAddress"), instance.get("PrivateIpAddress")
    made: datetime = instance["LaunchTime"]
    record = Machine(
        name=said.get(NAME, ""),
        driver="aws",
        address=str(public or private or ""),
        user=said.get(USER, ""),
        host_key=said.get(HOST_KEY, ""),
        agent=said.get(AGENT) or None,
        created=made.isoformat(timespec="seconds"),
        ends=said.get(ENDS, ""),
        # What it cost before it was last started is not known here.
        bill=Bill(hourly=said[HOURLY], since=made.isoformat(timespec="seconds")) if HOURLY in said else None,
        driver_data={
            REGION: region,
            PROFILE: profile or "",
            INSTANCE: instance["InstanceId"],
            TYPE: instance["InstanceType"],
            MARKET: "spot" if instance.get("InstanceLifecycle") == "spot" else "on demand",
        },
    )
    ours = [group["GroupId"] for group in _groups(instance) if group.get("GroupName") == "pymachine"]
    if ours:
        record = replace(record, driver_data={**record.driver_data, GROUP: ours[0]})
    plan = Plan.adopted(region, profile, instance["VpcId"], not ours, public is None, said.get(BY, ""))
    return Found(
        kind="machine",
        id=instance["InstanceId"],
        place=region,
        name=record.name,
        order=said[TAG],
        condition="whole" if whole else "half made",
        by=said.get(BY, ""),
        age=(now - made).total_seconds(),
        machine=record if whole else None,
        options={PLAN: plan.to_text()},
    )


def _groups(instance: dict[str, Any]) -> list[dict[str, Any]]:
    """Of all its interfaces: an instance with more than one does not show them itself."""
    return [
        *instance.get("SecurityGroups", ()),
        *(
            group
            for interface in instance.get("NetworkInterfaces", ())
            for group in interface.get("Groups", ())
        ),
    ]
