"""Enter a container's files: of a running one its own mounts, of a stopped one private mounts of the same.

For a process of its own, which afterwards sees nothing else: no path, symlink or race inside can lead out. What the
kernel shows under /proc, /sys and /dev is not there, as with Docker: a magic link in /proc leads anywhere (proc(5)).
"""

from __future__ import annotations

import os

from hostagent.errors import Unavailable
from hostagent.image import jail
from hostagent.image.filejobs import DirectoryRoot, Root, RunningRoot, StoppedRoot
from hostagent.image.mountpoints import MOUNT_FILES, MOUNT_FOLDERS, make_mtab
from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.kernel.fds import owned
from hostagent.kernel.identity import setresgid, setresuid
from hostagent.kernel.mounts import bind_in_root, mount_overlay
from hostagent.kernel.rootpath import mkdirs_in_root, touch_in_root

_KERNEL_FILES = frozenset(
    (b"proc", b"sysfs", b"cgroup", b"cgroup2", b"devpts", b"mqueue", b"devtmpfs", b"securityfs", b"debugfs")
) | {
    b"tracefs",
    b"configfs",
    b"bpf",
    b"pstore",
    b"binfmt_misc",
    b"nsfs",
    b"rpc_pipefs",
    b"fusectl",
    b"autofs",
}


def enter(root: Root, *, with_mounts: bool) -> None:
    """Make the container's root this process's. Without mounts: its layers only. For good; needs CAP_SYS_ADMIN."""
    os.umask(0)
    if isinstance(root, RunningRoot):
        _enter_running(root, with_mounts)
    elif isinstance(root, DirectoryRoot):
        jail.enter(root.path)
    else:
        _enter_stopped(root, with_mounts)


def _enter_running(root: RunningRoot, with_mounts: bool) -> None:
    with owned(os.open("/proc", os.O_PATH | os.O_CLOEXEC)) as proc:
        jail.forbid_imports()
        try:
            _join(root)
        except (FileNotFoundError, ProcessLookupError):
            raise Unavailable(f"container {root.container} has just ended: try again") from None
        jail.own_namespace()
        if with_mounts:
            _leave_out_kernel_files(proc)
            return
    # One mount without those on it, in no namespace: the root for looking paths up.
    with owned(libc.open_tree(c.AT_FDCWD, "/", c.OPEN_TREE_CLONE)) as tree:
        os.fchdir(tree)
        os.chroot(".")


def _join(root: RunningRoot) -> None:
    """Into the namespaces of the process; also moves root and cwd (setns(2)). ENOENT or ESRCH: it is no more.

    Its number may have passed to another process: the cgroup says whose it is.
    """
    with owned(libc.pidfd_open(root.pid)) as process:
        with open(f"/proc/{root.pid}/cgroup", "rb") as file:
            if root.container.encode() not in file.read():
                raise ProcessLookupError
        theirs, ours = os.stat(f"/proc/{root.pid}/ns/user"), os.stat("/proc/self/ns/user")
        if os.path.samestat(theirs, ours):
            libc.setns(process, c.CLONE_NEWNS)
            return
        # In its user namespace, as root of that: owners are then what they are inside, both ways.
        libc.setns(process, c.CLONE_NEWUSER | c.CLONE_NEWNS)
        setresgid(0)
        setresuid(0)


def _leave_out_kernel_files(proc: int) -> None:
    """Unmount them from this private copy, outer ones first: those take what is below along, and each that goes costs
    milliseconds. A mount that is hidden below another cannot be named, but perhaps once that one is gone; so this is
    repeated until nothing goes any more: then what is left is out of reach."""
    gone = True
    while gone and (doomed := _doomed(proc)):
        gone = False
        for path in doomed:
            try:
                libc.umount2(path, c.MNT_DETACH | c.UMOUNT_NOFOLLOW)
                gone = True
            except OSError:
                continue  # hidden, or gone with the one above it


def _doomed(proc: int) -> list[bytes]:
    """Mount points of kernel file systems, and /dev (proc(5), mountinfo)."""
    with open(os.open("self/mountinfo", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc), "rb") as file:
        lines = [line.split(b" ") for line in file]
    return [
        _unescape(fields[4])
        for fields in lines
        if fields[4] == b"/dev" or fields[fields.index(b"-") + 1] in _KERNEL_FILES
    ]


def _unescape(path: bytes) -> bytes:
    for text, character in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        path = path.replace(text, character)
    return path


def _enter_stopped(root: StoppedRoot, with_mounts: bool) -> None:
    jail.own_namespace()
    with owned(mount_overlay(root.mountpoint, root.lower, root.upper, root.work)) as fd:
        for path in MOUNT_FOLDERS:
            os.close(mkdirs_in_root(fd, path))
        for path in MOUNT_FILES:
            os.close(touch_in_root(fd, path))
        make_mtab(fd)
        for bind in root.binds if with_mounts else ():
            bind_in_root(fd, bind.source, bind.subpath, bind.destination, bind.read_only)
    jail.pivot(root.mountpoint)
