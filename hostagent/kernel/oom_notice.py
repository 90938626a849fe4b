"""Hearing of it when the kernel runs out of a group's memory, without asking again and again.

v2: a write to memory.events is told by inotify, one instance for all groups (a user has 128). v1: an eventfd for each
group, registered with its memory.oom_control. Sources: kernel docs, cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Iterator

from hostagent.kernel import constants as c
from hostagent.kernel import control_file, libc
from hostagent.kernel.cgroup import Cgroup
from hostagent.kernel.cgroup_support import limits_are_unified

_EVENT = struct.Struct("iIII")
_BUFFER = 64 * 1024


class OomNotices:
    """Groups are watched under names of the caller's. `fd` is readable when there is a notice about one of them."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.fd = self._epoll.fileno()
        self._inotify = -1
        self._watches: dict[int, str] = {}
        self._eventfds: dict[int, str] = {}

    def watch(self, name: str, group: Cgroup) -> bool:
        """False when the group is gone, or this host does not count its memory."""
        try:
            if limits_are_unified(group.trees):
                self._watch_file(name, group)
            else:
                self._register(name, group)
        except OSError:
            return False
        return True

    def heard(self) -> set[str]:
        """Whom the notices were about; they are taken. At v2 any hit of a limit makes one, not only a kill."""
        found: set[str] = set()
        for fd, _ in self._epoll.poll(0):
            data = os.read(fd, _BUFFER)
            if fd in self._eventfds:
                found.add(self._eventfds[fd])
            else:
                found.update(self._watches[watch] for watch in _numbers(data) if watch in self._watches)
        return found

    def forget(self, name: str) -> None:
        for fd in [key for key, value in self._eventfds.items() if value == name]:
            del self._eventfds[fd]
            os.close(fd)
        for watch in [key for key, value in self._watches.items() if value == name]:
            del self._watches[watch]
            try:
                libc.inotify_rm_watch(self._inotify, watch)
            except OSError:
                continue  # the kernel did so when the group went away

    def close(self) -> None:
        for name in {*self._eventfds.values(), *self._watches.values()}:
            self.forget(name)
        if self._inotify >= 0:
            os.close(self._inotify)
        self._epoll.close()

    def _watch_file(self, name: str, group: Cgroup) -> None:
        if self._inotify < 0:
            self._inotify = libc.inotify_init1(c.IN_CLOEXEC | os.O_NONBLOCK)
            self._epoll.register(self._inotify, select.EPOLLIN)
        directory = next(group.directory(tree) for tree in group.trees if tree.unified)
        watch = libc.inotify_add_watch(self._inotify, f"{directory}/memory.events", c.IN_MODIFY)
        self._watches[watch] = name

    def _register(self, name: str, group: Cgroup) -> None:
        directory = next(group.directory(tree) for tree in group.trees if "memory" in tree.controllers)
        notice = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            control = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            try:
                control_file.write(f"{directory}/cgroup.event_control", f"{notice} {control}".encode())
            finally:
                os.close(control)
            self._epoll.register(notice, select.EPOLLIN)
        except BaseException:
            os.close(notice)
            raise
        self._eventfds[notice] = name


def _numbers(data: bytes) -> Iterator[int]:
    """Watch descriptors of the events in what inotify said (inotify(7))."""
    while data:
        watch, _, _, length = _EVENT.unpack_from(data)
        yield watch
        data = data[_EVENT.size + length :]
