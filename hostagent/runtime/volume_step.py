"""The step that gives a container the file system of a volume whose options say what to mount (tmpfs, nfs, a disk).

It is never mounted in the host's mount namespace. Containers that have one volume at the same time see one file
system: the first mounts it, each later one takes a copy of that mount out of the mount namespace of one that has it,
which the daemon names (docs/adr/0009-volumes.md). The kernel ends the file system with the last mount of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from hostagent.errors import Invalid
from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.kernel.fds import owned
from hostagent.kernel.rootpath import mkdirs_in_root, open_in_root, proc_name, touch_in_root
from hostagent.runtime.mount_options import SUBPATH_OPTION, MountOptions
from hostagent.runtime.steps import Stage

VOLUME_OPTION = "volume"
"""An extension: as the first option it marks the mount of a volume."""
DONOR_OPTION = "donor"
"""An extension: `donor=PID:ID:/path` is the first process of the container ID, which has the volume at /path."""
LAYER_OPTION = "lowerdir+"
"""A lower layer of an overlay, the top one first: the kernel's own name for it since Linux 6.5."""
SCRATCH = "/proc"
"""A directory in the container's root, for a mount that is taken off again at once. Not one of the host's: with a
shared bind this namespace's copy of the host's tree is shared, and the host would see the mount."""


