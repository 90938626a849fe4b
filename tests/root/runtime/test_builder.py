"""The process between the shim and init, by itself."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hostagent.kernel import fds
from hostagent.runtime import builder, messages

pytestmark = pytest.mark.root


def fork_builder(bundle: Path) -> tuple[int, socket.socket]:
    ours, theirs = fds.channel_pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        builder.run(str(bundle), theirs, os.getppid())
    theirs.close()
    return pid, ours


def test_bad_input_is_told_when_the_order_comes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"root": 5}')
    pid, channel = fork_builder(tmp_path)
    with channel:
        fds.send_message(channel, messages.Build(open_stdin=False).encode())
        data, _ = fds.recv_message(channel)
        assert os.waitpid(pid, 0)[1] == 0
        assert messages.decode(data) == messages.Failed("config", 0, "config.json: root must be an object")
        assert fds.recv_message(channel) == (b"", [])


def test_a_shim_that_gives_up(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"root": {"path": "rootfs"}, "process": {"args": ["true"]}}')
    pid, channel = fork_builder(tmp_path)
    channel.close()
    assert os.waitpid(pid, 0)[1] == 0
