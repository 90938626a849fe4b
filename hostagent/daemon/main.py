"""The composition root: every part is made here, once, and given what it needs."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
import secrets
import signal
import sys
from pathlib import Path

from hostagent.api.application import Application
from hostagent.api.ports import Services
from hostagent.build.builder import Builder
from hostagent.build.contexts import ContextStore
from hostagent.daemon import options as configuration
from hostagent.daemon.options import Options
from hostagent.daemon.sockets import listening, notify
from hostagent.engine.containers import Containers
from hostagent.engine.control import Control
from hostagent.engine.engine import Engine
from hostagent.engine.events import EventBus
from hostagent.engine.execs import Execs
from hostagent.engine.files.committing import Committing
from hostagent.engine.files.containervolumes import ContainerVolumes
from hostagent.engine.files.copying import Copying
from hostagent.engine.files.mountedvolumes import MountedVolumes
from hostagent.engine.files.roots import Roots
from hostagent.engine.files.volumefiles import VolumeFiles
from hostagent.engine.files.volumes import Volumes
from hostagent.engine.imageuse import ImageRemoval
from hostagent.engine.isolation import remap
from hostagent.engine.isolation.seccompcache import SeccompCache
from hostagent.engine.later import Later
from hostagent.engine.life.bundles import Bundles
from hostagent.engine.life.launcher import Launcher
from hostagent.engine.life.lifecycle import Lifecycle
from hostagent.engine.life.pausing import Pausing
from hostagent.engine.life.reconcile import Reconciler
from hostagent.engine.life.shims import Shims
from hostagent.engine.life.transient import Transients
from hostagent.engine.limits.limits import Limits
from hostagent.engine.limits.oomwatch import OomWatch
from hostagent.engine.limits.updates import Updates
from hostagent.engine.logs.logs import Logs
from hostagent.engine.logs.logwatch import LogWatch
from hostagent.engine.networks.connections import Connections
from hostagent.engine.networks.endpoints import Endpoints
from hostagent.engine.networks.links import Links
from hostagent.engine.networks.naming import Naming
from hostagent.engine.networks.networks import Networks
from hostagent.engine.networks.portwarnings import PortWarnings
from hostagent.engine.networks.resolvers import Resolvers
from hostagent.engine.system import System
from hostagent.engine.watch.health import Health
from hostagent.engine.watch.stats import Statistics
from hostagent.engine.watch.top import Processes
from hostagent.engine.watch.usage import Usage
from hostagent.errors import EngineError, Unavailable
from hostagent.image.crewpool import CrewPool
from hostagent.image.handover import Handover
from hostagent.image.registrycalls import RegistryCalls
from hostagent.image.service import ImageService
from hostagent.image.trees import remove_tree
from hostagent.kernel.cgroup import Cgroup
from hostagent.kernel.cgroup_support import support
from hostagent.model.reference import DEFAULT_DOMAIN
from hostagent.network.bridge import BridgeNetwork
from hostagent.network.bridges import Bridges
from hostagent.network.firewall import Firewall
from hostagent.network.guard import Guard
from hostagent.network.relay import Relays
from hostagent.network.ruleset import Policy
from hostagent.network.tables import Tables
from hostagent.registry.config import RegistryConfig
from hostagent.statedb.database import Database
from hostagent.volume.store import VolumeStore
from hostagent.wire import LogConfig

log = logging.getLogger("hostagent")


def main() -> None:
    """Run until SIGTERM or SIGINT; containers go on afterwards."""
    try:
        options = configuration.parse(sys.argv[1:])
        logging.basicConfig(
            level=logging.DEBUG if options.debug else logging.INFO,
            format="%(levelname)s %(name)s: %(message)s",
        )
        asyncio.run(serve(options))
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


async def serve(options: Options) -> None:
    """Make everything, reconcile, listen, wait for the end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for directory in (options.root, options.run):
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    lock = _only_one(options.root)
    sockets = listening(options.hosts)
    database = Database(options.root / "state.db")
    containers_directory = str(options.root / "containers")
    events = EventBus()
    registries = RegistryConfig(mirrors=options.mirrors, insecure=options.insecure)
    images = ImageService(options.root, database, registries, events.publish)
    images.recover()
    tables = Tables()
    bridge = BridgeNetwork(
        *(database, options.bridge, options.bridge, options.subnet or None),
        tables=tables,
        policy=Policy(metadata=options.metadata),
    )
    bridge.ensure()
    bridges = Bridges(database, bridge, tables, options.bridge)
    shims_cgroup = f"{options.cgroup_parent}/shims"
    Cgroup(shims_cgroup).create()
    limits = Limits(support(Cgroup(shims_cgroup)))
    later = Later()
    containers = Containers(database, containers_directory, later)
    launcher = Launcher(str(options.run), shims_cgroup)
    links = Links(containers)
    remapping = remap.configured(options.userns_remap)
    filters = SeccompCache(str(options.root / "seccomp"))
    bundles = Bundles(containers, links, images, filters, options.cgroup_parent, remapping)
    relays = Relays()
    endpoints = Endpoints(bridges, containers, relays)
    firewall = Firewall(tables, options.bridge)
    port_warnings = PortWarnings(endpoints, firewall)
    resolvers = Resolvers(Naming(containers, bridges), bridges)
    volume_store = VolumeStore(options.root, database, remove_tree, remapping.root if remapping else (0, 0))
    volumes = Volumes(volume_store, containers, events)
    volumes.recover()
    container_volumes = ContainerVolumes(volumes, volume_store, containers, remapping)
    mounted = MountedVolumes(volumes, containers, events)
    pausing = Pausing(containers, bundles, events)
    lifecycle = Lifecycle(
        containers,
        launcher,
        bundles,
        endpoints,
        events,
        later,
        pausing,
        container_volumes,
        mounted,
        resolvers,
    )
    execs = Execs(containers, links, events)
    watch = LogWatch()
    health = Health(containers, execs, events)
    engine = Engine(
        containers,
        lifecycle,
        execs,
        images,
        events,
        System(
            str(options.root),
            _engine_id(options.root),
            limits.support,
            registries.mirrors_of(DEFAULT_DOMAIN),
            options.insecure,
            options.log_driver,
            port_warnings,
        ),
        limits,
        links,
        remapping,
        container_volumes,
        Logs(watch, LogConfig(type=options.log_driver, config=options.log_options)),
        bridges,
        port_warnings,
    )
    reconciler = Reconciler(containers, lifecycle, launcher, bundles, endpoints, execs, containers_directory)
    launcher.ensure()
    await reconciler.run()
    # On a full disk later, when others may live.
    later.run("network", options.bridge, lambda: bridge.reconcile(containers.alive()))
    later.run("networks", options.bridge, lambda: bridges.reconcile(containers.alive()))
    guard = Guard(options.bridge, bridges.repair)
    crews = CrewPool()
    files = Copying(containers, Roots(images, mounted), events, crews)
    oom_watch = OomWatch(containers, bundles, events)
    control = Control(
        pausing,
        Updates(containers, bundles, events, limits),
        Statistics(containers, bundles),
        Processes(containers, bundles, events),
    )
    usage = Usage(engine, containers, lifecycle, images, volumes, events)
    committing = Committing(containers, images, pausing, events, crews)
    contexts = ContextStore(options.root, crews)
    contexts.recover()
    transients = Transients(containers, bundles, endpoints, launcher)
    builder = Builder(images, transients, options.root, options.run, options.build_cache)
    application = Application(
        Services(
            engine=engine,
            images=images,
            image_removal=ImageRemoval(images, containers),
            registries=RegistryCalls(images.store, registries, crews),
            control=control,
            files=files,
            volumes=volumes,
            volume_files=VolumeFiles(volumes, crews),
            networks=Networks(bridges, containers, events, options.bridge),
            connections=Connections(containers, bridges, endpoints, events),
            shims=Shims(containers),
            usage=usage,
            committing=committing,
            builds=builder,
            contexts=contexts,
            handover=Handover(images, crews, options.root / "build"),
        )
    )
    for listener in sockets:
        await application.listen(listener)
    health.resume()
    oom_watch.resume()
    lifecycle.start_by_policy()
    gc.freeze()
    notify("READY=1")
    log.info("ready (pid %d), %d containers", os.getpid(), len(containers.all()))
    await stop.wait()
    notify("STOPPING=1")
    await application.close()
    await crews.close()
    await images.close()
    health.close()
    oom_watch.close()
    await lifecycle.close()
    resolvers.close()
    relays.close_all()
    guard.close()
    firewall.close()
    watch.close()
    later.close()
    launcher.close()
    bridges.close()
    bridge.close()
    tables.close()
    database.close()
    os.close(lock)


def _only_one(root: Path) -> int:
    """Two daemons over one state would each undo the other's work."""
    fd = os.open(root / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Unavailable(
            f"another hostagent works on {root}: stop it, or give this one another --root"
        ) from None
    return fd


def _engine_id(root: Path) -> str:
    """Random, made once, kept."""
    path = root / "engine-id"
    if not path.exists():
        path.write_text(secrets.token_hex(16))
    return path.read_text()
