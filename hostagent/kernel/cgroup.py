"""A cgroup of one name in every hierarchy of the host, so that callers need not know v1 from v2.

What a host lacks (a controller, a file) is collected as a warning and never ends a container: hosts inside
containers have fewer rights than a bare one. Sources: kernel docs, cgroup-v1 and -v2.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass, field

from hostagent.kernel import cgroup_freezer, cgroup_limits, control_file, process
from hostagent.kernel.cgroup_mounts import Hierarchy, hierarchies
from hostagent.kernel.fds import owned
from hostagent.kernel.resources import Resources

Pids = set[int]
Names = set[str]

_USUAL_CONTROLLERS = frozenset({"cpu", "cpuset", "io", "memory", "pids"})
"""On v2: what every group is given. Others cost a group something, and are for those that limit them."""

_NOT_BORN_THERE = frozenset({errno.EBUSY, errno.ENOENT, errno.ENOSYS, errno.EACCES, errno.EPERM, errno.EROFS})
"""Then an ordinary fork may do: no group, no right, no such call, a group that has children with controllers."""


@dataclass(frozen=True)
class Fork:
    """`pid` and `pidfd` are 0 and -1 in the child; `rest` are the hierarchies that it has to join (`add(0, rest)`)."""

    pid: int
    pidfd: int
    rest: tuple[Hierarchy, ...] = ()


@dataclass(frozen=True)
class Cgroup:
    """The group at `path`, relative to the root of every hierarchy ("/pymachine/c/abc")."""

    path: str
    trees: tuple[Hierarchy, ...] = field(default_factory=hierarchies)

    def __post_init__(self) -> None:
        parts = self.path.strip("/").split("/")
        if not parts[0] or any(part in {"", ".", ".."} for part in parts):
            raise ValueError(f"cgroup path must name a group below the root, without . and ..: {self.path!r}")

    def directory(self, tree: Hierarchy) -> str:
        return f"{tree.mountpoint}/{self.path.strip('/')}"

    def create(self, resources: Resources | None = None) -> list[str]:
        """Make the group with its parents, apply limits; warnings. A group that exists is used as it is."""
        warnings: list[str] = []
        wanted = _USUAL_CONTROLLERS | (_further_controllers(resources) if resources else set())
        usable = [tree for tree in self.trees if self._make(tree, wanted, warnings)]
        if not usable:
            warnings.append("no cgroup hierarchy can be written: limits, stats and kill by group are off")
        return warnings + (self.set(resources) if resources else [])

    def set(self, resources: Resources) -> list[str]:
        """Apply limits to the existing group; warnings for what this host lacks. Raises RefusedLimit."""
        return cgroup_limits.apply(self._places(), resources)

    def change(self, resources: Resources) -> list[str]:
        """The same for a group that is in use: when a limit is refused, those before it are taken back."""
        return cgroup_limits.apply(self._places(), resources, undo=True)

    def _places(self) -> tuple[cgroup_limits.Place, ...]:
        return tuple((tree, self.directory(tree)) for tree in self.trees)

    def fork(self, sibling: bool = False) -> Fork:
        """Fork a child that is born in the group where the kernel can do that; it has to join the rest itself.

        A `sibling` is a child of the caller's parent.
        """
        tree = next((tree for tree in self.trees if tree.unified), None)
        if tree is not None:
            rest = tuple(other for other in self.trees if other is not tree)
            try:
                with owned(os.open(self.directory(tree), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
                    return Fork(*process.fork_into(fd, sibling), rest)
            except OSError as error:
                if error.errno not in _NOT_BORN_THERE:
                    raise
        return Fork(*(process.fork_sibling() if sibling else process.fork()), self.trees)

    def add(self, pid: int, trees: tuple[Hierarchy, ...] | None = None) -> None:
        """Move process `pid` into the group, in all hierarchies or in `trees`; 0 is the caller.

        A caller that moves itself must be single-threaded. In a hierarchy without the group a process stays put.
        Raises OSError(EBUSY) where a v2 group has children with controllers (no internal processes).
        """
        data = str(pid).encode()
        for tree in self.trees if trees is None else trees:
            try:
                control_file.write(f"{self.directory(tree)}/{_members_file(tree, pid)}", data)
            except OSError as error:
                if error.errno not in {errno.ENOENT, errno.EROFS, errno.EACCES}:
                    raise

    def add_self(self) -> None:
        """All threads of the caller, which a fork's child (`add(0, rest)`) does not have."""
        self.add(os.getpid())

    def join_like(self, pid: int) -> None:
        """Move the caller to where process `pid` is, at or below this group, in every hierarchy."""
        places = _places(pid)
        for tree in self.trees:
            place = places.get(tree.controllers)
            inside = self.path.strip("/")
            # The process's path is told from the host's root, ours from the mount's: they meet at our group.
            _, found, below = (place or "").partition(f"/{inside}")
            if found:
                control_file.write(f"{self.directory(tree)}{below}/{_members_file(tree, 0)}", b"0")

    def pids(self) -> Pids:
        """Processes of the group and of all groups below it, as this process's PID namespace sees them."""
        found: Pids = set()
        for tree in self.trees:
            for directory in _walk(self.directory(tree)):
                found.update(_pids(directory))
        return found

    def kill(self) -> None:
        """SIGKILL everything inside, also what forks meanwhile. Returns before they are gone."""
        killed = tuple(tree for tree in self.trees if tree.unified and self._kill_unified(tree))
        # What v1 has frozen does not die: paused, or left so by one of us that was killed between freeze and thaw.
        self.thaw()
        for _ in range(100):
            done = Cgroup(self.path, killed).pids() if killed else set()
            pids = self.pids() - done - {os.getpid()}
            if not pids:
                return
            self.freeze()  # so that nothing forks between the reading and the killing
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue
            self.thaw()
            time.sleep(0.002)

    def delete(self, seconds: float = 5.0) -> None:
        """Remove the group and those below it, children first; waits `seconds` for dying processes to leave.

        Raises OSError(EBUSY) when processes remain.
        """
        deadline = time.monotonic() + seconds
        for tree in self.trees:
            _remove_tree(self.directory(tree), deadline)

    def end(self) -> None:
        """Kill what is inside and remove the group; at once when it is empty, as after the end of a PID namespace."""
        try:
            for tree in self.trees:
                try:
                    os.rmdir(self.directory(tree))
                except FileNotFoundError:
                    continue
        except OSError:
            self.kill()
            self.delete()

    def oom_kills(self) -> int:
        """How many processes of the group the kernel killed for lack of memory."""
        for tree in self.trees:
            directory = self.directory(tree)
            if tree.unified:
                count = control_file.counter(f"{directory}/memory.events", "oom_kill")
            elif "memory" in tree.controllers:
                count = control_file.counter(f"{directory}/memory.oom_control", "oom_kill")  # Linux 4.13
            else:
                continue
            if count:
                return count
        return 0

    def freeze(self) -> bool:
        """Begin to stop all processes of the group; False when this host has no freezer."""
        return cgroup_freezer.freeze(self._places())

    def thaw(self) -> bool:
        return cgroup_freezer.thaw(self._places())

    def frozen(self) -> bool:
        """Whether `freeze` was asked for, and not taken back."""
        return cgroup_freezer.asked(self._places())

    def stands_still(self) -> bool:
        """Whether `freeze` has reached every process."""
        return cgroup_freezer.reached(self._places())

    def children(self) -> Names:
        """Names of the groups directly below, in any hierarchy."""
        return {os.path.basename(path) for tree in self.trees for path in _children(self.directory(tree))}

    def exists(self) -> bool:
        return any(os.path.isdir(self.directory(tree)) for tree in self.trees)

    def _kill_unified(self, tree: Hierarchy) -> bool:
        """In one write (Linux 5.14); False for an older kernel, or without the group."""
        try:
            control_file.write(f"{self.directory(tree)}/cgroup.kill", b"1")
        except OSError:
            return False
        return True

    def _make(self, tree: Hierarchy, wanted: frozenset[str], warnings: list[str]) -> bool:
        directory = tree.mountpoint
        try:
            if not tree.unified and self._make_last(tree):
                return True
            for part in self.path.strip("/").split("/"):
                if tree.unified:
                    _enable_controllers(directory, wanted)
                parent, directory = directory, f"{directory}/{part}"
                try:
                    os.mkdir(directory, 0o755)
                except FileExistsError:
                    continue
                if "cpuset" in tree.controllers:
                    _inherit_cpuset(parent, directory)
        except OSError as error:
            name = "cgroup2" if tree.unified else ",".join(tree.controllers)
            warnings.append(f"cgroup {self.path} not made in {name}: {error.strerror}")
            return False
        return True

    def _make_last(self, tree: Hierarchy) -> bool:
        """At once, as is the rule on v1; False when a parent is missing."""
        directory = self.directory(tree)
        try:
            os.mkdir(directory, 0o755)
        except FileExistsError:
            return True
        except FileNotFoundError:
            return False
        if "cpuset" in tree.controllers:
            _inherit_cpuset(os.path.dirname(directory), directory)
        return True


