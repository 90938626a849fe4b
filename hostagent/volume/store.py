"""The volumes of this host: rows in SQLite, data in directories.

    <root>/volumes/<name>/_data     what containers see
    <root>/volumes/.gone-<hex>      being deleted; emptied when the engine starts

Made: the directory, then the row. Removed: the directory is renamed away, then the row goes. So a row without a
directory is a removal that was cut short, and an empty directory without a row a creation. A directory with data and no
row is neither: its row was lost in a power cut (see statedb.database), and the data is somebody's: it gets a row again.
Used from the event loop's thread only, but for `delete`.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from hostagent.errors import EngineError
from hostagent.statedb.database import Database
from hostagent.volume.directory import is_empty
from hostagent.volume.volume import ANONYMOUS_LABEL, Volume

log = logging.getLogger(__name__)

DATA = "_data"
GONE = ".gone-"

_ANONYMOUS = re.compile(r"[0-9a-f]{64}")

RemoveTree = Callable[[bytes], None]


class VolumeStore:
    """`root` is the engine's data directory; `remove_tree` deletes a directory of any content; `owner` is the host's
    (uid, gid) of root in containers."""

    def __init__(
        self, root: Path, database: Database, remove_tree: RemoveTree, owner: tuple[int, int] = (0, 0)
    ) -> None:
        self._owner = owner
        self._directory = root / "volumes"
        self._database = database
        self._remove_tree = remove_tree
        self._directory.mkdir(mode=0o701, exist_ok=True)
        self._volumes: dict[str, Volume] = {}
        self._making: dict[str, str] = {}
        """Volume -> the container whose creation, still under way, makes it."""
        for row in database.query("SELECT name, created_ns, labels, options FROM volume"):
            self._volumes[row["name"]] = Volume(
                row["name"], row["created_ns"], _map(row["labels"]), _map(row["options"])
            )

    def all(self) -> list[Volume]:
        return list(self._volumes.values())

    def get(self, name: str) -> Volume | None:
        return self._volumes.get(name)

    def data(self, name: str) -> str:
        """The directory that holds a volume's files; empty for one that mounts something."""
        return str(self._directory / name / DATA)

    def create(
        self,
        name: str,
        labels: Mapping[str, str] | None,
        options: Mapping[str, str] | None,
        making: str | None = None,
    ) -> Volume:
        """A new volume with a name that is checked and free; "" makes it anonymous. `making`: see `settle`."""
        if not name:
            name = secrets.token_hex(32)
            labels = {**(labels or {}), ANONYMOUS_LABEL: ""}
        volume = Volume(name, time.time_ns(), labels, options)
        place = self._make_directory(name)
        try:
            self._insert(volume, making)
        except BaseException:
            self._remove_tree(os.fsencode(place))
            raise
        return volume

    def _make_directory(self, name: str) -> Path:
        place = self._directory / name
        try:
            place.mkdir(mode=0o701)
            (place / DATA).mkdir()
            os.chown(place / DATA, *self._owner)
            os.chmod(place / DATA, 0o755)  # noqa: S103  # for containers of every user, whatever the umask
        except OSError as error:
            if not isinstance(error, FileExistsError) and os.path.isdir(place):
                self._remove_tree(os.fsencode(place))
            reason = (error.strerror or str(error)).lower()
            raise EngineError(
                f"create {name}: error while creating volume root path '{place}': mkdir {place}: {reason}"
            ) from error
        return place

    def _insert(self, volume: Volume, making: str | None) -> None:
        self._database.execute(
            "INSERT INTO volume (name, created_ns, labels, options, making) VALUES (?, ?, ?, ?, ?)",
            (volume.name, volume.created_ns, _json(volume.labels), _json(volume.options), making),
        )
        self._volumes[volume.name] = volume
        if making:
            self._making[volume.name] = making

    @contextmanager
    def settling(self, container_id: str) -> Iterator[None]:
        """In one transaction: what the block commits, and that the volumes made for this container are complete."""
        with self._database.transaction():
            yield
            self._database.execute("UPDATE volume SET making = NULL WHERE making = ?", (container_id,))
        self._making = {name: maker for name, maker in self._making.items() if maker != container_id}

    def made_for(self, container_id: str) -> list[str]:
        """Names of the volumes that were made for a container which is not complete."""
        return [name for name, maker in self._making.items() if maker == container_id]

    def settle(self, name: str) -> None:
        """Somebody else wants the volume too: it stays, whatever becomes of the container that it is made for."""
        if self._making.pop(name, None):
            self._database.execute("UPDATE volume SET making = NULL WHERE name = ?", (name,))

    def remove(self, volume: Volume) -> Path:
        """It is gone; give what is returned to `delete`."""
        doomed = self._directory / f"{GONE}{secrets.token_hex(8)}"
        try:
            os.rename(self._directory / volume.name, doomed)
        except FileNotFoundError:
            log.warning("volume %s had lost its directory", volume.name)
        self._database.execute("DELETE FROM volume WHERE name = ?", (volume.name,))
        del self._volumes[volume.name]
        self._making.pop(volume.name, None)
        return doomed

    def delete(self, doomed: Iterable[Path]) -> None:
        """Delete the files of removed volumes. In a thread: it may take long."""
        for path in doomed:
            self._remove_tree(os.fsencode(path))

    def recover(self, used: frozenset[str]) -> None:
        """At the engine's start: undo what a kill cut short. `used` are the names that containers mount."""
        unsettled = {
            row["name"] for row in self._database.query("SELECT name FROM volume WHERE making NOT NULL")
        }
        for name in unsettled - used:
            self.remove(self._volumes[name])
        self._database.execute("UPDATE volume SET making = NULL WHERE making NOT NULL")
        names = set(os.listdir(self._directory))
        for volume in self.all():
            if volume.name not in names:
                log.warning("volume %s has lost its directory: forgotten", volume.name)
                self.remove(volume)
        for name in names - self._volumes.keys():
            self._recover_directory(name)

    def _recover_directory(self, name: str) -> None:
        place = self._directory / name
        data = place / DATA
        if name.startswith(GONE) or not data.is_dir() or is_empty(data):
            self._remove_tree(os.fsencode(place))
            return
        log.warning("volume %s has data but was not in the books: taken up again", name)
        labels = {ANONYMOUS_LABEL: ""} if _ANONYMOUS.fullmatch(name) else None
        self._insert(Volume(name, place.stat().st_ctime_ns, labels), None)


def _json(value: Mapping[str, str] | None) -> bytes | None:
    return None if value is None else msgspec.json.encode(dict(value))


def _map(raw: bytes | None) -> dict[str, str] | None:
    return None if raw is None else msgspec.json.decode(raw, type=dict[str, str])
