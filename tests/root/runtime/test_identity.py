"""Changing users in a child of a process that is starting threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.root

SCRIPT = """
import os, threading
from hostagent.kernel import identity

def churn():
    while True:
        threading.Thread(target=lambda: None).start()

threading.Thread(target=churn, daemon=True).start()
for _ in range(400):
    pid = os.fork()
    if pid == 0:
        identity.setgroups([5, 70000])
        identity.setresgid(12)
        identity.setresuid(34)
        good = (os.getresuid(), os.getresgid(), os.getgroups()) == ((34,) * 3, (12,) * 3, [5, 70000])
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
os._exit(0)
"""


def test_no_child_waits_for_threads_that_it_does_not_have() -> None:
    """With the C library's functions this hangs within a few forks."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], start_new_session=True)
    try:
        assert process.wait(60) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
