"""Instances as namespace hosts: systemd, cloud-init and sshd, made by what makes the hosts of the local driver."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from machine.drivers import local_rootfs
from machine.drivers.local import Host, LocalDriver
from machine.drivers.local_files import SEED
from machine.drivers.local_runtime import POWEROFF
from machine.model.machine import Machine
from machine.store.store import Store

_STOP_SECONDS = 20.0


class Hosts(Protocol):
    """`key` is the instance's ID. Called from threads, for one instance one after the other."""

    def boot(self, key: str, user_data: bytes) -> str:
        """Makes the host if there is none yet, starts it; its address, another one each time."""

    def halt(self, key: str) -> None: ...

    def remove(self, key: str) -> None: ...

    def running(self, key: str) -> bool: ...

    def console(self, key: str) -> str: ...


class Nowhere:
    """No hosts: instances are records alone, with addresses where nobody is (TEST-NET-2, RFC 5737)."""

    def __init__(self) -> None:
        self._next = 100

    def boot(self, key: str, user_data: bytes) -> str:
        self._next += 1
        return f"198.51.100.{self._next % 256}"

    def halt(self, key: str) -> None: ...

    def remove(self, key: str) -> None: ...

    def running(self, key: str) -> bool:
        return True

    def console(self, key: str) -> str:
        return "\n".join(["[  0.0] Linux", "login:"])


class LocalHosts:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._driver = LocalDriver(store)
        self._rootfs = str(local_rootfs.ensure(lambda text: None))
        self._lock = threading.Lock()
        self._next = 9

    def boot(self, key: str, user_data: bytes) -> str:
        host = self._driver.host(key)
        machine = self._store.entry(key).read()
        if machine is None:
            self._store.make(key)
            machine = Machine(name=key, driver="local", address="", driver_data={"rootfs": self._rootfs})
            host.make_folders()
            _write_seed(host, Path(self._rootfs), key, user_data)
        with self._lock:
            self._next += 1
            machine = replace(machine, address=f"10.89.0.{self._next}")
        with host.runtime.exclusive():
            return self._driver.boot(machine, host).address

    def halt(self, key: str) -> None:
        host, machine = self._driver.host(key), self._store.get(key)
        host.runtime.stop(POWEROFF, _STOP_SECONDS)
        with host.runtime.exclusive():
            self._driver.halt(machine, host)

    def remove(self, key: str) -> None:
        if not self._store.exists(key):
            return
        host, machine = self._driver.host(key), self._store.get(key)
        with host.runtime.exclusive():
            self._driver.halt(machine, host)
            shutil.rmtree(host.directory)
        self._store.forget(key)

    def running(self, key: str) -> bool:
        return self._driver.host(key).runtime.running()

    def console(self, key: str) -> str:
        return self._driver.console(self._store.get(key))

    def remove_all(self) -> None:
        for key in self._store.names():
            self.remove(key)


def _write_seed(host: Host, lower: Path, key: str, user_data: bytes) -> None:
    """The user-data as it came, by the data source that a host without hardware has. There is no package archive."""
    files: dict[str, Any] = {
        f"{SEED}/user-data": user_data,
        f"{SEED}/meta-data": f"instance-id: {key}\n".encode(),
        "etc/apt/sources.list": b"",
    }
    for source in (lower / "etc/apt/sources.list.d").glob("*"):
        files[f"etc/apt/sources.list.d/{source.name}"] = b""
    for name, data in files.items():
        path = host.upper / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
