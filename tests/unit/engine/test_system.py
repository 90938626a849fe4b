"""What `info` says that a host lacks, in Docker's words."""

from __future__ import annotations

import pytest

from hostagent.engine.system import limit_warnings, masked
from hostagent.kernel.cgroup_support import Support


def test_a_host_with_cgroup_v2_as_debian_12_has_it() -> None:
    limits = Support(
        unified=True,
        memory=True,
        memory_swap=True,
        pids=True,
        cpu_shares=True,
        cpu_quota=True,
        cpuset=True,
        blkio_read_bps=True,
        blkio_write_bps=True,
        blkio_read_iops=True,
        blkio_write_iops=True,
    )
    assert limit_warnings(limits) == [
        "WARNING: No io.weight support",
        "WARNING: No io.weight (per device) support",
    ]


def test_a_host_without_controllers() -> None:
    warnings = limit_warnings(Support(unified=False))
    assert warnings[:3] == [
        "WARNING: No memory limit support",
        "WARNING: No swap limit support",
        "WARNING: No oom kill disable support",
    ]
    assert warnings[-1] == "WARNING: No blkio throttle.write_iops_device support"
    assert len(warnings) == 11


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("", ""),
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://me:secret@proxy:3128/a", "http://xxxxx:xxxxx@proxy:3128/a"),
    ],
)
def test_passwords_of_proxies_are_not_shown(proxy: str, shown: str) -> None:
    assert masked(proxy) == shown
