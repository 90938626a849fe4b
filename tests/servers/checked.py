"""Our daemon with every JSON answer checked against the tables in tests/data/api: violations go to a file.

`python -m tests.servers.checked FILE OPTIONS...` runs the daemon with OPTIONS. Answers that a shim writes by itself
(wait, streams of bytes) do not pass here.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from hostagent.api.application import Application
from hostagent.api.exchange import Action, Exchange
from hostagent.api.message import JSON, Answer, Reply, Stream
from hostagent.daemon import main
from tests.shapes.tables import tables, violations


class Checked(Application):
    """The application, listening to what it answers."""

    file: Path

    def dispatch(self, exchange: Exchange) -> Action:
        """See Application."""
        action = super().dispatch(exchange)

        async def run() -> Answer:
            answer = await action.run()
            if isinstance(answer, Reply) and answer.content_type == JSON:
                self._note(exchange, answer.status, answer.body)
            if isinstance(answer, Stream) and answer.content_type == JSON:
                return replace(answer, chunks=self._watched(exchange, answer.chunks))
            return answer

        return replace(action, run=run)

    async def _watched(self, exchange: Exchange, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Chunks are whole lines."""
        try:
            async for chunk in chunks:
                self._note(exchange, 200, chunk)
                yield chunk
        finally:
            if hasattr(chunks, "aclose"):
                await chunks.aclose()

    def _note(self, exchange: Exchange, status: int, body: bytes) -> None:
        try:
            found = violations(exchange.method, exchange.target, status, body)
        except ValueError as error:
            found = [f"{exchange.method} {exchange.target}: not JSON ({error}): {body[:200]!r}"]
        if found:
            with self.file.open("a") as file:
                file.writelines(f"{line}\n" for line in found)


if __name__ == "__main__":
    Checked.file = Path(sys.argv.pop(1))
    tables()
    # The composition root takes whichever class has this name.
    vars(main)["Application"] = Checked
    main.main()
