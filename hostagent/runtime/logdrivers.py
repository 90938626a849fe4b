"""The log that a plan asks for."""

from __future__ import annotations

import functools

from hostagent.runtime.journal import JournalSink
from hostagent.runtime.logfile import Log, LogFile, Sink
from hostagent.runtime.loglines import JsonLines, LocalLines
from hostagent.runtime.logplan import LogPlan
from hostagent.runtime.logqueue import QueueSink
from hostagent.runtime.loop import Loop


def open_log(plan: LogPlan, loop: Loop) -> Log | None:
    """None for the driver "none"."""
    if plan.driver == "none":
        return None
    if plan.buffer >= 0:
        return Log(QueueSink(loop, plan.buffer, functools.partial(_sink, plan)))
    return Log(_sink(plan))


def _sink(plan: LogPlan) -> Sink:
    match plan.driver:
        case "journald":
            return JournalSink(plan.attributes)
        case "local":
            return LogFile(plan.path, LocalLines(), plan.max_size, plan.max_files, plan.compress)
        case "json-file":
            encoding = JsonLines(dict(plan.attributes))
            return LogFile(plan.path, encoding, plan.max_size, plan.max_files, plan.compress)
        case driver:
            raise ValueError(f"this shim knows no log driver {driver!r}")
