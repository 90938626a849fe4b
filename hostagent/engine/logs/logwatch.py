"""News of the log files that are followed: that they grew, and how often they were rotated.

One inotify instance for the daemon, however many clients follow: the kernel allows a user only 128.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from hostagent.kernel.inotify import GONE, Inotify


class News:
    """What is known of one log. `rotations` counts how often its file was moved away since this began."""

    def __init__(self, watch: LogWatch, name: str) -> None:
        self._watch = watch
        self._name = name
        self.changed = asyncio.Event()
        self.rotations = 0

    def refresh(self) -> int:
        """`rotations` as of now."""
        self._watch.read()
        return self.rotations

    def hear(self, mask: int, name: str) -> None:
        if mask & GONE and name == self._name:
            self.rotations += 1
        self.changed.set()


class LogWatch:
    """All logs that somebody reads at the moment."""

    def __init__(self) -> None:
        self._inotify = Inotify()
        self._news: dict[int, list[News]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._inotify.fd, self.read)

    @contextmanager
    def news(self, path: str) -> Iterator[News]:
        """News of the log whose newest file is `path`. FileNotFoundError when its folder is gone."""
        folder, name = os.path.split(path)
        watch = self._inotify.add(folder)
        news = News(self, name)
        self._news.setdefault(watch, []).append(news)
        try:
            yield news
        finally:
            self._news[watch].remove(news)
            if not self._news[watch]:
                del self._news[watch]
                self._inotify.remove(watch)

    def read(self) -> None:
        for watch, mask, name in self._inotify.events():
            for news in self._news.get(watch, ()):
                news.hear(mask, name)

    def close(self) -> None:
        self._loop.remove_reader(self._inotify.fd)
        self._inotify.close()
