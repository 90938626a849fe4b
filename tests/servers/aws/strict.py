"""moto's EC2 made as strict and as slow as AWS's: what it forgives there is refused, and states have their times.

- A client token stands for one request: the same one gives the same instance, another one IdempotentParameterMismatch.
- What has just been made is not seen for a moment.
- Instances are pending, shutting-down and stopping until their host is; addresses are the host's.
- Unknown images, types, key pairs and security groups are refused; a security group that is used is not deleted.
- A one-time spot instance is not stopped.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from moto.core.exceptions import ServiceException
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.models.instances import Instance

from tests.servers.aws.answers import ROOT_GB
from tests.servers.aws.control import UNSEEN_SECONDS, Control
from tests.servers.aws.hosts import Hosts


class Refused(ServiceException):
    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)
        self.code, self.message = code, message


class Strict:
    """Changes moto's classes, in this process, for good. `lock` is held around every call of moto's."""

    def __init__(self, hosts: Hosts, control: Control, lock: threading.RLock) -> None:
        self._hosts, self._control, self._lock = hosts, control, lock
        self._tokens: dict[tuple[str, str], tuple[str, Any]] = {}
        self._made: dict[str, float] = {}
        self._workers: dict[str, threading.Thread] = {}
        self._run = EC2Backend.run_instances
        self._delete_group = EC2Backend.delete_security_group
        self._start, self._stop, self._terminate = Instance.start, Instance.stop, Instance.terminate
        self._all, self._by_id = EC2Backend.all_reservations, EC2Backend.get_reservations_by_instance_ids

    def install(self) -> None:
        replaced: dict[str, Callable[..., Any]] = {
            "run_instances": self.run,
            "delete_security_group": self.delete_group,
            "get_reservations_by_instance_ids": self.by_id,
            "describe_instances": self.described,
        }
        self._described = EC2Backend.describe_instances
        for name, function in replaced.items():
            setattr(EC2Backend, name, _method(function))
        for name, method in (("start", self.start), ("stop", self.stop), ("terminate", self.terminate)):
            setattr(Instance, name, _method(method))
        whole: Any = Ami.__dict__["block_device_mappings"]

        def smaller(image: Ami) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = whole.fget(image)
            for mapping in found:
                mapping["Ebs"]["VolumeSize"] = ROOT_GB
            return found

        setattr(Ami, "block_device_mappings", property(smaller))  # noqa: B010 - mypy takes it for a method

    def run(
        self, backend: Any, image: str, count: int, user_data: Any, groups: list[str], **asked: Any
    ) -> Any:
        token = asked.get("client_token", "")
        print_of = hashlib.sha256(
            repr((image, count, str(user_data), groups, sorted(asked.items()))).encode()
        )
        known = self._tokens.get((backend.region_name, token))
        if known is not None:
            if known[0] != print_of.hexdigest():
                raise Refused(
                    "IdempotentParameterMismatch",
                    "The client token you have provided is associated with a resource with other parameters.",
                )
            return known[1]
        self._check(backend, asked)
        reservation = self._run(backend, image, count, user_data, groups, **asked)
        for instance in reservation.instances:
            instance.security_groups = [group for nic in instance.nics.values() for group in nic.group_set]
            self._made[instance.id] = time.monotonic()
            for nic in instance.nics.values():
                nic.public_ip = None
            self._become(instance, "pending", 0)
            self._work(instance, self._boot)
        if token != "ABCDE":  # moto's own, for requests without one
            self._tokens[backend.region_name, token] = (print_of.hexdigest(), reservation)
        return reservation

    def _check(self, backend: Any, asked: dict[str, Any]) -> None:
        if asked.get("key_name"):
            backend.describe_key_pairs(key_names=[asked["key_name"]])
        nics = asked.get("nics") or [{}]
        for group in nics[0].get("Groups") or []:
            if backend.get_security_group_from_id(group) is None:
                raise Refused("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
        zone = backend.get_subnet(nics[0]["SubnetId"]).availability_zone if nics[0].get("SubnetId") else ""
        market = "spot" if asked.get("instance_market_options") else "on demand"
        if code := self._control.refusal(market, asked["instance_type"], zone):
            raise Refused(code, f"We currently do not have sufficient {asked['instance_type']} in {zone}.")

    def described(self, backend: Any, filters: Any = None) -> Any:
        self._refresh(backend)
        found = self._described(backend, filters)
        for reservation in found:
            reservation.instances = [item for item in reservation.instances if self._seen(item.id)]
        return [reservation for reservation in found if reservation.instances]

    def by_id(self, backend: Any, instance_ids: list[str], filters: Any = None) -> Any:
        self._refresh(backend)
        for identifier in instance_ids:
            if not self._seen(identifier):
                raise Refused("InvalidInstanceID.NotFound", f"The instance ID '{identifier}' does not exist")
        return self._by_id(backend, instance_ids, filters)

    def _seen(self, identifier: str) -> bool:
        return time.monotonic() > self._made.get(identifier, 0) + UNSEEN_SECONDS

    def alive(self) -> list[str]:
        """The instances whose hosts run at this moment, whatever is said of them."""
        every = [
            item
            for regions in ec2_backends.values()
            for region in regions.values()
            for item in region.all_instances()
        ]
        return [item.id for item in every if item.state == "running" and self._hosts.running(item.id)]

    def show(self) -> None:
        """What was made is seen from now on."""
        self._made.clear()

    def _refresh(self, backend: Any) -> None:
        """A host that has powered itself off is stopped, or ended."""
        for instance in backend.all_instances():
            if instance.state == "running" and not self._hosts.running(instance.id):
                if instance.instance_initiated_shutdown_behavior == "terminate":
                    self.terminate(instance)
                else:
                    self.stop(instance)

    def delete_group(self, backend: Any, name: str | None = None, group_id: str | None = None) -> Any:
        for instance in backend.all_instances():
            if instance.state != "terminated" and group_id in [
                group.id for group in instance.security_groups
            ]:
                raise Refused("DependencyViolation", f"resource {group_id} has a dependent object")
        return self._delete_group(backend, name, group_id)

    def start(self, instance: Instance) -> Any:
        before = _state(instance)
        if before.name == "stopped":
            self._become(instance, "pending", 0)
            self._work(instance, self._boot)
        elif before.name not in ("running", "pending"):
            raise Refused(
                "IncorrectInstanceState", f"The instance '{instance.id}' is not in a state to be started."
            )
        return before

    def stop(self, instance: Instance) -> Any:
        if instance.lifecycle == "spot":
            raise Refused("UnsupportedOperation", f"You can't stop the Spot Instance '{instance.id}'.")
        before = _state(instance)
        if before.name in ("running", "pending"):
            self._become(instance, "stopping", 64)
            self._work(instance, self._halt)
        elif before.name not in ("stopped", "stopping"):
            raise Refused(
                "IncorrectInstanceState", f"The instance '{instance.id}' is not in a state to be stopped."
            )
        return before

    def terminate(self, instance: Instance) -> Any:
        before = _state(instance)
        if before.name not in ("shutting-down", "terminated"):
            self._become(instance, "shutting-down", 32)
            self._work(instance, self._end)
        return before

    def wait(self) -> None:
        """Until nothing changes any more."""
        while workers := [worker for worker in self._workers.values() if worker.is_alive()]:
            workers[0].join()

    def _work(self, instance: Instance, job: Callable[[Instance], None]) -> None:
        """In a thread, after what is going on with this instance has ended."""
        before = self._workers.get(instance.id)

        def work() -> None:
            if before is not None:
                before.join()
            try:
                job(instance)
            except Exception:
                traceback.print_exc()

        self._workers[instance.id] = worker = threading.Thread(target=work)
        worker.start()

    def _boot(self, instance: Instance) -> None:
        if instance.state != "pending":
            return
        address = self._hosts.boot(instance.id, base64.b64decode(str(instance.user_data or "")))
        with self._lock:
            if instance.state == "pending":
                self._start(instance)
                private = not instance.nics[0].public_ip_auto_assign
                if private:
                    instance.nics[0].private_ip_addresses[0]["PrivateIpAddress"] = address
                instance.nics[0].public_ip = None if private else address
                self._become(instance, "running", 16)

    def _halt(self, instance: Instance) -> None:
        self._hosts.halt(instance.id)
        with self._lock:
            if instance.state == "stopping":
                self._stop(instance)
                instance.nics[0].public_ip = None

    def _end(self, instance: Instance) -> None:
        self._hosts.remove(instance.id)
        with self._lock:
            self._terminate(instance)

    def _become(self, instance: Instance, name: str, code: int) -> None:
        instance._state.name, instance._state.code = name, code


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function, which a class makes a method of; a bound method would stay bound."""

    def method(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return method


def _state(instance: Instance) -> Any:
    return type(instance._state)(instance.state, instance.state_code)


def everything() -> list[dict[str, Any]]:
    """All that costs or holds a name, in all regions: what a test counts after gc."""
    found: list[dict[str, Any]] = []
    for regions in ec2_backends.values():
        for region, backend in list(regions.items()):
            for instance in backend.all_instances():
                if instance.state != "terminated":
                    found.append(
                        {"kind": "instance", "id": instance.id, "state": instance.state, "region": region}
                    )
            found += [
                {"kind": "volume", "id": volume.id, "state": volume.status, "region": region}
                for volume in backend.volumes.values()
                if volume.status == "available"
            ]
            found += [
                {"kind": "group", "id": group.id, "state": "", "region": region}
                for groups in backend.groups.values()
                for group in groups.values()
                if group.name != "default"
            ]
    return found