def _members_file(tree: Hierarchy, pid: int) -> str:
    """v1: one thread that moves itself takes no lock, and so waits for no grace period (Linux 5.5)."""
    return "tasks" if pid == 0 and not tree.unified else "cgroup.procs"


def _places(pid: int) -> dict[tuple[str, ...], str]:
    """Path in each hierarchy, by its controllers as `Hierarchy` has them (/proc/PID/cgroup, cgroups(7))."""
    lines = (line.split(":", 2) for line in control_file.read(f"/proc/{pid}/cgroup").splitlines())
    return {tuple(filter(None, names.split(","))): path for _, names, path in lines}


def _further_controllers(resources: Resources) -> set[str]:
    named = {file.partition(".")[0] for file, _ in resources.unified}
    return named | ({"hugetlb"} if resources.hugepages else set())


def _enable_controllers(directory: str, controllers: frozenset[str]) -> None:
    """Hand controllers on to the children of a v2 directory; each by itself, so one refusal costs one."""
    wanted = controllers & set(control_file.read(f"{directory}/cgroup.controllers").split())
    wanted -= set(control_file.read(f"{directory}/cgroup.subtree_control").split())
    if not wanted or _has_members(directory):
        return
    for name in sorted(wanted):
        try:
            control_file.write(f"{directory}/cgroup.subtree_control", f"+{name}".encode())
        except OSError:
            continue  # busy with processes of its own, or not delegated: set() warns about what is missing


