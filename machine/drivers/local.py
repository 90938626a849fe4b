"""The `local` driver: a host on this very laptop, which an SSH provisioner cannot tell from a small cloud VM.

It is a system container of our own runtime: systemd as PID 1, cloud-init, sshd, an address on a bridge with
NAT. It is a tool to develop and test with; whoever is root in it is kept from the laptop by namespaces and a
device list, not by a hypervisor.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from machine.drivers import local_rootfs
from machine.drivers.base import Abilities, Ask, Order, Say, State, Step
from machine.drivers.local_bundle import HostBundle, hierarchies
from machine.drivers.local_files import resolver, write_network, write_seed
from machine.drivers.local_network import Bridge, choose_address
from machine.drivers.local_runtime import POWEROFF, Runtime
from machine.errors import MachineError, Spoiled, Unsupported, Usage
from machine.model.machine import Machine
from machine.model.namespace import find_network_namespace, network_namespace
from machine.store.files import write_atomically
from machine.store.store import Store

_TOOLS: Final = {
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nft": "nftables",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
# By which mmdebstrap verifies what it fetches.
_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Bytes that a host without images needs: its logs, the agent, and room to work.
_ROOM: Final = 200_000_000
# Below this systemd does not come up.
_FULL: Final = 1_000_000
_CONSOLE_LINES: Final = 8
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def driver(store: Store) -> LocalDriver:
    return LocalDriver(store)


class LocalDriver:
    name = "local"
    abilities = Abilities(
        makes_hosts=True, stop=True, address_survives_stop=True, costs_money=False, ends_itself=False
    )
    options: Final[Mapping[str, str]] = {}
    account = None

    def __init__(self, store: Store) -> None:
        self._store = store
        tag = hashlib.sha256(os.fsencode(store.directory.absolute())).hexdigest()[:8]
        self._bridge = Bridge(tag)

    def check_access(self) -> None:
        if sys.platform != "linux":
            raise Unsupported(
                "the local driver needs Linux: run pymachine in a Linux VM, or make a machine in a cloud instead"
            )
        if os.geteuid() != 0:
            raise Unsupported(
                "the local driver needs root, for namespaces and a bridge: run pymachine as root (sudo pymachine …)"
            )

    def check_order(self, options: dict[str, str]) -> None:
        if options:
            raise Usage(f"the local driver has no option {', '.join(sorted(options))}")
        missing = {package for tool, package in _TOOLS.items() if shutil.which(tool) is None}
        if not _KEYRING.exists():
            missing.add("debian-archive-keyring")
        if missing:
            raise Unsupported(f"`create local` needs tools: apt install {' '.join(sorted(missing))}")
        place = _existing(self._store.directory)
        free = shutil.disk_usage(place).free
        if free < _ROOM:
            raise Unsupported(
                f"only {free // 1_000_000} MB are free in {place}, a local machine needs {_ROOM // 1_000_000}: "
                "make room, or set PYMACHINE_HOME to a folder on another disk"
            )
        if _file_system(place) == "overlay":
            raise Unsupported(
                f"{self._store.directory} is on an overlay file system, which cannot carry another one: "
                "set PYMACHINE_HOME to a folder on a real disk or volume"
            )

    def settle(self, options: dict[str, str], ask: Ask) -> dict[str, str]:
        return options

    def prepare(self, say: Say) -> tuple[str, str]:
        self.check_order({})
        local_rootfs.ensure(say)
        return local_rootfs.PYTHON, platform.machine()

    def user(self) -> str:
        return "pymachine"

    def packages(self) -> tuple[str, ...]:
        return ()  # they are in the root filesystem

    def steps(self, order: Order) -> tuple[Step, ...]:
        return _RootFilesystem(), _Host(self, order)

    def state(self, machine: Machine) -> State:
        host = self.host(machine.name)
        if not host.directory.is_dir():
            return "absent"
        return "running" if host.runtime.running() else "stopped"

    def start(self, machine: Machine, say: Say) -> Machine:
        host = self.host(machine.name)
        if host.runtime.running():
            return machine
        with host.runtime.exclusive():
            return self.boot(machine, host)

    def stop(self, machine: Machine, say: Say, *, patience: float) -> None:
        host = self.host(machine.name)
        if host.runtime.running() and not host.runtime.stop(POWEROFF, patience):
            say(f"did not stop within {patience:g} s: killed")
        with host.runtime.exclusive():
            self.halt(machine, host)

    def check_booting(self, machine: Machine) -> None:
        name, host = machine.name, self.host(machine.name)
        if not host.runtime.running():
            console = self.console(machine)
            raise Spoiled(
                f"{name} has ended while it was booting."
                + (f" Its console ends with:\n{console}" if console else ""),
                _step_name(name),
            )
        files = os.statvfs(host.directory)
        if files.f_bfree * files.f_frsize < _FULL:
            raise Spoiled(
                f"the disk of {host.directory} is full, so {name} cannot boot: make room, then try again",
                _step_name(name),
            )
        network = machine.driver_data.get("network", "")
        if network not in ("", network_namespace()):
            place = find_network_namespace(network) or network
            raise Spoiled(
                f"{name} runs in another network namespace, {place}, and cannot be reached from here: "
                f"go there (nsenter --net={place} pymachine …), or:  pymachine stop {name}"
            )

    def console(self, machine: Machine) -> str:
        try:
            text = (self.host(machine.name).directory / "console.log").read_bytes().decode(errors="replace")
        except OSError:
            return ""
        lines = [_ESCAPES.sub("", line).strip() for line in text.splitlines()]
        return "\n".join([line for line in lines if line][-_CONSOLE_LINES:])

    def host(self, name: str) -> Host:
        directory = self._store.entry(name).directory / "local"
        identity = f"{name}-{self._bridge.tag}"
        return Host(
            directory, identity, Runtime(f"pymachine-{identity}", directory / "run", directory / "bundle")
        )

    def boot(self, machine: Machine, host: Host) -> Machine:
        """From files to a running host; what was running under this name before is gone first.

        The caller holds the runtime, here and in `halt`.
        """
        lower = Path(machine.driver_data["rootfs"])
        if not lower.is_dir():
            raise MachineError(f"{lower} is gone, and it is the base of {machine.name}'s disk: restore it")
        self.halt(machine, host)
        with self._store.driver_lock(self.name):
            gateway = self._bridge.up(machine.driver_data.get("subnet"))
            address = choose_address(gateway, self._taken(machine.name), machine.address)
            # On record before the lock is left: the next one to look for an address sees it.
            data = {
                **machine.driver_data,
                "subnet": str(gateway.network),
                "network": network_namespace(),
            }
            machine = replace(machine, address=address, driver_data=data)
            self._store.save(machine)
        write_network(host.upper, address, gateway, resolver())
        write_atomically(host.runtime.bundle / "config.json", host.bundle(machine.name, lower).config())
        pid = host.runtime.create(host.directory / "console.log")
        with self._store.driver_lock(self.name):
            # The last of the others may have gone meanwhile, and the bridge with it.
            found = self._bridge.up(machine.driver_data.get("subnet"))
            if found == gateway:
                self._bridge.attach(host.port, pid, address)
        if found != gateway:
            return self.boot(machine, host)  # and another home has taken its subnet: a new address is needed
        host.runtime.start()
        return machine

    def halt(self, machine: Machine, host: Host) -> None:
        """No process, cgroup or interface of the host is left, wherever it was started; the files stay."""
        host.runtime.delete()
        bridge = self._bridge
        network = machine.driver_data.get("network", "")
        if network not in ("", network_namespace()):
            inside = find_network_namespace(network)
            if inside is None:
                return  # gone, with all that was in it
            bridge = replace(bridge, inside=inside)
        with self._store.driver_lock(self.name):
            bridge.detach(host.port)
            bridge.down_if_unused()

    def _taken(self, name: str) -> list[str]:
        others = (summary.machine for summary in self._store.list() if summary.name != name)
        return [other.address for other in others if other is not None and other.driver == self.name]


@dataclass(frozen=True)
class Host:
    """The files of one local host, and what runs it."""

    directory: Path
    identity: str
    runtime: Runtime

    @property
    def upper(self) -> Path:
        return self.directory / "upper"

    @property
    def port(self) -> str:
        """Name of the laptop's end of its cable (IFNAMSIZ allows 15)."""
        return "pyv-" + hashlib.sha256(self.identity.encode()).hexdigest()[:8]

    def make_folders(self) -> None:
        for name in ("upper", "work", "data", "bundle/rootfs", "run"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        # It becomes the host's "/", which everybody there must be able to enter.
        self.upper.chmod(0o755)

    def bundle(self, hostname: str, lower: Path) -> HostBundle:
        return HostBundle(
            hostname=hostname,
            lower=lower,
            upper=self.upper,
            work=self.directory / "work",
            data=self.directory / "data",
            cgroup=f"/{self.runtime.name}",
            hierarchies=hierarchies(
                Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()
            ),
        )


@dataclass(frozen=True)
class _RootFilesystem:
    name: str = f"root filesystem {local_rootfs.RELEASE}"

    def describe(self) -> str:
        return f"use {local_rootfs.path()}, built by mmdebstrap when it is not there"

    def execute(self, machine: Machine, say: Say) -> Machine:
        data = {**machine.driver_data, "rootfs": str(local_rootfs.ensure(say))}
        return replace(machine, driver_data=data)

    def undo(self, machine: Machine, say: Say) -> None:
        """Nothing: it is shared, and stays in the cache."""


@dataclass(frozen=True)
class _Host:
    driver: LocalDriver
    order: Order

    @property
    def name(self) -> str:
        return _step_name(self.order.name)

    def describe(self) -> str:
        return f"boot a system container from {self.order.directory} with an address behind NAT"

    def execute(self, machine: Machine, say: Say) -> Machine:
        self.undo(machine, say)
        host = self.driver.host(machine.name)
        host.make_folders()
        with host.runtime.exclusive():
            write_seed(host.upper, self.order.spec(), f"i-{host.identity}-{os.urandom(4).hex()}")
            machine = self.driver.boot(machine, host)
        say(machine.address)
        return machine

    def undo(self, machine: Machine, say: Say) -> None:
        host = self.driver.host(machine.name)
        if host.directory.is_dir():
            with host.runtime.exclusive():
                self.driver.halt(machine, host)
                shutil.rmtree(host.directory)
            say("removed")


def _step_name(machine_name: str) -> str:
    return f"host {machine_name}"


def _existing(path: Path) -> Path:
    """`path`, or its nearest parent that exists."""
    while not path.exists():
        path = path.parent
    return path


def _file_system(path: Path) -> str:
    """Type of the file system that `path` is on (proc_pid_mountinfo(5))."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split()[2] == wanted:
            return rest.split()[0]
    return ""
