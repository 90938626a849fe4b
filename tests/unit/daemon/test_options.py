"""The daemon's options: the file's and the command line's together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hostagent.daemon import options
from hostagent.errors import Invalid


def test_log_driver_and_options(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps({"log-driver": "local", "log-opts": {"max-size": "1m", "max-file": "3"}}))
    parsed = options.parse(["--config", str(file), "--log-opt", "max-size=2m"])
    assert (parsed.log_driver, parsed.log_options) == ("local", {"max-size": "2m", "max-file": "3"})
    parsed = options.parse(["--config", str(file), "--log-driver", "none"])
    assert parsed.log_driver == "none"
    parsed = options.parse(["--config", str(tmp_path / "nowhere")])
    assert (parsed.log_driver, parsed.log_options) == ("json-file", {})


@pytest.mark.parametrize(
    ("builder", "kept"),
    [
        ({}, -1),
        ({"gc": {}}, -1),
        ({"gc": {"enabled": False, "defaultKeepStorage": "1GB"}}, 0),
        ({"gc": {"enabled": True, "defaultKeepStorage": "1GB"}}, 1 << 30),
    ],
)
def test_limit_of_the_build_cache(tmp_path: Path, builder: object, kept: int) -> None:
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps({"builder": builder}))
    assert options.parse(["--config", str(file)]).build_cache == kept


@pytest.mark.parametrize(
    "builder", [1, {"x": 1}, {"gc": {"policy": []}}, {"gc": {"defaultKeepStorage": "much"}}]
)
def test_limits_that_are_none(tmp_path: Path, builder: object) -> None:
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps({"builder": builder}))
    with pytest.raises(Invalid, match="builder"):
        options.parse(["--config", str(file)])


@pytest.mark.parametrize("wrong", [{"log-opts": ["max-size"]}, {"log-opts": {"max-size": 1}}])
def test_options_that_are_none(tmp_path: Path, wrong: object) -> None:
    file = tmp_path / "daemon.json"
    file.write_text(json.dumps(wrong))
    with pytest.raises(Invalid, match="log-opts"):
        options.parse(["--config", str(file)])
    with pytest.raises(Invalid, match="--log-opt max-size: write NAME=VALUE"):
        options.parse(["--config", str(tmp_path / "nowhere"), "--log-opt", "max-size"])