def _has_members(directory: str) -> bool:
    """Whether processes are in the group itself, so that it may not hand on controllers.

    The kernel refuses that for memory and io only: with cpu or pids it makes the children threaded, and then no process
    can be moved into them (cgroup-v2.rst, "Threads"). The root of all, which has no cgroup.type, is free to.
    """
    if not os.path.exists(f"{directory}/cgroup.type"):
        return False
    return bool(control_file.read(f"{directory}/cgroup.procs").strip())


def _inherit_cpuset(parent: str, directory: str) -> None:
    """A new v1 cpuset has neither CPUs nor memory nodes, and takes no process until it has both."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        control_file.write(f"{directory}/{file}", control_file.read(f"{parent}/{file}").encode())


def _remove_tree(directory: str, deadline: float) -> None:
    pause = 0.001
    while True:
        try:
            os.rmdir(directory)
            return
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            children = _children(directory)
            if error.errno not in {errno.EBUSY, errno.ENOTEMPTY} or time.monotonic() > deadline:
                raise
        for child in children:
            _remove_tree(child, deadline)
        if not children:
            time.sleep(pause)
            pause = min(pause * 2, 0.05)


def _walk(directory: str) -> list[str]:
    found = [directory]
    for child in _children(directory):
        found += _walk(child)
    return found


def _children(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _pids(directory: str) -> list[int]:
    try:
        # 0 stands for a process outside our PID namespace, and for our own process group where a pid is expected.
        return [pid for pid in map(int, control_file.read(f"{directory}/cgroup.procs").split()) if pid]
    except OSError:  # gone meanwhile, or a threaded group, whose processes its parent lists
        return []
