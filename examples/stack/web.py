"""GET / tells the visits and the notes; POST / adds a note. Standard library, psycopg2 and redis from Debian."""

from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2
import redis

_TABLE = "CREATE TABLE IF NOT EXISTS notes (id serial PRIMARY KEY, text text NOT NULL)"


def notes(new: str | None = None) -> list[str]:
    """All notes, the oldest first, after adding `new`. The environment says where they are (libpq)."""
    password = Path("/run/secrets/password").read_text().strip()
    with psycopg2.connect(password=password) as connection, connection.cursor() as cursor:
        cursor.execute(_TABLE)
        if new:
            cursor.execute("INSERT INTO notes (text) VALUES (%s)", (new,))
        cursor.execute("SELECT text FROM notes ORDER BY id")
        return [text for (text,) in cursor.fetchall()]


class Page(BaseHTTPRequestHandler):
    cache = redis.Redis(os.environ["CACHE"])

    def do_GET(self) -> None:
        self._answer(notes())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._answer(notes(body))

    def _answer(self, found: list[str]) -> None:
        visits = self.cache.incr("visits") if self.path == "/visit" else int(self.cache.get("visits") or 0)
        text = "".join(f"{line}\n" for line in (f"visits: {visits}", *found)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Health checks come each second."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8080), Page).serve_forever()
