"""The security group that our machines of one VPC share: port 22, and only from where its owners are."""

from __future__ import annotations

import ipaddress
import os
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from machine.drivers.aws_api import Aws, Refused
from machine.drivers.aws_order import Plan
from machine.drivers.aws_tags import SHARED, TAG, tags
from machine.drivers.base import Ask, Say
from machine.errors import Conflict, Denied, MachineError, Unavailable
from machine.model.machine import Machine
from machine.store.store import Store

NAME: Final = "pymachine"
GROUP: Final = "group"  # key of the record's driver_data
# Says the address that a request comes from, as text; AWS's own.
_SERVICE: Final = "https://checkip.amazonaws.com"
_ENDING_SECONDS: Final = 180.0  # AWS takes half a minute to a minute
_ECHO_SECONDS: Final = 10.0
_PORT: Final = 22


def own_address() -> str:
    """The public address that we come from, as a range of one. PYMACHINE_ADDRESS_SERVICE: another URL to ask."""
    import urllib3

    url = os.environ.get("PYMACHINE_ADDRESS_SERVICE", _SERVICE)
    advice = "say it with -o ssh-from=ADDRESS/32"
    try:
        answer = urllib3.request("GET", url, timeout=urllib3.Timeout(10.0), retries=urllib3.Retry(2))
        return str(ipaddress.ip_network(answer.data.decode().strip()))
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable(
            f"{url} does not say which address you come from ({type(error).__name__}): {advice}"
        ) from error
    except ValueError as error:
        raise Unavailable(f"{url} did not answer with an address: {advice}") from error


class Group:
    """The group of one VPC; `store` has the lock by which parallel creates make it once."""

    def __init__(self, aws: Aws, store: Store, region: str, vpc: str) -> None:
        self._aws, self._store, self._region, self._vpc = aws, store, region, vpc

    def find(self) -> dict[str, Any] | None:
        """As DescribeSecurityGroups gives it. Conflict: somebody else's has the name."""
        filters = [{"Name": "vpc-id", "Values": [self._vpc]}, {"Name": "group-name", "Values": [NAME]}]
        found = list(
            self._aws.pages(self._region, "describe_security_groups", "SecurityGroups", Filters=filters)
        )
        if not found:
            return None
        if tags(found[0]).get(TAG) != SHARED:
            raise Conflict(
                f'{self._vpc} has a security group "{NAME}" ({found[0]["GroupId"]}) that pymachine did not make: '
                f"rename it, or name the groups to use with -o security-group=sg-..."
            )
        return found[0]

    def others(self, admitted: str, by: str) -> list[str]:
        """The addresses that it admits for `by`, if `admitted` is not among all that it admits."""
        group = self.find()
        if group is None:
            return []
        rules = _rules(group)
        return (
            [] if any(cidr == admitted for cidr, _ in rules) else [c for c, who in rules if who == _mark(by)]
        )

    def ensure(self, admitted: str, by: str) -> str:
        """Its ID. Afterwards it admits `admitted`, and nothing else for `by`."""
        with self._store.driver_lock("aws"):
            group = self.find()
            identifier = self._make() if group is None else str(group["GroupId"])
            rules = [] if group is None else _rules(group)
            if admitted not in (cidr for cidr, _ in rules):
                self._change("authorize_security_group_ingress", identifier, admitted, by)
            for cidr, who in rules:
                if who == _mark(by) and cidr != admitted:
                    self._change("revoke_security_group_ingress", identifier, cidr, by)
            return identifier

    def _make(self) -> str:
        try:
            answer = self._aws.call(
                self._region,
                "create_security_group",
                expect=("InvalidGroup.Duplicate",),
                GroupName=NAME,
                Description="Machines of pymachine: SSH from where their owners are",
                VpcId=self._vpc,
                TagSpecifications=[
                    {"ResourceType": "security-group", "Tags": [{"Key": TAG, "Value": SHARED}]}
                ],
            )
        except Refused as error:  # another laptop was faster
            group = self.find()
            if group is None:
                raise Unavailable(
                    f"the security group {NAME} comes and goes: run the command again"
                ) from error
            return str(group["GroupId"])
        return str(answer["GroupId"])

    def _change(self, operation: str, identifier: str, cidr: str, by: str) -> None:
        end = time.monotonic() + _ECHO_SECONDS
        while True:
            try:
                self._aws.call(
                    self._region,
                    operation,
                    expect=(
                        "InvalidPermission.Duplicate",
                        "InvalidPermission.NotFound",
                        "InvalidGroup.NotFound",
                    ),
                    GroupId=identifier,
                    IpPermissions=[_permission(cidr, by)],
                )
            except Refused as error:
                if error.code != "InvalidGroup.NotFound":
                    return  # as it should be already
                if time.monotonic() > end:
                    raise MachineError(
                        f"the security group {identifier} is gone again: run the command again"
                    ) from error
                time.sleep(1)  # it was made a moment ago, and is not known everywhere yet
            else:
                return

    def remove_if_unused(self, say: Say) -> bool:
        """Whether it is gone now. Waits for instances that AWS is still ending; one that lives keeps it."""
        end = time.monotonic() + _ENDING_SECONDS
        while True:
            with self._store.driver_lock("aws"):
                group = self.find()
                if group is None:
                    return True
                states = self._users(str(group["GroupId"]))
                if not states and self._delete(str(group["GroupId"])):
                    return True
            if states - {"shutting-down"} or time.monotonic() > end:
                return False
            say("waiting until AWS lets go of it")
            time.sleep(2)

    def _users(self, identifier: str) -> set[str]:
        filters = [
            {"Name": "instance.group-id", "Values": [identifier]},
            {
                "Name": "instance-state-name",
                "Values": ["pending", "running", "shutting-down", "stopping", "stopped"],
            },
        ]
        return {
            str(instance["State"]["Name"])
            for reservation in self._aws.pages(
                self._region, "describe_instances", "Reservations", Filters=filters
            )
            for instance in reservation["Instances"]
        }

    def _delete(self, identifier: str) -> bool:
        try:
            self._aws.call(
                self._region,
                "delete_security_group",
                expect=("DependencyViolation", "InvalidGroup.NotFound", "InvalidGroup.InUse"),
                GroupId=identifier,
            )
        except Refused as error:
            return error.code == "InvalidGroup.NotFound"
        return True


