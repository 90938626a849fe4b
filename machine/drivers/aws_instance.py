"""One instance: what is asked of AWS, what to try next when it refuses, and how it is ended."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from cloud_init.render import combine, render
from machine.drivers.aws_api import Aws, Refused
from machine.drivers.aws_group import GROUP, Group
from machine.drivers.aws_order import Candidate, Plan
from machine.drivers.aws_tags import BY, MAKING, NAME, STATE, TAG, as_list, specifications
from machine.drivers.base import Order, Say
from machine.errors import MachineError, Unavailable, Usage
from machine.model.machine import Machine
from machine.store.store import Store

# Keys of the record's driver_data. Each launch is on record before it is asked for: with its client token, AWS gives
# whoever asks again the same instance.
INSTANCE: Final = "instance"
REGION: Final = "region"
PROFILE: Final = "profile"
TYPE: Final = "type"
MARKET: Final = "market"
_ROUND: Final = "round"  # begun anew when what a round had made came to its end
_ATTEMPT: Final = "attempt"  # of the round: the number of its candidate

# AWS has no room, or this account no quota, for that type, zone or market: others may do.
_NO_ROOM: Final = (
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientCapacity",
    "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "SpotMaxPriceTooLow",
    "Unsupported",
    "VcpuLimitExceeded",
)
_NO_GROUP: Final = ("InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound")
_OTHERWISE: Final = "IdempotentParameterMismatch"
_USER_DATA: Final = 16384  # bytes that EC2 takes
_BOOT_SECONDS: Final = 300.0
_LIVING: Final = ("pending", "running", "stopping", "stopped")
_PAUSE: Final = 1.0
_ECHO_SECONDS: Final = 5.0  # until AWS shows what it was just asked for


def user_data(order: Order, plan: Plan) -> bytes:
    """The same bytes for the same order: a client token stands for one request. Usage: too large for EC2."""
    ours = render(order.spec())
    data = (combine(ours, plan.user_data) if plan.user_data else ours).encode()
    if len(data) > _USER_DATA:
        data = gzip.compress(data, mtime=0)  # cloud-init unpacks it
    if len(data) > _USER_DATA:
        raise Usage(
            f"user-data may have {_USER_DATA} bytes, compressed; here it has {len(data)}: make yours smaller"
        )
    return data


def request(
    plan: Plan, candidate: Candidate, name: str, order_id: str, group: str | None, *, ends: bool = False
) -> dict[str, Any]:
    """What RunInstances is asked for, but for token and user-data. `ends`: by powering off, disk and all."""
    tags = {NAME: name, TAG: order_id, STATE: MAKING, BY: plan.by, **plan.tags}
    disk: dict[str, Any] = {
        "VolumeSize": plan.disk_size,
        "VolumeType": plan.disk_type,
        "DeleteOnTermination": True,
    }
    if plan.encrypted:  # not said otherwise: the account's default may be to encrypt
        disk["Encrypted"] = True
    if plan.kms_key:
        disk["KmsKeyId"] = plan.kms_key
    interface: dict[str, Any] = {
        "DeviceIndex": 0,
        "SubnetId": candidate.subnet,
        "AssociatePublicIpAddress": not plan.private,
        "DeleteOnTermination": True,
    }
    if groups := plan.groups or ((group,) if group else ()):
        interface["Groups"] = list(groups)
    asked: dict[str, Any] = {
        "ImageId": candidate.image,
        "InstanceType": candidate.type,
        "MinCount": 1,
        "MaxCount": 1,
        "NetworkInterfaces": [interface],
        "BlockDeviceMappings": [{"DeviceName": candidate.root_device, "Ebs": disk}],
        # No session token, no metadata; and none through a bridge: a container is one hop further away.
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled",
        },
    }
    kinds = ["instance", "volume", "network-interface"]
    if candidate.market == "spot":
        asked["InstanceMarketOptions"] = {
            "MarketType": "spot",
            "SpotOptions": {"SpotInstanceType": "one-time"},
        }
        kinds.append("spot-instances-request")
    else:
        asked["InstanceInitiatedShutdownBehavior"] = "terminate" if ends else "stop"  # spot ones always end
    if plan.role:
        asked["IamInstanceProfile"] = {"Name": plan.role}
    if plan.key_name:
        asked["KeyName"] = plan.key_name
    return {**asked, "TagSpecifications": specifications(tags, *kinds)}


class Instances:
    """The instances of one region."""

    def __init__(self, aws: Aws, region: str) -> None:
        self._aws, self.region = aws, region

    def get(self, identifier: str) -> dict[str, Any] | None:
        """As DescribeInstances gives it; None when AWS does not know it (any more, or yet)."""
        try:
            answer = self._aws.call(
                self.region,
                "describe_instances",
                expect=("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"),
                InstanceIds=[identifier],
            )
        except Refused:
            return None
        return next(iter(_instances(answer["Reservations"])), None)

    def of_order(self, order_id: str) -> list[dict[str, Any]]:
        """Those that live and carry the order's tag."""
        filters = [
            {"Name": f"tag:{TAG}", "Values": [order_id]},
            {"Name": "instance-state-name", "Values": list(_LIVING)},
        ]
        return list(
            _instances(self._aws.pages(self.region, "describe_instances", "Reservations", Filters=filters))
        )

    def tag(self, identifier: str, values: dict[str, str]) -> None:
        self._aws.call(self.region, "create_tags", Resources=[identifier], Tags=as_list(values))

    def terminate(self, identifier: str) -> None:
        """From here on it costs nothing. One that AWS does not know is no error."""
        try:
            self._aws.call(
                self.region,
                "terminate_instances",
                expect=("InvalidInstanceID.NotFound", "OperationNotPermitted"),
                InstanceIds=[identifier],
            )
        except Refused as error:
            if error.code == "OperationNotPermitted":
                raise MachineError(
                    f"{identifier} is protected from termination: take that away first (aws ec2 "
                    f"modify-instance-attribute --region {self.region} --instance-id {identifier} "
                    "--no-disable-api-termination), then run the command again"
                ) from error

    def wait(self, identifier: str, wanted: str, say: Say, seconds: float) -> dict[str, Any]:
        """The instance when it is `wanted` ("running", "stopped"); one that has come to its end is given as it is."""
        end = time.monotonic() + seconds
        while True:
            found = self.get(identifier)  # for a moment AWS may not know what it has just made
            state = found["State"]["Name"] if found else "pending"
            if found and state in (wanted, "terminated", "shutting-down"):
                return found
            if time.monotonic() > end:
                raise Unavailable(f"{identifier} is still {state} after {seconds:g} s: run the command again")
            say(f"{state} ({identifier})")
            time.sleep(_PAUSE)


