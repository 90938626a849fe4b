"""Standard streams without a terminal: what the process gets, and what its shim keeps."""

from __future__ import annotations

import os

Three = tuple[int, int, int]


def make_pipes(open_stdin: bool) -> tuple[Three, Three]:
    """(the process's ends, the shim's); without stdin the process gets /dev/null and the shim -1."""
    if open_stdin:
        stdin_read, stdin_write = os.pipe2(os.O_CLOEXEC)
    else:
        stdin_read, stdin_write = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    err_read, err_write = os.pipe2(os.O_CLOEXEC)
    return (stdin_read, out_write, err_write), (stdin_write, out_read, err_read)


def null_stdio() -> Three:
    """For a detached exec: nobody writes to it, nobody listens."""
    stdin, stdout, stderr = (os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC) for _ in range(3))
    return stdin, stdout, stderr
