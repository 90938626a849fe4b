"""Network namespaces for tests: held by a process, entered by nsenter, gone with the process.

No names in /run/netns (nothing to leak) and no `ip netns exec` (it remounts /sys, which hides the cgroups).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from types import TracebackType

from tests.tools import need


class Namespace:
    """A network namespace of one's own with loopback up; a context manager."""

    def __init__(self) -> None:
        own = os.readlink("/proc/self/ns/net")
        self._holder = subprocess.Popen([need("unshare", "util-linux"), "--net", "sleep", "infinity"])
        deadline = time.monotonic() + 5
        while os.readlink(f"/proc/{self._holder.pid}/ns/net") == own:
            if time.monotonic() > deadline:
                raise RuntimeError("unshare did not make a network namespace in 5 s")
            time.sleep(0.002)
        self.run(["ip", "link", "set", "lo", "up"])

    @property
    def pid(self) -> int:
        """A process inside, for `/proc/PID/ns/net`."""
        return self._holder.pid

    @property
    def path(self) -> str:
        return f"/proc/{self._holder.pid}/ns/net"

    def command(self, argv: list[str]) -> list[str]:
        """`argv` so that it runs inside."""
        return [need("nsenter", "util-linux"), f"--net={self.path}", "--", *argv]

    def run(self, argv: list[str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run inside; raises CalledProcessError with the output."""
        return subprocess.run(self.command(argv), check=True, capture_output=True, text=True, timeout=timeout)

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.send_signal(signal.SIGKILL)
        self._holder.wait()


def connect(
    left: Namespace, right: Namespace, left_address: str, right_address: str, name: str = "wire"
) -> None:
    """A veth pair `name` between two namespaces; addresses in CIDR."""
    left.run(["ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", str(right.pid)])
    for side, address in ((left, left_address), (right, right_address)):
        side.run(["ip", "addr", "add", address, "dev", name])
        side.run(["ip", "link", "set", name, "up"])
