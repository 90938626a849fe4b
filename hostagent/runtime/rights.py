"""What a process may do: limits, identity, capabilities, seccomp. Decided before the fork, taken in the child.

The order in the child (`take`) follows from what each step needs: the bounding set wants CAP_SETPCAP, groups want
CAP_SETGID, and a seccomp filter wants no_new_privs or CAP_SYS_ADMIN, which is therefore kept to the very end.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hostagent.errors import Invalid
from hostagent.kernel import capabilities, libc, lsm
from hostagent.kernel import constants as c
from hostagent.kernel.capabilities import CAP_SYS_ADMIN, CAP_SYS_RESOURCE, CapabilitySets
from hostagent.kernel.identity import setgroups, setresgid, setresuid
from hostagent.runtime.program import StartError
from hostagent.runtime.spec import Process, Rlimit
from hostagent.runtime.users import Identity

_UNLIMITED = (1 << 64) - 1
_NO_KEYRINGS = frozenset({errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EDQUOT})
"""Then there are none to leak: no such call, or a host that is itself filtered."""

_OOM_FILE = "/proc/self/oom_score_adj"


@dataclass(frozen=True)
class Rights:
    """All as the kernel will take it."""

    rlimits: tuple[tuple[int, int, int], ...]
    capabilities: CapabilitySets | None
    no_new_privileges: bool
    seccomp: bytes
    oom_score_adj: int | None
    apparmor_profile: str | None = None
    selinux_label: str | None = None


def decide(process: Process, seccomp_path: str | None) -> tuple[Rights, list[str]]:
    """Clamp what is asked for to what this host may give; the warnings say what was clamped.

    Raises Invalid for an unknown limit, OSError when the filter cannot be read.
    """
    warnings: list[str] = []
    powerful = _powerful()
    rlimits = tuple(_rlimit(limit, powerful, warnings) for limit in process.rlimits)
    seccomp = b""
    if seccomp_path:
        with open(seccomp_path, "rb") as file:
            seccomp = file.read()
    caps = process.capabilities
    if caps is not None:
        missing = caps.bounding & ~capabilities.bounding()
        if missing:
            warnings.append("this host has no " + ", ".join(capabilities.names(missing)))
        caps = caps.limited_to(capabilities.bounding())
    adjustment = _oom(process.oom_score_adj, powerful, warnings)
    granted = Rights(
        rlimits,
        caps,
        process.no_new_privileges,
        seccomp,
        adjustment,
        process.apparmor_profile,
        process.selinux_label,
    )
    return granted, warnings


def clamps(oom_score_adj: int | None, limits: Sequence[tuple[str, int, int]]) -> list[str]:
    """What a start would clamp, told beforehand; limits are (name as "nofile", soft, hard), -1 for none."""
    warnings: list[str] = []
    powerful = _powerful()
    _oom(oom_score_adj, powerful, warnings)
    for name, soft, hard in limits:
        kind = f"RLIMIT_{name.upper()}"
        if kind in c.RLIMITS:  # another one is refused elsewhere
            _rlimit(Rlimit(kind, soft, hard), powerful, warnings)
    return warnings


def _powerful() -> bool:
    return bool(libc.capget()[0] >> CAP_SYS_RESOURCE & 1)


def _rlimit(limit: Rlimit, powerful: bool, warnings: list[str]) -> tuple[int, int, int]:
    number = c.RLIMITS.get(limit.kind)
    if number is None:
        raise Invalid(f"wrong rlimit value: {limit.kind}")
    soft, hard = _limit(limit.soft), _limit(limit.hard)
    _, ours = resource.getrlimit(number)
    if not powerful and _above(hard, ours):
        warnings.append(f"{limit.kind} of {limit.hard} lowered to {ours}: this host may not raise it")
        hard = ours
    if _above(soft, hard):
        soft = hard
    return number, soft, hard


def _limit(value: int) -> int:
    return resource.RLIM_INFINITY if value < 0 or value >= _UNLIMITED >> 1 else value


def _above(left: int, right: int) -> bool:
    if right == resource.RLIM_INFINITY:
        return False
    return left == resource.RLIM_INFINITY or left > right


def _oom(wanted: int | None, powerful: bool, warnings: list[str]) -> int | None:
    """Without CAP_SYS_RESOURCE the score only goes up (proc(5))."""
    if wanted is None:
        return None
    fd = os.open(_OOM_FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        current = int(os.read(fd, 16))
    finally:
        os.close(fd)
    if powerful or wanted >= current:
        return wanted if wanted != current else None
    warnings.append(f"oom_score_adj {wanted} left at {current}: this host may not lower it")
    return None


def leave_host(rights: Rights) -> None:
    """First thing in the child, while the host's /proc is there."""
    _adjust_oom_score(rights)
    try:
        libc.join_session_keyring()
    except OSError as error:
        if error.errno not in _NO_KEYRINGS:
            raise


