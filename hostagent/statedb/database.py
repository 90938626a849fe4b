"""The engine's one SQLite file: desired state, in WAL mode, used from the event loop's thread only.

WAL with synchronous=NORMAL survives a kill at any moment and a power cut without corruption; the last commits before
a power cut may be lost, which reconciliation (hostagent.engine.life.reconcile) expects. https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hostagent.errors import EngineError, Unavailable

SCHEMA = Path(__file__).parent / "schema"


class DatabaseFull(EngineError):
    """A write was refused for lack of space."""


FORMAT = 2
"""Raised when an engine of before would misread what this one writes (docs/adr/0007-upgrade-and-downgrade.md).

1: until volumes. 2: rows of containers name their volumes; an engine of before would start them without, and drop them.
"""

Value = str | int | float | bytes | None


class Database:
    """One connection; statements outside `transaction` are autocommitted.

    Every `schema/NNN_*.sql` is applied once, in order of name, and remembered in the table `schema_applied`.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000;"
        )
        self._depth = 0
        try:
            self._migrate()
        except BaseException:
            self._connection.close()
            raise

    def _migrate(self) -> None:
        found: int = self.query("PRAGMA user_version")[0]["user_version"]
        if found > FORMAT:
            raise Unavailable(
                f"{self._path} was written by a newer hostagent (format {found}, this one reads up to {FORMAT}): "
                "start that version again"
            )
        if found < FORMAT:
            self.execute(f"PRAGMA user_version = {FORMAT}")
        self._connection.execute("CREATE TABLE IF NOT EXISTS schema_applied (name TEXT PRIMARY KEY)")
        applied = {row["name"] for row in self.query("SELECT name FROM schema_applied")}
        for script in sorted(SCHEMA.glob("*.sql")):
            if script.name not in applied:
                # executescript commits what is pending first, so the script carries its own transaction.
                done = f"INSERT INTO schema_applied VALUES ('{script.name}');"  # noqa: S608  # a file name of ours
                self._connection.executescript(f"BEGIN; {script.read_text()} {done} COMMIT;")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; nested use joins the outer transaction."""
        if self._depth:
            yield self._connection
            return
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk may have ended it already
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> None:
        """One statement, committed at once unless inside `transaction`. DatabaseFull: nothing was written."""
        with self._explained():
            self._connection.execute(sql, parameters)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            # IOERR: on a full disk the files beside the database (-wal, -shm) cannot grow either.
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise
            raise DatabaseFull(
                f"the engine cannot write its state ({error}): free some space on the file system of {self._path}"
            ) from error

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> list[sqlite3.Row]:
        """All rows of one SELECT."""
        return self._connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Checkpoint and close."""
        self._connection.close()
