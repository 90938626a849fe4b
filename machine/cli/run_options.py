"""The options of `run` and `container create`: one table, of which both commands are made (expansion.takes)."""

from __future__ import annotations

from dataclasses import dataclass

from machine.cli.expansion import flag, value, words

_What = "What"
_Where = "Where"
_Limits = "Limits"
_Output = "Output"

Words = tuple[str, ...]


@dataclass(frozen=True)
class RunOptions:
    """What was written on the command line, unparsed, in docker's words. Empty or None: not given."""

    image: str = ""
    command: Words = ()

    env: Words = words("-e", "--env", metavar="NAME[=VALUE]", help="environment variable", panel=_What)
    env_file: Words = words("--env-file", metavar="FILE", help="file of environment variables", panel=_What)
    workdir: str = value("-w", "--workdir", metavar="DIR", help="working directory", panel=_What)
    user: str = value("-u", "--user", metavar="USER[:GROUP]", help="name or number", panel=_What)
    group_add: Words = words("--group-add", metavar="GROUP", help="further group", panel=_What)
    entrypoint: str | None = value(
        "--entrypoint", metavar="PROGRAM", help="instead of the image's; '' for none", panel=_What, kind=str
    )
    label: Words = words("-l", "--label", metavar="KEY[=VALUE]", help="label", panel=_What)
    label_file: Words = words("--label-file", metavar="FILE", help="file of labels", panel=_What)
    annotation: Words = words(
        "--annotation", metavar="KEY=VALUE", help="annotation for the runtime", panel=_What
    )
    hostname: str = value("-h", "--hostname", metavar="NAME", help="host name inside", panel=_What)
    domainname: str = value("--domainname", metavar="NAME", help="NIS domain name inside", panel=_What)
    init: bool = flag("--init", help="a small init that forwards signals and reaps", panel=_What)
    remove: bool = flag("--rm", help="remove the container when it ends", panel=_What)
    restart: str = value(
        "--restart",
        metavar="POLICY",
        help="no, always, unless-stopped, on-failure[:N]",
        panel=_What,
        default="no",
    )
    stop_signal: str = value("--stop-signal", metavar="SIGNAL", help="signal of `stop`", panel=_What)
    stop_timeout: int | None = value(
        "--stop-timeout", metavar="SECONDS", help="until `stop` kills it", panel=_What, kind=int
    )
    cidfile: str = value("--cidfile", metavar="FILE", help="write the container's ID there", panel=_What)
    health_cmd: str = value("--health-cmd", metavar="COMMAND", help="tells whether it is well", panel=_What)
    health_interval: str = value(
        "--health-interval", metavar="TIME", help="between two checks, such as 30s", panel=_What
    )
    health_timeout: str = value("--health-timeout", metavar="TIME", help="most time of a check", panel=_What)
    health_retries: int = value(
        "--health-retries",
        metavar="NUMBER",
        help="failures until unhealthy",
        panel=_What,
        kind=int,
        default=0,
    )
    health_start_period: str = value(
        "--health-start-period", metavar="TIME", help="in which failures do not count", panel=_What
    )
    health_start_interval: str = value(
        "--health-start-interval", metavar="TIME", help="between two checks in it", panel=_What
    )
    no_healthcheck: bool = flag("--no-healthcheck", help="not the image's check either", panel=_What)

    volume: Words = words(
        "-v",
        "--volume",
        metavar="SOURCE:TARGET[:ro]",
        help="volume, or folder of the machine, inside",
        panel=_Where,
    )
    mount: Words = words(
        "--mount", metavar="KEY=VALUE,…", help="the same in full: type=bind,src=/a,dst=/b", panel=_Where
    )
    volumes_from: Words = words(
        "--volumes-from", metavar="CONTAINER[:ro]", help="mounts of another container", panel=_Where
    )
    volume_driver: str = value("--volume-driver", metavar="DRIVER", help="of new volumes", panel=_Where)
    tmpfs: Words = words("--tmpfs", metavar="DIR[:OPTIONS]", help="folder in memory", panel=_Where)
    publish: Words = words(
        "-p",
        "--publish",
        metavar="[HOST:]PORT[/udp]",
        help="port of the machine that leads inside",
        panel=_Where,
    )
    publish_all: bool = flag("-P", "--publish-all", help="all exposed ports, at free ones", panel=_Where)
    expose: Words = words("--expose", metavar="PORT[/udp]", help="port that it listens on", panel=_Where)
    network: Words = words(
        "--network", "--net", metavar="NETWORK", help="bridge, host, none, container:NAME, …", panel=_Where
    )
    network_alias: Words = words(
        "--network-alias", "--net-alias", metavar="NAME", help="further name on the network", panel=_Where
    )
    ip: str = value("--ip", metavar="ADDRESS", help="IPv4 address on the network", panel=_Where)
    ip6: str = value("--ip6", metavar="ADDRESS", help="IPv6 address on the network", panel=_Where)
    link_local_ip: Words = words(
        "--link-local-ip", metavar="ADDRESS", help="link-local address", panel=_Where
    )
    mac_address: str = value("--mac-address", metavar="ADDRESS", help="of its interface", panel=_Where)
    link: Words = words("--link", metavar="CONTAINER[:ALIAS]", help="know another one by name", panel=_Where)
    dns: Words = words("--dns", metavar="ADDRESS", help="name server", panel=_Where)
    dns_search: Words = words("--dns-search", metavar="DOMAIN", help="search domain", panel=_Where)
    dns_option: Words = words(
        "--dns-option", "--dns-opt", metavar="OPTION", help="resolver option", panel=_Where
    )
    add_host: Words = words("--add-host", metavar="NAME:ADDRESS", help="line of /etc/hosts", panel=_Where)
    device: Words = words(
        "--device", metavar="DEVICE[:INSIDE][:rwm]", help="device of the machine", panel=_Where
    )
    gpus: str = value("--gpus", metavar="all|NUMBER", help="GPUs", panel=_Where)

    memory: str = value("-m", "--memory", metavar="SIZE", help="most memory, such as 512m", panel=_Limits)
    memory_swap: str = value(
        "--memory-swap", metavar="SIZE", help="most memory and swap, -1: any", panel=_Limits
    )
    memory_reservation: str = value(
        "--memory-reservation", metavar="SIZE", help="memory when it is scarce", panel=_Limits
    )
    memory_swappiness: int = value(
        "--memory-swappiness",
        metavar="0-100",
        help="how readily it is swapped",
        panel=_Limits,
        kind=int,
        default=-1,
    )
    oom_kill_disable: bool = flag("--oom-kill-disable", help="wait instead of being killed", panel=_Limits)
    oom_score_adj: int = value(
        "--oom-score-adj",
        metavar="NUMBER",
        help="-1000 (last to be killed) to 1000",
        panel=_Limits,
        kind=int,
        default=0,
    )
    shm_size: str = value("--shm-size", metavar="SIZE", help="of /dev/shm, such as 128m", panel=_Limits)
    cpus: str = value("--cpus", metavar="NUMBER", help="most CPUs, such as 1.5", panel=_Limits)
    cpu_shares: int = value(
        "-c", "--cpu-shares", metavar="NUMBER", help="relative weight", panel=_Limits, kind=int, default=0
    )
    cpu_period: int = value(
        "--cpu-period", metavar="MICROSECONDS", help="of the quota", panel=_Limits, kind=int, default=0
    )
    cpu_quota: int = value(
        "--cpu-quota", metavar="MICROSECONDS", help="CPU time a period", panel=_Limits, kind=int, default=0
    )
    cpu_rt_period: int = value(
        "--cpu-rt-period",
        metavar="MICROSECONDS",
        help="of real-time scheduling",
        panel=_Limits,
        kind=int,
        default=0,
    )
    cpu_rt_runtime: int = value(
        "--cpu-rt-runtime",
        metavar="MICROSECONDS",
        help="real time a period",
        panel=_Limits,
        kind=int,
        default=0,
    )
    cpuset_cpus: str = value("--cpuset-cpus", metavar="0-2,5", help="only these CPUs", panel=_Limits)
    cpuset_mems: str = value("--cpuset-mems", metavar="0,1", help="only these memory nodes", panel=_Limits)
    pids_limit: int = value(
        "--pids-limit", metavar="NUMBER", help="most processes, -1: any", panel=_Limits, kind=int, default=0
    )
    blkio_weight: int = value(
        "--blkio-weight", metavar="10-1000", help="weight of its I/O", panel=_Limits, kind=int, default=0
    )
    blkio_weight_device: Words = words(
        "--blkio-weight-device", metavar="DEVICE:WEIGHT", help="the same of a device", panel=_Limits
    )
    device_read_bps: Words = words(
        "--device-read-bps", metavar="DEVICE:RATE", help="bytes read a second", panel=_Limits
    )
    device_write_bps: Words = words(
        "--device-write-bps", metavar="DEVICE:RATE", help="bytes written a second", panel=_Limits
    )
    device_read_iops: Words = words(
        "--device-read-iops", metavar="DEVICE:RATE", help="reads a second", panel=_Limits
    )
    device_write_iops: Words = words(
        "--device-write-iops", metavar="DEVICE:RATE", help="writes a second", panel=_Limits
    )
    device_cgroup_rule: Words = words(
        "--device-cgroup-rule", metavar="RULE", help="such as 'c 1:3 rw'", panel=_Limits
    )
    ulimit: Words = words("--ulimit", metavar="NAME=SOFT[:HARD]", help="such as nofile=1024", panel=_Limits)
    sysctl: Words = words("--sysctl", metavar="KEY=VALUE", help="kernel parameter inside", panel=_Limits)
    storage_opt: Words = words("--storage-opt", metavar="KEY=VALUE", help="such as size=10G", panel=_Limits)
    cgroup_parent: str = value("--cgroup-parent", metavar="PATH", help="cgroup to be in", panel=_Limits)
    cgroupns: str = value("--cgroupns", metavar="host|private", help="cgroup namespace", panel=_Limits)
    pid: str = value("--pid", metavar="host|container:NAME", help="process namespace", panel=_Limits)
    ipc: str = value("--ipc", metavar="MODE", help="IPC namespace", panel=_Limits)
    uts: str = value("--uts", metavar="host", help="host name's namespace", panel=_Limits)
    userns: str = value("--userns", metavar="host", help="user namespace", panel=_Limits)
    privileged: bool = flag("--privileged", help="all rights and devices of the machine", panel=_Limits)
    cap_add: Words = words("--cap-add", metavar="CAPABILITY", help="right to give", panel=_Limits)
    cap_drop: Words = words("--cap-drop", metavar="CAPABILITY", help="right to take, or ALL", panel=_Limits)
    security_opt: Words = words(
        "--security-opt", metavar="OPTION", help="seccomp=FILE, no-new-privileges, …", panel=_Limits
    )
    read_only: bool = flag("--read-only", help="root file system cannot be written", panel=_Limits)
    runtime: str = value("--runtime", metavar="NAME", help="OCI runtime", panel=_Limits)
    isolation: str = value("--isolation", metavar="NAME", help="default is the only one", panel=_Limits)

    interactive: bool = flag("-i", "--interactive", help="keep stdin open", panel=_Output)
    tty: bool = flag("-t", "--tty", help="give it a terminal", panel=_Output)
    attach: Words = words("-a", "--attach", metavar="STREAM", help="stdin, stdout or stderr", panel=_Output)
    log_driver: str = value(
        "--log-driver", metavar="DRIVER", help="json-file, local, journald, none", panel=_Output
    )
    log_opt: Words = words("--log-opt", metavar="KEY=VALUE", help="such as max-size=10m", panel=_Output)
    detach: bool = False
    """Set by `run -d`; `container create` has nothing to detach from."""
