"""The options of `run` as the body of POST /containers/create, exactly as the docker CLI would send it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hostagent.wire import (
    ContainerCreate,
    HealthConfig,
    HostConfig,
    LogConfig,
    PortBinding,
    RestartPolicy,
)
from machine.cli import limit_words, mount_words, network_words, values
from machine.cli.run_options import RunOptions
from machine.errors import Usage

_STREAMS = ("stdin", "stdout", "stderr")


def container_create(
    options: RunOptions,
    environment: Mapping[str, str],
    directory: str,
    console: tuple[int, int] = (0, 0),
) -> ContainerCreate:
    """The request. `environment` and `directory` are the caller's own; `console` is its (height, width).

    Raises Usage for what cannot be parsed or contradicts itself.
    """
    policy, count = values.restart_policy(options.restart)
    if options.remove and policy not in ("", "no"):
        raise Usage("--rm and --restart contradict each other: leave one of them out")
    published, _ = values.ports(options.publish)
    exposed = published | network_words.exposed(options.expose)
    _, anonymous = values.volumes(options.volume, directory)
    mode, networking = network_words.networking(options)
    streams = attached_streams(options)
    return ContainerCreate(
        hostname=options.hostname,
        domainname=options.domainname,
        user=options.user,
        attach_stdin="stdin" in streams,
        attach_stdout="stdout" in streams,
        attach_stderr="stderr" in streams,
        exposed_ports={port: {} for port in sorted(exposed)},
        tty=options.tty,
        open_stdin=options.interactive,
        stdin_once="stdin" in streams and options.interactive,
        env=values.environment(options.env_file, options.env, environment),
        cmd=list(options.command) or None,
        healthcheck=_health(options),
        image=options.image,
        volumes={path: {} for path in anonymous},
        working_dir=options.workdir,
        entrypoint=None if options.entrypoint is None else [options.entrypoint],
        labels=values.pairs([*values.lines(options.label_file), *options.label]),
        stop_signal=options.stop_signal,
        stop_timeout=options.stop_timeout,
        host_config=_host_config(
            options, directory, console, mode, RestartPolicy(name=policy, maximum_retry_count=count)
        ),
        networking_config=networking,
    )


def attached_streams(options: RunOptions) -> set[str]:
    """The streams that a client wants: those of -a, or else stdout and stderr, and stdin with -i."""
    chosen = {word.lower() for word in options.attach}
    if wrong := chosen - set(_STREAMS):
        raise Usage(f'invalid --attach "{min(wrong)}": stdin, stdout or stderr')
    if options.detach:
        if chosen:
            raise Usage("-a and -d contradict each other: leave one of them out")
        return set()
    return (chosen or {"stdout", "stderr"}) | ({"stdin"} if options.interactive else set())


def _health(options: RunOptions) -> HealthConfig | None:
    given = (
        options.health_cmd,
        options.health_interval,
        options.health_timeout,
        options.health_retries,
        options.health_start_period,
        options.health_start_interval,
    )
    if options.no_healthcheck:
        if any(given):
            raise Usage("--no-healthcheck and --health-* contradict each other: leave one of them out")
        return HealthConfig(test=["NONE"])
    if not any(given):
        return None
    if options.health_retries < 0:
        raise Usage("--health-retries cannot be negative")
    return HealthConfig(
        test=["CMD-SHELL", options.health_cmd] if options.health_cmd else [],
        interval=values.nanoseconds(options.health_interval),
        timeout=values.nanoseconds(options.health_timeout),
        start_period=values.nanoseconds(options.health_start_period),
        start_interval=values.nanoseconds(options.health_start_interval),
        retries=options.health_retries,
    )


def _host_config(
    options: RunOptions, directory: str, console: tuple[int, int], mode: str, restart: RestartPolicy
) -> HostConfig:
    _, bindings = values.ports(options.publish)
    binds, _ = values.volumes(options.volume, directory)
    added, dropped = values.capabilities(options.cap_add, options.cap_drop)
    tmpfs = {path: flags for path, _, flags in (word.partition(":") for word in options.tmpfs)}
    security = limit_words.security(options.security_opt)
    return HostConfig(
        binds=binds or None,
        container_id_file=options.cidfile,
        log_config=_log(options),
        network_mode=mode,
        port_bindings={
            port: [PortBinding(host_ip=address, host_port=number) for address, number in places]
            for port, places in bindings.items()
        },
        restart_policy=restart,
        auto_remove=options.remove,
        volume_driver=options.volume_driver,
        volumes_from=_some(options.volumes_from),
        console_size=console,
        annotations=values.pairs(options.annotation),
        cap_add=added or None,
        cap_drop=dropped or None,
        cgroupns_mode=options.cgroupns,
        dns=_some(options.dns),
        dns_options=_some(options.dns_option),
        dns_search=_some(options.dns_search),
        extra_hosts=network_words.extra_hosts(options.add_host) or None,
        group_add=_some(options.group_add),
        ipc_mode=options.ipc,
        links=_some(options.link),
        oom_score_adj=options.oom_score_adj,
        pid_mode=options.pid,
        privileged=options.privileged,
        publish_all_ports=options.publish_all,
        readonly_rootfs=options.read_only,
        security_opt=_some(security.options),
        storage_opt=values.pairs(options.storage_opt),
        tmpfs=tmpfs,
        uts_mode=options.uts,
        userns_mode=options.userns,
        shm_size=_size(options.shm_size),
        sysctls=values.pairs(options.sysctl),
        runtime=options.runtime,
        isolation=options.isolation,
        cpu_shares=options.cpu_shares,
        memory=_size(options.memory),
        nano_cpus=values.nano_cpus(options.cpus) if options.cpus else 0,
        cgroup_parent=options.cgroup_parent,
        blkio_weight=options.blkio_weight,
        blkio_weight_device=limit_words.weights(options.blkio_weight_device) or None,
        blkio_device_read_bps=limit_words.byte_rates(options.device_read_bps, "--device-read-bps") or None,
        blkio_device_write_bps=limit_words.byte_rates(options.device_write_bps, "--device-write-bps") or None,
        blkio_device_read_iops=limit_words.operation_rates(options.device_read_iops, "--device-read-iops")
        or None,
        blkio_device_write_iops=limit_words.operation_rates(options.device_write_iops, "--device-write-iops")
        or None,
        cpu_period=options.cpu_period,
        cpu_quota=options.cpu_quota,
        cpu_realtime_period=options.cpu_rt_period,
        cpu_realtime_runtime=options.cpu_rt_runtime,
        cpuset_cpus=options.cpuset_cpus,
        cpuset_mems=options.cpuset_mems,
        devices=limit_words.devices(options.device) or None,
        device_cgroup_rules=limit_words.device_rules(options.device_cgroup_rule) or None,
        device_requests=limit_words.gpus(options.gpus) or None,
        memory_reservation=_size(options.memory_reservation),
        memory_swap=-1 if options.memory_swap == "-1" else _size(options.memory_swap),
        memory_swappiness=_swappiness(options.memory_swappiness),
        oom_kill_disable=options.oom_kill_disable,
        pids_limit=options.pids_limit,
        ulimits=limit_words.ulimits(options.ulimit) or None,
        mounts=mount_words.mounts(options.mount, directory),
        masked_paths=security.masked_paths,
        readonly_paths=security.readonly_paths,
        init=True if options.init else None,
    )


def _some(words: Iterable[str]) -> list[str] | None:
    return list(words) or None


def _size(text: str) -> int:
    return values.size(text) if text else 0


def _swappiness(number: int) -> int:
    if not -1 <= number <= 100:
        raise Usage(f"invalid --memory-swappiness {number}: 0 to 100")
    return number


def _log(options: RunOptions) -> LogConfig:
    if options.log_driver == "none" and options.log_opt:
        raise Usage("--log-driver none has no options: leave --log-opt out")
    return LogConfig(type=options.log_driver, config=values.pairs(options.log_opt))
