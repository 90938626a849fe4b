"""Restart policies: pure rules over the recorded state."""

from __future__ import annotations

import msgspec

from hostagent.engine.state import State
from hostagent.wire import RestartPolicy

FIRST_DELAY = 0.1
LONGEST_DELAY = 60.0
STEADY_SECONDS = 10
"""A run as long as this starts the back-off anew."""


def wanted(policy: RestartPolicy, state: State, code: int) -> bool:
    """Whether a container that just ended with `code` is to be started again. `state` is that of before its end."""
    if state.stopped_by_hand:
        return False
    match policy.name:
        case "always" | "unless-stopped":
            return True
        case "on-failure":
            limit = policy.maximum_retry_count
            return code != 0 and (not limit or state.restarts < limit)
        case _:
            return False


def wanted_at_boot(policy: RestartPolicy, state: State) -> bool:
    """Whether a container that lies when the daemon starts is to be started. As in Docker, having been stopped by hand
    matters to `unless-stopped` only, and one that was never started stays so."""
    if not state.started_ns:
        return False
    by_hand = state.stopped_by_hand and policy.name == "unless-stopped"
    return wanted(policy, msgspec.structs.replace(state, stopped_by_hand=by_hand), state.exit_code)


def streak(before: State, started_ns: int, finished_ns: int) -> int:
    """How many short runs there have been in a row, with the one that just ended; a steady one begins anew."""
    steady = finished_ns - started_ns >= STEADY_SECONDS * 1_000_000_000
    return 1 if steady else before.short_runs + 1


def delay(state: State) -> float:
    """Seconds before the next start: 0.1, 0.2, ... 60."""
    return float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(max(state.short_runs - 1, 0), 16)))
