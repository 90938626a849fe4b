"""Health checks: what one is asked to do, and what follows from its results. Pure; the rules are dockerd's."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from hostagent.engine.timestamps import timestamp
from hostagent.errors import Invalid
from hostagent.model.image import Healthcheck as ImageHealthcheck
from hostagent.wire import ContainerCreate, Health, HealthcheckResult, HealthConfig

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND
INTERVAL = 30 * SECOND
TIMEOUT = 30 * SECOND
START_INTERVAL = 5 * SECOND
RETRIES = 3
KEPT_RESULTS = 5
SHELL = ("/bin/sh", "-c")

Status = Literal["starting", "healthy", "unhealthy"]


class Result(msgspec.Struct, frozen=True):
    """One run. Times in nanoseconds since the epoch; `exit_code` -1 when there is none (timeout, not started)."""

    started_ns: int
    ended_ns: int
    exit_code: int
    output: str


class HealthState(msgspec.Struct, frozen=True):
    """Where a container stands."""

    status: Status = "starting"
    failing_streak: int = 0
    results: tuple[Result, ...] = ()

    def wire(self) -> Health:
        """As `inspect` shows it."""
        return Health(
            status=self.status,
            failing_streak=self.failing_streak,
            log=[
                HealthcheckResult(
                    start=timestamp(each.started_ns),
                    end=timestamp(each.ended_ns),
                    exit_code=each.exit_code,
                    output=each.output,
                )
                for each in self.results
            ],
        )

    @property
    def phrase(self) -> str:
        """As `docker ps` shows it, in parentheses."""
        return "health: starting" if self.status == "starting" else self.status


def check(config: HealthConfig | None) -> None:
    """Invalid, in Docker's words, for numbers that make no sense."""
    if config is None:
        return
    for name, value in (
        ("Interval", config.interval),
        ("Timeout", config.timeout),
        ("StartPeriod", config.start_period),
        ("StartInterval", config.start_interval),
    ):
        if value and value < MILLISECOND:
            raise Invalid(f"{name} in Healthcheck cannot be less than 1ms")
        if name == "Timeout" and config.retries < 0:
            raise Invalid("Retries in Healthcheck cannot be negative")


def merge(own: HealthConfig | None, image: ImageHealthcheck | None) -> HealthConfig | None:
    """The container's own words, and for each that it leaves out the image's."""
    if image is None:
        return own
    own = own or HealthConfig()
    return HealthConfig(
        test=own.test or list(image.test),
        interval=own.interval or image.interval,
        timeout=own.timeout or image.timeout,
        start_period=own.start_period or image.start_period,
        start_interval=own.start_interval or image.start_interval,
        retries=own.retries or image.retries,
    )


def command(config: ContainerCreate) -> list[str]:
    """What a check executes; empty when the container has none. A kind of test that Docker does not know is none."""
    match config.healthcheck.test if config.healthcheck else []:
        case ["CMD", *words]:
            return words
        case ["CMD-SHELL", *words]:
            return [*(config.shell or SHELL), *words]
        case _:
            return []


def begun(earlier: HealthState | None) -> HealthState:
    """At a start: anew, but the results of earlier runs can still be read."""
    return HealthState(results=earlier.results if earlier else ())


def stopped(state: HealthState) -> HealthState:
    """Nobody looks any more (it ended or is paused): Docker calls that unhealthy, without an event."""
    return replace(state, status="unhealthy")


def after(state: HealthState, result: Result, config: HealthConfig, started_ns: int) -> HealthState:
    """The state after one more result; `started_ns` is when the container started."""
    results = (*state.results, result)[-KEPT_RESULTS:]
    if result.exit_code == 0:
        return HealthState("healthy", 0, results)
    if state.status == "starting" and result.started_ns - started_ns < config.start_period:
        return replace(state, results=results)
    streak = state.failing_streak + 1
    failed = streak >= (config.retries or RETRIES)
    return HealthState("unhealthy" if failed else state.status, streak, results)


def pause(state: HealthState, config: HealthConfig, running_ns: int) -> float:
    """Seconds until the next check of a container that has run for `running_ns`."""
    in_start = running_ns < config.start_period and state.status == "starting"
    return ((config.start_interval or START_INTERVAL) if in_start else (config.interval or INTERVAL)) / SECOND


def duration(nanoseconds: int) -> str:
    """As Go prints it: 500ms, 1.5s, 1m0s, 1h0m3s."""
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", MILLISECOND)):
        if nanoseconds < size * 1000:
            return f"{_decimal(nanoseconds, size)}{unit}"
    minutes, rest = divmod(nanoseconds, 60 * SECOND)
    seconds = f"{_decimal(rest, SECOND)}s"
    if not minutes:
        return seconds
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    fraction = str(rest).zfill(len(str(unit)) - 1).rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)
