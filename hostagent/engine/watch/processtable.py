"""Tables of processes: what ps(1) printed, cut down to a container's; and `ps -ef` of our own for a host without it."""

from __future__ import annotations

import os
import pwd
import re
import time
from collections.abc import Iterable

from hostagent.errors import EngineError
from hostagent.wire import Top

TITLES = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
_ASCII_SPACE = re.compile(r"[ \t\n\f\r]+")
_RENAMED = re.compile(r"\s+([^\s]*)=\s*(PID[^\s]*)")
_TICKS = os.sysconf("SC_CLK_TCK")
_LONGEST_USER = 8
_DAY = 24 * 3600
_FIRST_PTS, _LAST_PTS = 136, 143
"""Major device numbers of pseudo terminals."""


def check_arguments(text: str) -> None:
    """Another column must not call itself PID. EngineError, as in Docker."""
    for column, name in _RENAMED.findall(text):
        if column != "pid":
            raise EngineError(f'specifying "{column}={name}" is not allowed')


def cut(printed: str, pids: set[int]) -> Top:
    """The rows of `pids`, and those of their threads, which have "-" for a PID. EngineError when there is no PID."""
    header, *lines = printed.split("\n")
    titles = _fields(header)
    if "PID" not in titles:
        raise EngineError("Couldn't find PID field in ps output")
    column = titles.index("PID")
    rows, inside = [], False
    for line in filter(None, lines):
        fields = _fields(line)
        pid = fields[column] if column < len(fields) else ""
        if pid != "-":
            if not pid.isdigit():
                raise EngineError(f"Unexpected pid '{pid}' in ps output")
            inside = int(pid) in pids
        if inside:
            # What is more than the titles belongs to the last one: a command with its arguments.
            rows.append([*fields[: len(titles) - 1], " ".join(fields[len(titles) - 1 :])])
    return Top(titles=titles, processes=rows)


def own(pids: Iterable[int], now: float) -> Top:
    """What `ps -ef` would say of them; `now` in seconds since 1970."""
    boot = now - time.clock_gettime(time.CLOCK_BOOTTIME)
    rows = (_row(pid, boot, now) for pid in sorted(pids))
    return Top(titles=list(TITLES), processes=[row for row in rows if row])


def _fields(line: str) -> list[str]:
    return [field for field in _ASCII_SPACE.split(line) if field]


def _row(pid: int, boot: float, now: float) -> list[str] | None:
    """None for one that has just ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read().decode("utf-8", "replace")
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").decode("utf-8", "replace").split("\0")
        user = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()  # from the state on, the third field of proc(5)
    started = boot + int(fields[19]) / _TICKS
    used = (int(fields[11]) + int(fields[12])) / _TICKS
    share = min(99, int(used * 100 / max(now - started, 1 / _TICKS)))
    command = " ".join(words).strip() or f"[{name}]"
    return [
        *(_user(user), str(pid), fields[1], str(share), start_time(started, now)),
        *(_terminal(int(fields[4])), duration(int(used)), command),
    ]


def _user(uid: int) -> str:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
    return name if len(name) <= _LONGEST_USER else f"{name[: _LONGEST_USER - 1]}+"


def _terminal(number: int) -> str:
    major, minor = os.major(number), os.minor(number)
    if _FIRST_PTS <= major <= _LAST_PTS:
        return f"pts/{minor + (major - _FIRST_PTS) * 256}"
    return "?"


def start_time(started: float, now: float) -> str:
    """Of today with hours and minutes, of this year with month and day, else the year."""
    then, today = time.localtime(started), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M", then)
    return time.strftime("%b%d" if then.tm_year == today.tm_year else "%Y", then)


def duration(seconds: int) -> str:
    """[days-]hours:minutes:seconds."""
    days, rest = divmod(seconds, _DAY)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock
