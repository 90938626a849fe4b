"""The `aws` driver: EC2 instances, by boto3.

    aws_options   what an order may say           aws_order     what will be tried, looked up before anything is made
    aws_images    where images come from          aws_group     the security group, and our address
    aws_instance  run, resume, end                aws_account   what is ours, by tags alone; prices in aws_price
    aws_api       calls, and what refusals mean   aws_tags      the tags

Credentials are AWS's own chain's. A machine is one instance, whose disk and interface end with it, and a security group
that all machines of a VPC share.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from cloud_init.render import packages
from machine.drivers import aws_options, aws_order
from machine.drivers.aws_account import PLAN, AwsAccount
from machine.drivers.aws_api import Profiles, Refused
from machine.drivers.aws_group import Group, GroupStep, consent, own_address
from machine.drivers.aws_instance import (
    INSTANCE,
    MARKET,
    PROFILE,
    REGION,
    Instances,
    InstanceStep,
    request,
    why_ended,
)
from machine.drivers.aws_order import Plan
from machine.drivers.base import Abilities, Ask, Order, Say, State, Step
from machine.errors import MachineError, Spoiled, Unsupported
from machine.model.machine import Machine
from machine.store.store import Store

_CONSOLE_LINES: Final = 8
_STATES: Final[dict[str, State]] = {
    "pending": "running",
    "running": "running",
    "stopping": "stopped",
    "stopped": "stopped",
}
# Seconds that EC2 may need beyond what the host itself takes.
_POWER_SECONDS: Final = 300.0
_CHECK_SECONDS: Final = 5.0


def driver(store: Store) -> AwsDriver:
    return AwsDriver(store)


class AwsDriver:
    name = "aws"
    abilities = Abilities(
        makes_hosts=True, stop=True, address_survives_stop=False, costs_money=True, ends_itself=True
    )
    options = aws_options.OPTIONS

    def __init__(self, store: Store) -> None:
        self._store = store
        self._checked = 0.0
        self._profiles = Profiles()
        self.account = AwsAccount(store, self._profiles)

    def check_access(self) -> None:
        """Whether AWS lets us in is found out by asking it: see `settle`."""

    def check_order(self, options: dict[str, str]) -> None:
        aws_options.parse(options)

    def settle(self, options: dict[str, str], ask: Ask) -> dict[str, str]:
        wanted = aws_options.parse(options)
        aws = self._profiles.get(wanted.profile)
        region = aws_order.region_of(aws, wanted.region)
        by = aws_order.identity(aws, region)
        admitted = wanted.ssh_from or ("" if wanted.private or wanted.groups else own_address())
        plan = aws_order.settle(aws, wanted, region, by, admitted)
        if not plan.groups:
            consent(Group(aws, self._store, region, plan.vpc), plan.admitted, by, ask)
        aws_order.rehearse(aws, plan, request(plan, plan.candidates[0], "rehearsal", "rehearsal", None))
        return {**options, PLAN: plan.to_text()}

    def prepare(self, say: Say) -> tuple[str, str]:
        raise Unsupported("what a host in AWS needs is known when it is there: nothing is prepared")

    def user(self) -> str:
        return "pymachine"

    def packages(self) -> tuple[str, ...]:
        return packages("cloud")

    def steps(self, order: Order) -> tuple[Step, ...]:
        if PLAN not in order.options:
            return ()  # cut off before anything was settled: nothing was made
        plan = Plan.of(order.options[PLAN])
        aws = self._profiles.get(plan.profile)
        group = Group(aws, self._store, plan.region, plan.vpc)
        instance = InstanceStep(aws, self._store, order, plan, group)
        return (instance,) if plan.groups else (GroupStep(plan, group), instance)

    def start(self, machine: Machine, say: Say) -> Machine:
        instances, identifier = self._instance(machine)
        found = instances.get(identifier)
        if found is not None and found["State"]["Name"] == "stopping":
            instances.wait(identifier, "stopped", say, _POWER_SECONDS)
        self._power(machine, "start_instances")
        found = instances.wait(identifier, "running", say, _POWER_SECONDS)
        if found["State"]["Name"] != "running":
            raise MachineError(
                f"{machine.name} has come to its end: {why_ended(found)}.  pymachine rm {machine.name}"
            )
        inside = "PublicIpAddress" not in found
        return replace(machine, address=str(found["PrivateIpAddress" if inside else "PublicIpAddress"]))

    def stop(self, machine: Machine, say: Say, *, patience: float) -> None:
        if machine.driver_data.get(MARKET) == "spot":
            raise Unsupported(
                f"{machine.name} is a spot instance, which AWS does not stop for later: remove it (pymachine rm "
                f"{machine.name}), or create one without -o spot=true"
            )
        instances, identifier = self._instance(machine)
        self._power(machine, "stop_instances")
        instances.wait(identifier, "stopped", say, patience + _POWER_SECONDS)

    def state(self, machine: Machine) -> State:
        if INSTANCE not in machine.driver_data:
            return "absent"
        instances, identifier = self._instance(machine)
        found = instances.get(identifier)
        return "absent" if found is None else _STATES.get(found["State"]["Name"], "absent")

    def check_booting(self, machine: Machine) -> None:
        if time.monotonic() < self._checked + _CHECK_SECONDS:
            return  # AWS counts calls
        self._checked = time.monotonic()
        instances, identifier = self._instance(machine)
        found = instances.get(identifier)
        if found is not None and found["State"]["Name"] in (
            "shutting-down",
            "terminated",
            "stopping",
            "stopped",
        ):
            raise Spoiled(f"{machine.name} has ended while it was booting: {why_ended(found)}", "instance")

    def console(self, machine: Machine) -> str:
        data = machine.driver_data
        try:
            answer = self._profiles.get(data[PROFILE]).call(
                data[REGION],
                "get_console_output",
                expect=("UnsupportedOperation", "InvalidInstanceID.NotFound"),
                InstanceId=data[INSTANCE],
            )
        except (Refused, MachineError):
            return ""  # it only adds to an error that is on its way
        lines = [line.strip() for line in str(answer.get("Output", "")).splitlines() if line.strip()]
        return "\n".join(lines[-_CONSOLE_LINES:])

    def _instance(self, machine: Machine) -> tuple[Instances, str]:
        data = machine.driver_data
        return Instances(self._profiles.get(data[PROFILE]), data[REGION]), data[INSTANCE]

    def _power(self, machine: Machine, operation: str) -> None:
        data = machine.driver_data
        try:
            self._profiles.get(data[PROFILE]).call(
                data[REGION],
                operation,
                expect=("InvalidInstanceID.NotFound", "IncorrectInstanceState"),
                InstanceIds=[data[INSTANCE]],
            )
        except Refused as error:
            raise MachineError(
                f"{machine.name} ({data[INSTANCE]}) has come to its end in AWS: what is left here is its record.  "
                f"pymachine rm {machine.name}"
            ) from error
