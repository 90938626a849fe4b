"""No option of docker's commands for containers is left without a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.root.differential.options import table

pytestmark = [pytest.mark.root, pytest.mark.peer]


def test_every_documented_option_is_used_by_a_test(docker_cli: Path, old_docker_cli: Path) -> None:
    for cli in (docker_cli, old_docker_cli):
        found = table(cli)
        assert len(found) > 150  # the texts of --help were understood
        assert [" ".join(key) for key, test in found.items() if test is None] == []
