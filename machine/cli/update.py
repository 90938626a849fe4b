"""`pymachine container update`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import typer

from machine.cli.expansion import takes, value
from machine.cli.options import ContainerNames, MachineOption

_What = "What"
_Limits = "Limits"


@dataclass(frozen=True)
class UpdateOptions:
    """What shall change; not given stays."""

    restart: str = value(
        "--restart", metavar="POLICY", help="no, always, unless-stopped, on-failure[:N]", panel=_What
    )
    memory: str = value("-m", "--memory", metavar="SIZE", help="most memory, such as 512m", panel=_Limits)
    memory_swap: str = value(
        "--memory-swap", metavar="SIZE", help="most memory and swap, -1: any", panel=_Limits
    )
    memory_reservation: str = value(
        "--memory-reservation", metavar="SIZE", help="memory when it is scarce", panel=_Limits
    )
    cpus: str = value("--cpus", metavar="NUMBER", help="most CPUs, such as 1.5", panel=_Limits)
    cpu_shares: int | None = value(
        "-c", "--cpu-shares", metavar="NUMBER", help="relative weight", panel=_Limits, kind=int
    )
    cpu_period: int | None = value(
        "--cpu-period", metavar="MICROSECONDS", help="of the quota", panel=_Limits, kind=int
    )
    cpu_quota: int | None = value(
        "--cpu-quota", metavar="MICROSECONDS", help="CPU time a period", panel=_Limits, kind=int
    )
    cpu_rt_period: int | None = value(
        "--cpu-rt-period", metavar="MICROSECONDS", help="of real-time scheduling", panel=_Limits, kind=int
    )
    cpu_rt_runtime: int | None = value(
        "--cpu-rt-runtime", metavar="MICROSECONDS", help="real time a period", panel=_Limits, kind=int
    )
    cpuset_cpus: str = value("--cpuset-cpus", metavar="0-2,5", help="only these CPUs", panel=_Limits)
    cpuset_mems: str = value("--cpuset-mems", metavar="0,1", help="only these memory nodes", panel=_Limits)
    pids_limit: int | None = value(
        "--pids-limit", metavar="NUMBER", help="most processes, -1: any", panel=_Limits, kind=int
    )
    blkio_weight: int | None = value(
        "--blkio-weight", metavar="10-1000", help="weight of its I/O", panel=_Limits, kind=int
    )


# options that go as they are: field -> Docker's name
_PLAIN: Final = {
    "cpu_shares": "CpuShares",
    "cpu_period": "CpuPeriod",
    "cpu_quota": "CpuQuota",
    "cpu_rt_period": "CpuRealtimePeriod",
    "cpu_rt_runtime": "CpuRealtimeRuntime",
    "cpuset_cpus": "CpusetCpus",
    "cpuset_mems": "CpusetMems",
    "pids_limit": "PidsLimit",
    "blkio_weight": "BlkioWeight",
}
_SIZES: Final = {"memory": "Memory", "memory_swap": "MemorySwap", "memory_reservation": "MemoryReservation"}


@takes("options", UpdateOptions)
def update(
    ctx: typer.Context,
    containers: ContainerNames,
    options: UpdateOptions,
    machine: MachineOption = None,
) -> None:
    """Change limits and restart policy of containers, also while they run.

    pymachine container update -m 1g --cpus 2 web
    pymachine container update --restart unless-stopped web db
    """
    from machine.cli import target
    from machine.cli.console import print_warning
    from machine.cli.each import each
    from machine.errors import Usage

    body = request(options)
    if not body:
        raise Usage("nothing to change: give one of the options, for example --memory 1g")
    with target.engine(ctx, machine) as client:

        def act(name: str) -> str:
            for warning in client.containers.update(name, body):
                print_warning(warning)
            return name

        each(containers, act)


def request(options: UpdateOptions) -> dict[str, object]:
    """The body of the call: only what was given. Raises Usage."""
    from machine.cli import values

    body: dict[str, object] = {}
    for field, name in _SIZES.items():
        if text := getattr(options, field):
            body[name] = -1 if text == "-1" else values.size(text)
    for field, name in _PLAIN.items():
        if (given := getattr(options, field)) not in (None, ""):
            body[name] = given
    if options.cpus:
        body["NanoCpus"] = values.nano_cpus(options.cpus)
    if options.restart:
        policy, count = values.restart_policy(options.restart)
        body["RestartPolicy"] = {"Name": policy, "MaximumRetryCount": count}
    return body
