"""System calls that Python lacks: one table of signatures, one small function per call, named like the call.

Each raises OSError(errno, text, path). Paths are str or bytes; None is a null pointer where one is allowed.
Sources: man pages of section 2. The calls made by number are of 2019 and later: their numbers are the same on
every architecture.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import NoReturn

from hostagent.kernel import constants as c

Path = str | bytes

_SIGNATURES: dict[str, tuple[type, ...]] = {
    "mount": (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p),
    "umount2": (ctypes.c_char_p, ctypes.c_int),
    "pivot_root": (ctypes.c_char_p, ctypes.c_char_p),
    "unshare": (ctypes.c_int,),
    "setns": (ctypes.c_int, ctypes.c_int),
    "prctl": (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong),
    "capset": (ctypes.c_char_p, ctypes.c_char_p),
    "capget": (ctypes.c_char_p, ctypes.c_char_p),
    "setfsuid": (ctypes.c_uint32,),
    "setfsgid": (ctypes.c_uint32,),
    "sethostname": (ctypes.c_char_p, ctypes.c_size_t),
    "setdomainname": (ctypes.c_char_p, ctypes.c_size_t),
    "syncfs": (ctypes.c_int,),
    "inotify_init1": (ctypes.c_int,),
    "inotify_add_watch": (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32),
    "inotify_rm_watch": (ctypes.c_int, ctypes.c_int),
}

_NUMBERS = {
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "pidfd_open": 434,
    "close_range": 436,
    "openat2": 437,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}

_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
_KEYCTL_JOIN_SESSION_KEYRING = 1

_CAP_VERSION_3 = 0x20080522

_library = ctypes.CDLL(None, use_errno=True)
for _name, _arguments in _SIGNATURES.items():
    getattr(_library, _name).argtypes = _arguments
_library.syscall.restype = ctypes.c_long


def fail(call: str, path: Path | None = None) -> NoReturn:
    """Raise the OSError of the call that has just failed."""
    number = ctypes.get_errno()
    text = f"{call}: {os.strerror(number)}"
    raise OSError(number, text, os.fsdecode(path)) if path is not None else OSError(number, text)


def _encode(path: Path | None) -> bytes | None:
    return None if path is None else os.fsencode(path)


def syscall(number: int, *arguments: int | bytes | None) -> int:
    """Any call by its number on this architecture (syscall(2))."""
    words = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    result: int = _library.syscall(ctypes.c_long(number), *words)
    if result < 0:
        fail(f"system call {number}")
    return result


def _syscall(name: str, *arguments: int | bytes | None, path: Path | None = None) -> int:
    words = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    result: int = _library.syscall(ctypes.c_long(_NUMBERS[name]), *words)
    if result < 0:
        fail(name, path)
    return result


def mount(
    source: Path | None, target: Path, fstype: str | None, flags: int, data: Path | None = None
) -> None:
    kind = None if fstype is None else fstype.encode()
    if _library.mount(_encode(source), os.fsencode(target), kind, flags, _encode(data)) < 0:
        fail("mount", target)


def umount2(target: Path, flags: int = 0) -> None:
    if _library.umount2(os.fsencode(target), flags) < 0:
        fail("umount2", target)


def pivot_root(new_root: Path, put_old: Path) -> None:
    if _library.pivot_root(os.fsencode(new_root), os.fsencode(put_old)) < 0:
        fail("pivot_root", new_root)


def unshare(flags: int) -> None:
    if _library.unshare(flags) < 0:
        fail("unshare")


def setns(fd: int, nstype: int = 0) -> None:
    if _library.setns(fd, nstype) < 0:
        fail("setns")


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    result: int = _library.prctl(option, arg2, arg3, arg4, arg5)
    if result < 0:
        fail("prctl")
    return result


# Made once: each length of a buffer is a type of its own, and a shim would keep the pages that a new type touches.
_process_name = ctypes.create_string_buffer(16)
_process_name_address = ctypes.addressof(_process_name)


def set_process_name(name: str) -> None:
    """PR_SET_NAME (prctl(2)), up to 15 bytes. Unlike /proc/self/comm it works for any user, dumpable or not."""
    _process_name.value = name.encode()[:15]
    prctl(c.PR_SET_NAME, _process_name_address)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the three capability sets of this thread, as 64-bit masks."""
    low = 0xFFFFFFFF
    data = struct.pack(
        "=6I",
        effective & low,
        permitted & low,
        inheritable & low,
        effective >> 32,
        permitted >> 32,
        inheritable >> 32,
    )
    if _library.capset(struct.pack("=Ii", _CAP_VERSION_3, 0), data) < 0:
        fail("capset")


def capget() -> tuple[int, int, int]:
    """(effective, permitted, inheritable) of this thread, as 64-bit masks."""
    buffer = ctypes.create_string_buffer(24)
    if _library.capget(struct.pack("=Ii", _CAP_VERSION_3, 0), buffer) < 0:
        fail("capget")
    e0, p0, i0, e1, p1, i1 = struct.unpack("=6I", buffer.raw)
    return e0 | e1 << 32, p0 | p1 << 32, i0 | i1 << 32


