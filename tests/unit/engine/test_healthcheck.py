"""The rules of health checks, and the output that is kept."""

from __future__ import annotations

import pytest

from hostagent.engine.watch import healthcheck
from hostagent.engine.watch.healthcheck import SECOND, HealthState, Result
from hostagent.engine.watch.probe import OUTPUT_MAX, Output
from hostagent.wire import HealthConfig


def result(code: int, at: int = 0) -> Result:
    return Result(at, at + 1, code, "")


def test_retries_failures_in_a_row_make_it_unhealthy() -> None:
    config = HealthConfig(test=["CMD", "x"], retries=2)
    state = healthcheck.after(HealthState(), result(0), config, 0)
    assert (state.status, state.failing_streak) == ("healthy", 0)
    state = healthcheck.after(state, result(1), config, 0)
    assert (state.status, state.failing_streak) == ("healthy", 1)
    state = healthcheck.after(state, result(-1), config, 0)
    assert (state.status, state.failing_streak) == ("unhealthy", 2)
    state = healthcheck.after(state, result(0), config, 0)
    assert (state.status, state.failing_streak) == ("healthy", 0)


def test_the_start_period_forgives_only_before_the_first_success() -> None:
    config = HealthConfig(test=["CMD", "x"], retries=1, start_period=10 * SECOND)
    early = healthcheck.after(HealthState(), result(1, at=9 * SECOND), config, 0)
    assert (early.status, early.failing_streak) == ("starting", 0)
    assert healthcheck.after(early, result(1, at=10 * SECOND), config, 0).status == "unhealthy"
    well = healthcheck.after(early, result(0, at=9 * SECOND), config, 0)
    assert healthcheck.after(well, result(1, at=9 * SECOND), config, 0).status == "unhealthy"


def test_five_results_are_kept() -> None:
    state = HealthState()
    for number in range(7):
        state = healthcheck.after(state, result(number), HealthConfig(), 0)
    assert [each.exit_code for each in state.results] == [2, 3, 4, 5, 6]
    assert healthcheck.begun(state) == HealthState(results=state.results)


def test_the_pause_between_checks() -> None:
    config = HealthConfig(start_period=10 * SECOND, interval=3 * SECOND)
    assert healthcheck.pause(HealthState(), config, 9 * SECOND) == 5
    assert healthcheck.pause(HealthState(), config, 10 * SECOND) == 3
    assert healthcheck.pause(HealthState("healthy"), config, 9 * SECOND) == 3
    assert healthcheck.pause(HealthState(), HealthConfig(), 0) == 30


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0ns"),
        (999, "999ns"),
        (1_500, "1.5µs"),
        (1_000_000, "1ms"),
        (1_500_000_000, "1.5s"),
        (60_000_000_000, "1m0s"),
        (3_661_000_000_001, "1h1m1.000000001s"),
    ],
)
def test_durations_as_go_prints_them(nanoseconds: int, text: str) -> None:
    assert healthcheck.duration(nanoseconds) == text


def test_output_is_cut() -> None:
    output = Output()
    output.add(b"a" * OUTPUT_MAX)
    assert str(output) == "a" * OUTPUT_MAX
    output.add(b"b")
    assert str(output) == "a" * OUTPUT_MAX + "..."
