"""What a start puts into a container's directory: config.json and the files that the container sees."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from hostagent.engine import merge, oci
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.files import mountspec
from hostagent.engine.files.cgroupmounts import cgroup_mounts
from hostagent.engine.files.mounts import StartingVolume
from hostagent.engine.isolation import capabilities, devices, namespaces, security
from hostagent.engine.isolation.remap import Remap
from hostagent.engine.isolation.seccompcache import SeccompCache
from hostagent.engine.limits import resources
from hostagent.engine.networks import extrahosts
from hostagent.engine.networks.endpoint import Endpoint
from hostagent.engine.networks.links import Links
from hostagent.image.mountpoints import MARK
from hostagent.image.service import ImageService
from hostagent.kernel.cgroup import Cgroup
from hostagent.network import files
from hostagent.runtime.resolver import ADDRESS


class _Linux(msgspec.Struct, rename="camel"):
    cgroups_path: str = ""


class _Document(msgspec.Struct):
    """The little of a config.json that is needed without its row."""

    linux: _Linux


class Bundles:
    """Directories of containers; `cgroup_parent` is where theirs are made."""

    def __init__(
        self,
        containers: Containers,
        links: Links,
        images: ImageService,
        seccomp: SeccompCache,
        cgroup_parent: str,
        remap: Remap | None,
    ) -> None:
        self._remap = remap
        self._containers = containers
        self._links = links
        self._images = images
        self._seccomp = seccomp
        self._cgroup_parent = cgroup_parent
        self._cgroup_mounts = cgroup_mounts()

    def cgroup(self, container: Container) -> str:
        """Relative to the root of every hierarchy."""
        parent = container.host.cgroup_parent.strip("/") or f"{self._cgroup_parent.strip('/')}/c"
        return f"/{parent}/{container.id}"

    @staticmethod
    def cgroup_written(directory: str) -> str | None:
        """That of the last start in `directory`, for a container whose row is lost; None if it never started."""
        try:
            with open(f"{directory}/config.json", "rb") as file:
                document = msgspec.json.decode(file.read(), type=_Document)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return document.linux.cgroups_path or None

    def groups(self) -> set[str]:
        """Cgroups that exist, in any hierarchy, of containers that chose no other parent."""
        parent = f"/{self._cgroup_parent.strip('/')}/c"
        return {f"{parent}/{name}" for name in Cgroup(parent).children()}

    @staticmethod
    def make(directory: str) -> None:
        """The empty directory of a new container: overlay upper and work, and where its root is mounted."""
        os.makedirs(directory, mode=0o710)
        for name in ("upper", "work", "rootfs"):
            os.mkdir(f"{directory}/{name}", 0o755)
        os.close(os.open(f"{directory}/upper{MARK}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755))

    def write(self, container: Container, endpoint: Endpoint, volumes: tuple[StartingVolume, ...]) -> None:
        """config.json, resolv.conf, hosts, hostname. They are rewritten at each start, so torn writes do not matter."""
        config, host = container.config, container.host
        shared = namespaces.join(container, self._containers.find, self._remap)
        hostname = _hostname(shared.network or container)
        binds, tmpfs = container.mounts.binds, mountspec.parse_tmpfs(host)
        mountspec.check_read_only(host)
        mountspec.ensure_sources(binds)
        mountspec.check_propagation(binds)
        mountspec.check_tmpfs(tmpfs)
        caps = capabilities.of(host)
        options = security.of(host)
        found = devices.find(host)
        lowerdirs = container.lowerdirs
        if lowerdirs is None:
            lowerdirs = self._images.lowerdirs(self._images.resolve(container.image_id))
        document = oci.render(
            oci.Bundle(
                container_id=container.id,
                config=config,
                host=host,
                hostname=hostname,
                args=merge.command(config),
                capabilities=caps,
                no_new_privileges=options.no_new_privileges,
                seccomp_path=self._seccomp.path_for(caps, options.seccomp),
                lowerdirs=lowerdirs,
                directory=container.directory,
                binds=binds,
                volumes=volumes,
                tmpfs=tmpfs,
                cgroup=self.cgroup(container),
                limits=resources.limits(host),
                cgroup_mounts=self._cgroup_mounts,
                namespaces=shared.namespaces,
                shm=None if namespaces.mounts_shm(host) else shared.shm,
                network_directory=namespaces.network_of(container, self._containers.find).directory,
                device_nodes=found.nodes,
                device_rules=found.rules,
                apparmor=security.apparmor_profile(host),
                interface_sysctls=tuple(
                    pair for placed in endpoint.placed for pair in placed.interface.sysctls
                ),
                links=tuple(self._links.environment(container)),
                mappings=self._remap.linux() if self._remap and shared.mapped else {},
            )
        )
        directory = Path(container.directory)
        (directory / "config.json").write_bytes(document)
        if shared.network:
            return  # its files are this container's too
        (directory / "hostname").write_text(files.hostname(hostname))
        (directory / "hosts").write_text(self._hosts(container, hostname, endpoint))
        if endpoint.legacy:
            self._links.moved(container, endpoint.legacy.ip)
        (directory / "resolv.conf").write_text(resolv_conf(container, endpoint.resolver))

    def _hosts(self, container: Container, hostname: str, endpoint: Endpoint) -> str:
        """/etc/hosts; on the host's network it is the host's own, unless it has further lines."""
        extra = container.host.extra_hosts or ()
        if container.host.network_mode == "host" and not extra:
            return _read_hosts()
        further = [
            *extrahosts.parse(extra, endpoint.host_gateway),
            *self._links.hosts(container),
        ]
        return files.hosts(hostname, container.config.domainname, endpoint.addresses, further)


def resolv_conf(container: Container, resolver: bool) -> str:
    """The text of its resolv.conf; with a `resolver` of ours that is where all questions go."""
    host = container.host
    return files.resolv_conf(
        host_resolv_conf(),
        host.dns or (),
        host.dns_search or (),
        host.dns_options or (),
        own_network=host.network_mode != "host",
        resolver=ADDRESS if resolver else "",
    )


def rewrite(path: str, change: Callable[[str], str]) -> None:
    """In place: the file is bound into a container, and a renamed one would not be seen there."""
    with open(path, "r+", encoding="utf-8") as file:
        text = change(file.read())
        file.seek(0)
        file.write(text)
        file.truncate()


def _read_hosts() -> str:
    try:
        return Path("/etc/hosts").read_text()
    except FileNotFoundError:
        return ""


def _hostname(container: Container) -> str:
    return container.config.hostname or socket.gethostname()


def host_resolv_conf() -> str:
    """The host's resolver configuration, past systemd-resolved's stub; "" on a host without any."""
    try:
        text = Path("/etc/resolv.conf").read_text()
        if files.only_resolved_stub(text):
            text = Path(files.RESOLVED_CONF).read_text()
    except FileNotFoundError:
        return ""
    return text
