"""Sizes, ages and IDs as docker prints them."""

from __future__ import annotations

from datetime import datetime


def short_id(identifier: str) -> str:
    """Twelve characters, without `sha256:`."""
    return identifier.removeprefix("sha256:")[:12]


def size(count: float) -> str:
    """Powers of 1000, three digits: 4.26MB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{float(f'{count:.3g}'):g}{unit}"
        count /= 1000
    raise AssertionError("unreachable: TB always returns")


def binary_size(count: float) -> str:
    """Powers of 1024, four digits, as `docker stats` shows memory: 1.944GiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{float(f'{count:.4g}'):g}{unit}"
        count /= 1024
    raise AssertionError("unreachable: TiB always returns")


def span(seconds: float) -> str:
    """`3 seconds`, `About a minute`, `2 hours`, `5 weeks` (go-units HumanDuration)."""
    whole = int(seconds)
    minutes, hours = whole // 60, round(whole / 3600)
    for limit, text in (
        (1, "Less than a second"),
        (2, "1 second"),
        (60, f"{whole} seconds"),
        (120, "About a minute"),
        (3600, f"{minutes} minutes"),
    ):
        if whole < limit:
            return text
    if hours == 1:
        return "About an hour"
    for limit_hours, hours_each, unit in ((48, 1, "hours"), (336, 24, "days"), (1440, 168, "weeks")):
        if hours < limit_hours:
            return f"{hours // hours_each} {unit}"
    return f"{hours // 720} months" if hours < 17520 else f"{hours // 8760} years"


def ago(then: float, now: float) -> str:
    """`2 hours ago`; both in Unix seconds."""
    return f"{span(max(0.0, now - then))} ago"


def local_time(seconds: int) -> str:
    """As docker's CreatedAt: `2026-01-31 12:00:00 +0000 UTC`."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %z %Z")