def _adjust_oom_score(rights: Rights) -> None:
    if rights.oom_score_adj is None:
        return
    fd = os.open(_OOM_FILE, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(rights.oom_score_adj).encode())
    finally:
        os.close(fd)


def become(rights: Rights, identity: Identity) -> None:
    """Labels, limits and identity; afterwards CAP_SYS_ADMIN is the one capability over what was asked for."""
    _label(rights)
    for number, soft, hard in rights.rlimits:
        resource.setrlimit(number, (soft, hard))
    caps = rights.capabilities
    if caps is not None:
        capabilities.drop_bounding(caps.bounding)
        libc.prctl(c.PR_SET_KEEPCAPS, 1)
    _own_stdio(identity.uid)
    setgroups(identity.groups)
    setresgid(identity.gid)
    setresuid(identity.uid)
    # A change of user makes a process dumpable by that user's others, and this one still is the host's python.
    libc.prctl(c.PR_SET_DUMPABLE, 0)
    if caps is not None:
        libc.prctl(c.PR_SET_KEEPCAPS, 0)
        keep = 1 << CAP_SYS_ADMIN if rights.seccomp and not rights.no_new_privileges else 0
        libc.capset(caps.effective | keep, caps.permitted | keep, caps.inheritable)
        if caps.ambient:
            capabilities.raise_ambient(caps.ambient)


def raise_limits(rights: Rights) -> None:
    """Hard limits go up only outside of a user namespace; `become` sets them later, which is then a lowering."""
    for number, _, hard in rights.rlimits:
        soft, old = resource.getrlimit(number)
        if _above(hard, old):
            resource.setrlimit(number, (soft, hard))


def give_stdio(owner: tuple[int, int]) -> None:
    """Pipes are opened again by name (/dev/stdout), which wants an owner that the user namespace knows."""
    for fd in (0, 1, 2):
        if os.fstat(fd).st_rdev != os.makedev(1, 3):
            os.fchown(fd, *owner)


def become_root() -> None:
    """Of the user namespace that was just entered, where the host's root is nobody."""
    setgroups(())
    setresgid(0)
    setresuid(0)
    libc.prctl(c.PR_SET_DUMPABLE, 0)


def of_user(rights: Rights, uid: int) -> Rights:
    """Only root keeps capabilities over execve; another user's are granted by file capabilities, up to the bounding
    set. Those that it would lose are not held before either (PID 1 of --init stays as it is)."""
    caps = rights.capabilities
    if uid == 0 or caps is None:
        return rights
    return replace(rights, capabilities=replace(caps, effective=caps.ambient, permitted=caps.ambient))


def _label(rights: Rights) -> None:
    """While we are root: /proc/self of a process that is not dumpable belongs to root."""
    if rights.apparmor_profile:
        try:
            lsm.apparmor_on_exec(rights.apparmor_profile)
        except FileNotFoundError:
            name = rights.apparmor_profile
            text = f"unable to apply apparmor profile {name}: it is not loaded: no such file or directory"
            raise StartError("apparmor", errno.ENOENT, text) from None
    if rights.selinux_label:
        lsm.selinux_on_exec(rights.selinux_label)


def seal(rights: Rights) -> None:
    """The last before execve: after this the filter decides what still works."""
    caps = rights.capabilities
    if rights.no_new_privileges:
        libc.prctl(c.PR_SET_NO_NEW_PRIVS, 1)
    if rights.seccomp:
        libc.load_seccomp_filter(rights.seccomp)
        if caps is not None and not rights.no_new_privileges:
            libc.capset(caps.effective, caps.permitted, caps.inheritable)


def _own_stdio(uid: int) -> None:
    """Programs open /dev/stdout again by name, which wants ownership of the pipe behind it (as runc does)."""
    null = os.makedev(1, 3)
    for fd in (0, 1, 2):
        found = os.fstat(fd)
        if found.st_uid == uid or found.st_rdev == null:
            continue
        try:
            os.fchown(fd, uid, -1)
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EINVAL, errno.EROFS}:
                raise
