"""What inspect says of starts and ends."""

from __future__ import annotations

import pytest

from tests.servers.engine import Engine

pytestmark = pytest.mark.root

NEVER = "0001-01-01T00:00:00Z"


def test_the_last_end_is_known_while_it_runs_again(engine: Engine) -> None:
    form = "{{.State.FinishedAt}}"
    engine.ok("run", "-d", "--name", "again", "busybox", "sleep", "600")
    assert engine.ok("inspect", "-f", form, "again") == NEVER
    engine.ok("stop", "-t", "0", "again")
    ended = engine.ok("inspect", "-f", form, "again")
    assert ended != NEVER
    engine.ok("start", "again")
    assert engine.ok("inspect", "-f", form, "again") == ended