@dataclass(frozen=True)
class Donor:
    """A container that may have the volume: it can have ended meanwhile."""

    pid: int
    container: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Donor:
        pid, _, rest = text.partition(":")
        container, _, path = rest.partition(":")
        if not pid.isdigit() or not container or not path.startswith("/"):
            raise Invalid(f"config.json: {DONOR_OPTION}={text} is not PID:ID:/path")
        return cls(int(pid), container, path)

    def mount(self) -> int | None:
        """A detached copy of its mount of the volume; None when it has ended."""
        try:
            namespace = self._namespace()
        except (FileNotFoundError, ProcessLookupError):
            return None
        if namespace is None:
            return None
        with owned(namespace), owned(os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)) as own:
            libc.setns(namespace, c.CLONE_NEWNS)
            try:
                if os.stat(self.path).st_dev == os.stat("/").st_dev:
                    return None  # it has unmounted it
                return libc.open_tree(c.AT_FDCWD, self.path, c.OPEN_TREE_CLONE)
            finally:
                libc.setns(own, c.CLONE_NEWNS)

    def _namespace(self) -> int | None:
        """An fd of its mount namespace; the PID may be another's by now, and its cgroup says whose it is."""
        with owned(os.open(f"/proc/{self.pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as process:
            with owned(os.open("cgroup", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)) as groups:
                if self.container.encode() not in os.read(groups, 1 << 16):
                    return None
            return os.open("ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)


@dataclass(frozen=True)
class MountVolume:
    """`parameters` are the file system's own options, `superblock` those of every file system (`ro`, `sync`); a new
    mount has the MOUNT_ATTR_* `attributes`, this container's copy has `attr_set` too."""

    kind: str
    source: str
    destination: str
    parameters: tuple[str, ...]
    superblock: tuple[str, ...]
    attributes: int
    attr_set: int
    subpath: str
    donor: Donor | None

    def describe(self) -> str:
        return f"mount the volume's {self.kind} {self.source} on {self.destination}"

    def prepare(self, stage: Stage) -> None:
        """Before any namespace is entered: as the host's root, and in the host's network, where an nfs server is. Not
        by going back there later: who connects the container's network must not find this process in another one."""
        stage.trees[self.destination] = self._whole()

    def execute(self, stage: Stage) -> None:
        with owned(stage.trees.pop(self.destination)) as tree:
            if self.subpath:
                self._place_part(stage, tree)
            else:
                _place(stage, tree, self.destination)

    def _whole(self) -> int:
        """A detached mount of all of it."""
        tree = self.donor.mount() if self.donor else None
        if tree is None:
            tree = self._new()
        libc.mount_setattr(tree, "", c.AT_EMPTY_PATH, attr_set=self.attr_set, propagation=c.MS_PRIVATE)
        return tree

    def _new(self) -> int:
        with owned(libc.fsopen(self.kind)) as making:
            libc.fsconfig(making, c.FSCONFIG_SET_STRING, "source", self.source)
            for word in self.superblock:
                libc.fsconfig(making, c.FSCONFIG_SET_FLAG, word, None)
            layers: list[str] = []
            for parameter in self.parameters:
                key, given, value = parameter.partition("=")
                if key == LAYER_OPTION:
                    layers.append(value)
                    continue
                command = c.FSCONFIG_SET_STRING if given else c.FSCONFIG_SET_FLAG
                libc.fsconfig(making, command, key, value if given else None)
            with _layers(making, layers):
                libc.fsconfig(making, c.FSCONFIG_CMD_CREATE, None, None)
            return libc.fsmount(making, self.attributes)

    def _place_part(self, stage: Stage, tree: int) -> None:
        """`tree` is mounted for a moment: a detached mount gives no copies before Linux 6.15."""
        with owned(open_in_root(stage.root, SCRATCH, os.O_PATH)) as target:
            _move(tree, target)
        resolve = c.RESOLVE_BENEATH | c.RESOLVE_NO_MAGICLINKS
        with owned(open_in_root(stage.root, SCRATCH, os.O_PATH)) as mounted:
            try:
                with owned(libc.openat2(mounted, self.subpath, os.O_PATH, 0, resolve)) as part:
                    copy = libc.open_tree(part, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
            finally:
                libc.umount2(proc_name(mounted), c.MNT_DETACH)
        with owned(copy):
            _place(stage, copy, self.destination)


@contextmanager
def _layers(making: int, paths: Sequence[str]) -> Iterator[None]:
    """Set overlay's lower layers, the top one first. A parameter of fsconfig(2) has 255 characters: the layers go by
    the shortest names that they can have, numbers of fds, in a working directory where these are names."""
    if not paths:
        yield
        return
    with ExitStack() as opened:
        before = opened.enter_context(owned(os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)))
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        numbers = [str(opened.enter_context(owned(os.open(path, flags)))) for path in paths]
        os.chdir("/proc/self/fd")
        try:
            libc.fsconfig(making, c.FSCONFIG_SET_STRING, "lowerdir", ":".join(numbers))
            yield
        finally:
            os.fchdir(before)


def _place(stage: Stage, tree: int, destination: str) -> None:
    make = mkdirs_in_root if stat.S_ISDIR(os.fstat(tree).st_mode) else touch_in_root
    with owned(make(stage.root, destination)) as target:
        _move(tree, target)


def _move(tree: int, target: int) -> None:
    libc.move_mount(tree, "", target, "", c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH)


OWN_OPTIONS = 3
_SUPERBLOCK = (
    (c.MS_RDONLY, "ro"),
    (c.MS_SYNCHRONOUS, "sync"),
    (c.MS_DIRSYNC, "dirsync"),
    (c.MS_LAZYTIME, "lazytime"),
)


def step(kind: str, source: str, destination: str, options: MountOptions, attributes: int) -> MountVolume:
    """The step for a mount with the three options of `options_of` before all others. Raises Invalid."""
    if len(options.data) < OWN_OPTIONS:
        raise Invalid(f"config.json: the volume on {destination} lacks {DONOR_OPTION}= or {SUBPATH_OPTION}=")
    _, donor, subpath, *parameters = options.data
    return MountVolume(
        kind,
        source,
        destination,
        tuple(parameters),
        tuple(word for flag, word in _SUPERBLOCK if options.flags & flag),
        attributes,
        options.attr_set,
        subpath.removeprefix(f"{SUBPATH_OPTION}="),
        Donor.parse(text) if (text := donor.removeprefix(f"{DONOR_OPTION}=")) else None,
    )


def options_of(donor: Donor | None, subpath: str) -> tuple[str, str, str]:
    """What marks the mount of a volume in config.json; the file system's own options follow."""
    text = f"{donor.pid}:{donor.container}:{donor.path}" if donor else ""
    return VOLUME_OPTION, f"{DONOR_OPTION}={text}", f"{SUBPATH_OPTION}={subpath}"
