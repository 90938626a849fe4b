"""Linux security modules that label processes: whether the host has them, and a label for the next execve.

Sources: apparmor(7), proc(5) (attr), selinux(8); the kernel's Documentation/admin-guide/LSM.
"""

from __future__ import annotations

import os

_APPARMOR_SWITCH = "/sys/module/apparmor/parameters/enabled"
_APPARMOR_FILES = "/sys/kernel/security/apparmor"
APPARMOR_PARSER = "/sbin/apparmor_parser"
_SELINUX_FILES = "/sys/fs/selinux/enforce"


def apparmor_enabled() -> bool:
    """Switched on, with its files there to load profiles into (not so inside most containers), and with the program
    that does it: Debian's kernel has AppArmor on, a minimal Debian has not the package; dockerd then goes without."""
    try:
        with open(_APPARMOR_SWITCH, "rb") as file:
            on = file.read(1) == b"Y"
    except OSError:
        return False
    return on and os.path.isdir(_APPARMOR_FILES) and os.path.exists(APPARMOR_PARSER)


def selinux_enabled() -> bool:
    return os.path.exists(_SELINUX_FILES)


def apparmor_profiles() -> frozenset[str]:
    """Names of loaded profiles."""
    with open(f"{_APPARMOR_FILES}/profiles", encoding="utf-8") as file:
        return frozenset(line.rpartition(" (")[0] for line in file)


def apparmor_on_exec(profile: str) -> None:
    """The profile of the program that this thread executes next. OSError (ENOENT: it is not loaded)."""
    try:
        fd = os.open("/proc/thread-self/attr/apparmor/exec", os.O_WRONLY | os.O_CLOEXEC)  # Linux 5.8
    except FileNotFoundError:
        fd = os.open("/proc/thread-self/attr/exec", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, f"exec {profile}".encode())
    finally:
        os.close(fd)


def selinux_on_exec(label: str) -> None:
    """The same for SELinux: a whole context."""
    fd = os.open("/proc/thread-self/attr/exec", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, label.encode())
    finally:
        os.close(fd)
