"""Namespaces for tests: held by a process, entered by nsenter, gone with the process.

No names in /run/netns (nothing to leak) and no `ip netns exec` (it remounts /sys, which hides the cgroups).
"""

from __future__ import annotations

import subprocess

from tests.tools import need

# As PID 1 of a PID namespace the shell reaps orphans while it waits; the first line says that all is set up.
HOLD = "ip link set lo up && echo ready && sleep infinity & wait; wait"


class Namespace:
    """A network namespace with loopback up; a context manager.

    `processes=True` adds a PID and a mount namespace with a /proc: leaving the context then ends every
    process that was started inside, daemonised ones too.
    """

    def __init__(self, processes: bool = False) -> None:
        extra = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"] if processes else []
        self._holder = subprocess.Popen(
            [need("unshare", "util-linux"), "--net", *extra, "sh", "-c", HOLD],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout
        if self._holder.stdout.readline() != "ready\n":
            raise RuntimeError("could not make namespaces: unshare or ip failed")
        self._kinds = ["--net", "--mount", "--pid"] if processes else ["--net"]
        self.pid = _child_of(self._holder.pid) if processes else self._holder.pid

    @property
    def path(self) -> str:
        """Path of the network namespace."""
        return f"/proc/{self.pid}/ns/net"

    def command(self, argv: list[str]) -> list[str]:
        """`argv` so that it runs inside."""
        return [need("nsenter", "util-linux"), "-t", str(self.pid), *self._kinds, "--", *argv]

    def run(self, argv: list[str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run inside; raises CalledProcessError with the output."""
        return subprocess.run(self.command(argv), check=True, capture_output=True, text=True, timeout=timeout)

    def close(self) -> None:
        """End the holder and, in a PID namespace, everything else in it."""
        for child in children_of(self._holder.pid):
            subprocess.run(["kill", "-KILL", str(child)], check=False, capture_output=True)
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout
        self._holder.stdout.close()

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def children_of(pid: int) -> list[int]:
    """PIDs of the living children of a process (any of its threads)."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def command_line(pid: int) -> str:
    """The command of a process, words joined by spaces; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _child_of(pid: int) -> int:
    (child,) = children_of(pid)
    return child


def connect(
    left: Namespace, right: Namespace, left_address: str, right_address: str, name: str = "wire"
) -> None:
    """A veth pair `name` between two namespaces; addresses in CIDR.

    `left` must not have a PID namespace of its own: it has to see the process of `right`.
    """
    left.run(["ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", str(right.pid)])
    for side, address in ((left, left_address), (right, right_address)):
        side.run(["ip", "addr", "add", address, "dev", name])
        side.run(["ip", "link", "set", name, "up"])
