"""Version, info, events, errors, registry credentials (API 1.24-1.47)."""

from __future__ import annotations

from msgspec import field

from hostagent.wire.base import Wire, shown


class Error(Wire, frozen=True, kw_only=True, rename="lower"):
    """Body of every answer with a status of 400 or more."""

    message: str = shown("")


class PlatformName(Wire, frozen=True, kw_only=True):
    """The product's name, shown by `docker version` beside "Server:"."""

    name: str = shown("")


class ComponentVersion(Wire, frozen=True, kw_only=True):
    """A part of the engine with its version."""

    name: str = shown("")
    version: str = shown("")
    details: dict[str, str] = {}


class Version(Wire, frozen=True, kw_only=True):
    """Answer of GET /version."""

    platform: PlatformName = shown(PlatformName())
    components: list[ComponentVersion] = []
    version: str = shown("")
    api_version: str = shown("")
    min_api_version: str = ""
    git_commit: str = shown("")
    go_version: str = shown("")
    os: str = shown("linux")
    arch: str = shown("")
    kernel_version: str = ""
    experimental: bool = False
    build_time: str = ""


class Plugins(Wire, frozen=True, kw_only=True):
    """The drivers that this engine has."""

    volume: list[str] | None = shown(None)
    network: list[str] | None = shown(None)
    authorization: list[str] | None = shown(None)
    log: list[str] | None = shown(None)


class IndexInfo(Wire, frozen=True, kw_only=True):
    """A registry as the daemon is configured for it."""

    name: str = shown("")
    mirrors: list[str] = shown([])
    secure: bool = shown(True)
    official: bool = shown(False)


class RegistryConfig(Wire, frozen=True, kw_only=True):
    """The daemon's registry configuration."""

    allow_nondistributable_artifacts_cidrs: list[str] | None = shown(
        None, "AllowNondistributableArtifactsCIDRs"
    )
    allow_nondistributable_artifacts_hostnames: list[str] | None = shown(None)
    """No artifact is held back, whatever its media type says; these two are always null."""
    insecure_registry_cidrs: list[str] = shown([], "InsecureRegistryCIDRs")
    index_configs: dict[str, IndexInfo] = shown({})
    mirrors: list[str] | None = shown(None)


class Runtime(Wire, frozen=True, kw_only=True, rename="camel"):
    """An OCI runtime by path."""

    path: str = ""
    runtime_args: list[str] = []


class SwarmInfo(Wire, frozen=True, kw_only=True):
    """This host's part in a swarm."""

    node_id: str = shown("", "NodeID")
    node_addr: str = shown("")
    local_node_state: str = shown("inactive")
    control_available: bool = shown(False)
    error: str = shown("")
    remote_managers: list[dict[str, str]] | None = shown(None)


class Commit(Wire, frozen=True, kw_only=True):
    """The version of a helper program."""

    id: str = shown("", "ID")
    expected: str = shown("")


class AddressPool(Wire, frozen=True, kw_only=True):
    """A pool of subnets for new networks."""

    base: str = shown("")
    size: int = shown(0)


class Info(Wire, frozen=True, kw_only=True):
    """Answer of GET /info; memory in bytes, times RFC 3339."""

    id: str = shown("", "ID")
    containers: int = shown(0)
    containers_running: int = shown(0)
    containers_paused: int = shown(0)
    containers_stopped: int = shown(0)
    images: int = shown(0)
    driver: str = shown("overlay2")
    driver_status: list[tuple[str, str]] | None = shown(None)
    plugins: Plugins = shown(Plugins())
    memory_limit: bool = shown(False)
    swap_limit: bool = shown(False)
    kernel_memory_tcp: bool = False
    cpu_cfs_period: bool = shown(False)
    cpu_cfs_quota: bool = shown(False)
    cpu_shares: bool = shown(False, "CPUShares")
    cpu_set: bool = shown(False, "CPUSet")
    pids_limit: bool = shown(False)
    ipv4_forwarding: bool = shown(False)
    bridge_nf_iptables: bool = shown(False)
    bridge_nf_ip6tables: bool = shown(False, "BridgeNfIp6tables")
    debug: bool = shown(False)
    n_fd: int = shown(0, "NFd")
    oom_kill_disable: bool = shown(False)
    n_goroutines: int = shown(0)
    system_time: str = shown("")
    logging_driver: str = shown("json-file")
    cgroup_driver: str = shown("cgroupfs")
    cgroup_version: str = ""
    n_events_listener: int = shown(0)
    kernel_version: str = shown("")
    operating_system: str = shown("")
    os_version: str = shown("", "OSVersion")
    os_type: str = shown("linux")
    architecture: str = shown("")
    index_server_address: str = shown("https://index.docker.io/v1/")
    registry_config: RegistryConfig | None = shown(None)
    n_cpu: int = shown(0)
    mem_total: int = shown(0)
    generic_resources: list[dict[str, str]] | None = shown(None)
    docker_root_dir: str = shown("")
    http_proxy: str = shown("")
    https_proxy: str = shown("")
    no_proxy: str = shown("")
    name: str = shown("")
    labels: list[str] | None = shown(None)
    experimental_build: bool = shown(False)
    server_version: str = shown("")
    runtimes: dict[str, Runtime] = shown({})
    default_runtime: str = shown("")
    swarm: SwarmInfo = shown(SwarmInfo())
    live_restore_enabled: bool = shown(False)
    isolation: str = shown("")
    init_binary: str = shown("")
    containerd_commit: Commit = shown(Commit())
    runc_commit: Commit = shown(Commit())
    init_commit: Commit = shown(Commit())
    security_options: list[str] | None = shown(None)
    product_license: str = ""
    default_address_pools: list[AddressPool] = []
    cdi_spec_dirs: list[str] = shown([])
    execution_driver: str = ""
    """Only for API < 1.25."""
    warnings: list[str] | None = shown(None)


class Actor(Wire, frozen=True, kw_only=True):
    """The object of an event."""

    id: str = shown("", "ID")
    attributes: dict[str, str] = shown({})


class Event(Wire, frozen=True, kw_only=True):
    """One line of GET /events, stamped in seconds and in nanoseconds.

    `status`, `id` and `from` repeat the rest for old clients, for containers and images only.
    """

    status: str = field(name="status", default="")
    id: str = field(name="id", default="")
    image: str = field(name="from", default="")
    type: str = shown("")
    action: str = shown("")
    actor: Actor = shown(Actor())
    scope: str = shown("local", "scope")
    time: int = shown(0, "time")
    time_nano: int = shown(0, "timeNano")


class AuthConfig(Wire, frozen=True, kw_only=True, rename="lower"):
    """Registry credentials: body of POST /auth, and the decoded X-Registry-Auth header."""

    username: str = ""
    password: str = ""
    auth: str = ""
    email: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class AuthResult(Wire, frozen=True, kw_only=True):
    """Answer of POST /auth."""

    status: str = shown("Login Succeeded")
    identity_token: str = shown("")