def consent(group: Group, admitted: str, by: str, ask: Ask) -> None:
    """Denied unless the group may come to admit `admitted` instead of what it admits for `by` now."""
    others = group.others(admitted, by)
    if others and not ask(
        f"You come from {admitted} now; port 22 of your machines is open to {', '.join(others)}. Change that?"
    ):
        raise Denied(
            f"port 22 of your machines is open to {', '.join(others)}, and you come from {admitted}. Change that with "
            f"--yes, or say who may come in:  -o ssh-from={admitted}"
        )


@dataclass(frozen=True)
class GroupStep:
    plan: Plan
    group: Group
    name: str = "security group"

    def describe(self) -> str:
        return f"open port 22 of group {NAME} in {self.plan.vpc} to {self.plan.admitted} alone; all machines share it"

    def execute(self, machine: Machine, say: Say) -> Machine:
        identifier = self.group.ensure(self.plan.admitted, self.plan.by)
        say(f"22 from {self.plan.admitted}")
        return replace(machine, driver_data={**machine.driver_data, GROUP: identifier})

    def undo(self, machine: Machine, say: Say) -> None:
        """It goes with its last machine."""
        try:
            gone = self.group.remove_if_unused(say)
        except Conflict:  # it is somebody else's: none of ours has been made
            return
        say("removed" if gone else "stays: other machines use it")


def _rules(group: dict[str, Any]) -> list[tuple[str, str]]:
    """(range, description) of all that may reach port 22."""
    return [
        (str(source.get("CidrIp") or source.get("CidrIpv6")), str(source.get("Description", "")))
        for permission in group["IpPermissions"]
        if permission.get("IpProtocol") == "tcp" and permission.get("FromPort") == _PORT
        for source in (*permission.get("IpRanges", ()), *permission.get("Ipv6Ranges", ()))
    ]


def _permission(cidr: str, by: str) -> dict[str, Any]:
    six = ipaddress.ip_network(cidr).version == 6
    ranges = [{"CidrIpv6" if six else "CidrIp": cidr, "Description": _mark(by)}]
    return {
        "IpProtocol": "tcp",
        "FromPort": _PORT,
        "ToPort": _PORT,
        "Ipv6Ranges" if six else "IpRanges": ranges,
    }


def _mark(by: str) -> str:
    """A rule's description: whose it is. Of the characters that AWS admits there (255 at most)."""
    admitted = "".join(
        c if c.isascii() and (c.isalnum() or c in " ._-:/()#,@[]+=&;{}!$*") else "_" for c in by
    )
    return f"pymachine {admitted}"[:255]
