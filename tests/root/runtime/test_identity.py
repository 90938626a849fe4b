"""Changing users in a child that was forked past the C library while a thread was starting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leaks import TAG

pytestmark = pytest.mark.root

# One CPU: the thread (faulthandler's) has not run yet when the fork comes.
SCRIPT = """
import faulthandler, os, sys
from hostagent.kernel import identity, process

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
directory = os.open(sys.argv[1], os.O_RDONLY)
for _ in range(30):
    faulthandler.dump_traceback_later(1000)
    pid, pidfd = process.fork_into(directory)
    if pid == 0:
        identity.setgroups([5, 70000])
        identity.setresgid(12)
        identity.setresuid(34)
        good = (os.getresuid(), os.getresgid(), os.getgroups()) == ((34,) * 3, (12,) * 3, [5, 70000])
        os._exit(0 if good else 1)
    faulthandler.cancel_dump_traceback_later()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(pidfd)
os._exit(0)
"""


def test_no_child_waits_for_a_thread_that_it_does_not_have() -> None:
    """With the C library's functions the first of them hangs."""
    roots = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")]
    group = next(path for path in roots if (path / "cgroup.procs").exists())
    own = group / f"{TAG}-forks"
    own.mkdir()
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(own)], start_new_session=True)
    try:
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        own.rmdir()