def setfsids(uid: int, gid: int) -> None:
    """Whose files this thread makes and opens (setfsuid(2)). Away from 0 it loses CAP_DAC_OVERRIDE and the like from
    its effective set; the calls themselves tell no error."""
    _library.setfsgid(gid)
    _library.setfsuid(uid)


def sethostname(name: str) -> None:
    encoded = name.encode()
    if _library.sethostname(encoded, len(encoded)) < 0:
        fail("sethostname")


def setdomainname(name: str) -> None:
    encoded = name.encode()
    if _library.setdomainname(encoded, len(encoded)) < 0:
        fail("setdomainname")


def syncfs(fd: int) -> None:
    if _library.syncfs(fd) < 0:
        fail("syncfs")


def inotify_init1(flags: int = c.IN_CLOEXEC) -> int:
    fd: int = _library.inotify_init1(flags)
    if fd < 0:
        fail("inotify_init1")
    return fd


def inotify_add_watch(fd: int, path: Path, mask: int) -> int:
    """The watch descriptor."""
    watch: int = _library.inotify_add_watch(fd, os.fsencode(path), mask)
    if watch < 0:
        fail("inotify_add_watch", path)
    return watch


def inotify_rm_watch(fd: int, watch: int) -> None:
    """No more events of a watch."""
    if _library.inotify_rm_watch(fd, watch) < 0:
        fail("inotify_rm_watch")


def openat2(dirfd: int, path: Path, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """An fd, always O_CLOEXEC. `resolve` is a sum of RESOLVE_* (openat2(2), Linux 5.6)."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)
    return _syscall("openat2", dirfd, os.fsencode(path), how, len(how), path=path)


def open_tree(dirfd: int, path: Path, flags: int) -> int:
    """An fd of the mount at `path`, always close-on-exec; OPEN_TREE_CLONE makes a detached copy."""
    return _syscall("open_tree", dirfd, os.fsencode(path), flags | c.OPEN_TREE_CLOEXEC, path=path)


def move_mount(from_fd: int, from_path: Path, to_fd: int, to_path: Path, flags: int) -> None:
    _syscall("move_mount", from_fd, os.fsencode(from_path), to_fd, os.fsencode(to_path), flags, path=to_path)


def mount_setattr(
    dirfd: int,
    path: Path,
    flags: int,
    *,
    attr_set: int = 0,
    attr_clr: int = 0,
    propagation: int = 0,
    userns_fd: int = 0,
) -> None:
    """Change attributes of a mount; AT_RECURSIVE in `flags` takes in all mounts below (Linux 5.12).

    `userns_fd` goes with MOUNT_ATTR_IDMAP: owners on disk are shown as that namespace maps them.
    """
    attr = struct.pack("=QQQQ", attr_set, attr_clr, propagation, userns_fd)
    _syscall("mount_setattr", dirfd, os.fsencode(path), flags, attr, len(attr), path=path)


def fsopen(fstype: str) -> int:
    """An fd for making a mount of that file system (Linux 5.2)."""
    return _syscall("fsopen", fstype.encode(), c.FSOPEN_CLOEXEC)


def fsconfig(fd: int, command: int, key: str | None, value: str | None) -> None:
    """`command` is one of FSCONFIG_*; which of `key` and `value` it wants is in fsconfig(2)."""
    words = (None if word is None else os.fsencode(word) for word in (key, value))
    _syscall("fsconfig", fd, command, *words, 0, path=key)


def fsmount(fd: int, attributes: int) -> int:
    """An fd of a new mount that is nowhere yet; `attributes` are MOUNT_ATTR_*."""
    return _syscall("fsmount", fd, c.FSMOUNT_CLOEXEC, attributes)


def close_range(first: int, last: int, flags: int = 0) -> None:
    _syscall("close_range", first, last, flags)


def pidfd_open(pid: int) -> int:
    """An fd of process `pid`, close-on-exec by the kernel's own default."""
    return _syscall("pidfd_open", pid, 0)


def pidfd_getfd(pidfd: int, target_fd: int) -> int:
    """A duplicate of another process's fd."""
    return _syscall("pidfd_getfd", pidfd, target_fd, 0)


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    _syscall("pidfd_send_signal", pidfd, signal, None, 0)


def join_session_keyring() -> None:
    """Leave the session keyring that was inherited for a new, empty one (keyctl(2)).

    Raises OSError; ENOSYS also on an architecture whose number of the call is not known here.
    """
    number = _KEYCTL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, "keyctl: its number is not known on this architecture")
    syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None)


def load_seccomp_filter(program: bytes) -> None:
    """Install a classic BPF program (array of struct sock_filter, 8 bytes each), inherited by children.

    Needs no_new_privs or CAP_SYS_ADMIN (seccomp(2)).
    """
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    header = Program(len(program) // 8, ctypes.addressof(buffer))
    prctl(c.PR_SET_SECCOMP, c.SECCOMP_MODE_FILTER, ctypes.addressof(header))
