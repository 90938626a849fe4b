"""Who may not use the local driver is told in one sentence what to do instead, and nothing is made."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from machine.drivers import local
from machine.errors import Unsupported
from machine.store.store import Store
from machine.workflow.create import create


@pytest.mark.parametrize(
    ("platform", "user", "advice"),
    [("darwin", 0, "needs Linux: .* Linux VM"), ("linux", 1000, "needs root, .*sudo pymachine")],
)
def test_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, user: int, advice: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(Unsupported, match=advice) as caught:
        create(Store(tmp_path / "home"), "local", "dev1")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "home").exists()


def test_a_full_disk_is_said_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(shutil.disk_usage(tmp_path))(100, 99, 1_500_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(shutil, "which", lambda tool: f"/bin/{tool}")
    monkeypatch.setattr(local, "_KEYRING", tmp_path)
    with pytest.raises(Unsupported, match=r"only 1 MB are free in .*PYMACHINE_HOME"):
        local.driver(Store(tmp_path / "home")).check_order({})
    assert not (tmp_path / "home").exists()