def address_of(instance: dict[str, Any], plan_private: bool) -> str:
    return str(instance.get("PrivateIpAddress" if plan_private else "PublicIpAddress") or "")


def _ended(instance: dict[str, Any]) -> bool:
    return instance["State"]["Name"] in ("terminated", "shutting-down")


def why_ended(instance: dict[str, Any]) -> str:
    return str(instance.get("StateReason", {}).get("Message", "")) or "AWS does not say why"


@dataclass(frozen=True)
class InstanceStep:
    aws: Aws
    store: Store
    order: Order
    plan: Plan
    group: Group
    name: str = "instance"

    def describe(self) -> str:
        plan = self.plan
        if not plan.candidates:
            return f"an instance in {plan.region} that others had made"
        disk = f"{plan.disk_size} GB {plan.disk_type}"
        return f"run {plan.candidates[0]} with {plan.image} and {disk}, tagged from the start"

    def execute(self, machine: Machine, say: Say) -> Machine:
        refusals: list[str] = []
        machine = self._recorded(machine, {REGION: self.plan.region, PROFILE: self.plan.profile or ""})
        while True:
            machine, instance = self._obtain(machine, refusals, say)
            instance = self._instances.wait(instance["InstanceId"], "running", say, _BOOT_SECONDS)
            if instance["State"]["Name"] == "running":
                break
            machine = self._next(machine, instance, refusals)
        address = address_of(instance, self.plan.private)
        if not address:
            raise MachineError(
                f"{instance['InstanceId']} got no {'private' if self.plan.private else 'public'} address: choose "
                "another subnet, or -o private=true"
            )
        spot = " spot" if instance.get("InstanceLifecycle") == "spot" else ""
        say(f"{address}   {instance['InstanceType']}{spot}, {instance['Placement']['AvailabilityZone']}")
        return replace(machine, address=address)

    def undo(self, machine: Machine, say: Say) -> None:
        data = machine.driver_data
        known = {data[INSTANCE]} if INSTANCE in data else set()
        known |= {found["InstanceId"] for found in self._instances.of_order(self.order.id)}
        if not known and _ATTEMPT in data:
            # It may have been asked for in our last moment, and not be seen yet.
            end = time.monotonic() + _ECHO_SECONDS
            while not known and time.monotonic() < end:
                time.sleep(_PAUSE)
                known = {found["InstanceId"] for found in self._instances.of_order(self.order.id)}
        for identifier in sorted(known):
            self._instances.terminate(identifier)
            say(f"{identifier} removed")

    @property
    def _instances(self) -> Instances:
        return Instances(self.aws, self.plan.region)

    def _obtain(self, machine: Machine, refusals: list[str], say: Say) -> tuple[Machine, dict[str, Any]]:
        """The instance of this order: the one that there is, or the first that AWS has room for.

        One that AWS does not show (yet, or any more) is asked for again by its token: what comes back is the same one.
        """
        data = machine.driver_data
        found = self._instances.get(data[INSTANCE]) if INSTANCE in data else None
        if found is not None:
            if not _ended(found):
                return machine, found
            machine = self._begin_anew(machine)
        attempt = int(machine.driver_data.get(_ATTEMPT, "0"))
        for number in range(attempt, len(self.plan.candidates)):
            machine = self._recorded(machine, {_ATTEMPT: str(number)})
            candidate = self.plan.candidates[number]
            say(f"asking for {candidate}")
            try:
                instance = self._run(machine, candidate)
            except Refused as error:
                refusals.append(f"{candidate}: {error} ({error.code})")
                continue
            if _ended(instance):
                return self._obtain(self._begin_anew(machine), refusals, say)
            return self._keep(machine, instance), instance
        # The next create has to try all of them.
        self._recorded(machine, {_ATTEMPT: "0"})
        raise MachineError(
            "AWS gave no instance. Choose another type, zone or region, or ask AWS for a higher quota. It said:\n  "
            + "\n  ".join(refusals)
        )

    def _run(self, machine: Machine, candidate: Candidate) -> dict[str, Any]:
        """Refused: no room."""
        data = machine.driver_data
        token = f"{self.order.id}-{data.get(_ROUND, '0')}-{data[_ATTEMPT]}"
        group = data.get(GROUP)
        for last in (False, False, True):
            try:
                answer = self.aws.call(
                    self.plan.region,
                    "run_instances",
                    expect=(*_NO_ROOM, *(() if last else _NO_GROUP), _OTHERWISE),
                    ClientToken=token,
                    UserData=user_data(self.order, self.plan),
                    **request(
                        self.plan, candidate, machine.name, self.order.id, group, ends=bool(self.order.ends)
                    ),
                )
                instance: dict[str, Any] = answer["Instances"][0]
                return instance
            except Refused as error:
                if error.code == _OTHERWISE:
                    # Another release of pymachine asked for it in other words.
                    if found := self._instances.of_order(self.order.id):
                        return found[0]
                    raise MachineError(
                        f"{machine.name} was begun by another release of pymachine: undo it (pymachine rm "
                        f"{machine.name}), then create it anew"
                    ) from error
                if error.code not in _NO_GROUP or self.plan.groups:
                    raise
                # The last machine that used it was removed at this moment, and the group with it.
                group = self.group.ensure(self.plan.admitted, self.plan.by)
        raise AssertionError("the last round returns or raises")

    def _keep(self, machine: Machine, instance: dict[str, Any]) -> Machine:
        market = "spot" if instance.get("InstanceLifecycle") == "spot" else "on demand"
        return self._recorded(
            machine,
            {INSTANCE: instance["InstanceId"], TYPE: instance["InstanceType"], MARKET: market},
        )

    def _next(self, machine: Machine, instance: dict[str, Any], refusals: list[str]) -> Machine:
        """After one that ended while it began: the next candidate when AWS had no room, else the reason is raised."""
        code = str(instance.get("StateReason", {}).get("Code", ""))
        refusals.append(f"{instance['InstanceType']}: {why_ended(instance)}")
        if "Capacity" not in code and "Spot" not in code:
            raise MachineError(f"AWS ended the instance while it began: {why_ended(instance)}")
        attempt = int(machine.driver_data.get(_ATTEMPT, "0")) + 1
        if attempt >= len(self.plan.candidates):
            raise MachineError("AWS gave no instance. It said:\n  " + "\n  ".join(refusals))
        data = {key: value for key, value in machine.driver_data.items() if key != INSTANCE}
        machine = replace(machine, driver_data={**data, _ATTEMPT: str(attempt)})
        self.store.save(machine)
        return machine

    def _begin_anew(self, machine: Machine) -> Machine:
        data = {key: value for key, value in machine.driver_data.items() if key != INSTANCE}
        number = int(data.get(_ROUND, "0")) + 1
        machine = replace(machine, driver_data={**data, _ROUND: str(number), _ATTEMPT: "0"})
        self.store.save(machine)
        return machine

    def _recorded(self, machine: Machine, data: dict[str, str]) -> Machine:
        machine = replace(machine, driver_data={**machine.driver_data, **data})
        self.store.save(machine)
        return machine


def _instances(reservations: Any) -> Iterator[dict[str, Any]]:
    for reservation in reservations:
        yield from reservation["Instances"]
