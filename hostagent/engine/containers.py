"""All containers of this host: in memory by ID and name, and their rows in SQLite."""

from __future__ import annotations

import msgspec

from hostagent.engine.container import Container
from hostagent.engine.files.mounts import Mounts
from hostagent.engine.files.mountspec import parse_binds
from hostagent.engine.later import Later
from hostagent.engine.networks.joined import Joined
from hostagent.engine.state import State
from hostagent.errors import Conflict, Invalid, NotFound
from hostagent.statedb.database import Database
from hostagent.wire import ContainerCreate, decode, encode


class Containers:
    """The index; rows are written through, never read after start-up."""

    def __init__(self, database: Database, directory: str, later: Later) -> None:
        self._database = database
        self._later = later
        self._directory = directory
        self._by_id: dict[str, Container] = {}
        self._by_name: dict[str, Container] = {}
        self._guests: dict[str, set[str]] = {}
        """By ID: containers whose network is another's."""
        self.naming_version = 0
        """Counts up when anything changes about the names of containers on users' networks."""
        self._linking: set[str] = set()
        """IDs of those that have links to others, few if any."""
        for row in database.query("SELECT * FROM containers ORDER BY created_ns"):
            self._index(
                Container(
                    id=row["id"],
                    name=row["name"],
                    created_ns=row["created_ns"],
                    image_id=row["image_id"],
                    config=(config := decode(row["config"], ContainerCreate)),
                    directory=self.directory(row["id"]),
                    mounts=_mounts(row["mounts"], config),
                    networks=_networks(row["networks"]),
                    state=msgspec.json.decode(row["state"], type=State),
                )
            )

    def directory(self, container_id: str) -> str:
        return f"{self._directory}/{container_id}"

    def all(self) -> list[Container]:
        """In order of their creation."""
        return list(self._by_id.values())

    def alive(self) -> set[str]:
        """IDs of those that run or are about to: what they hold on the host is theirs."""
        return {each.id for each in self._by_id.values() if each.link is not None or each.lock.locked()}

    def get(self, container_id: str) -> Container | None:
        """By full ID."""
        return self._by_id.get(container_id)

    def find(self, reference: str) -> Container:
        """By full ID, name (with or without slash), or unambiguous prefix of the ID, in this order."""
        if found := self._by_id.get(reference) or self._by_name.get(reference.removeprefix("/")):
            return found
        if reference:
            matching = [each for key, each in self._by_id.items() if key.startswith(reference)]
            if len(matching) == 1:
                return matching[0]
            if matching:
                raise Invalid(f"multiple IDs found with provided prefix: {reference}")
        raise NotFound(f"No such container: {reference}")

    def check_free(self, name: str) -> None:
        """Conflict in Docker's words when the name is taken."""
        if holder := self._by_name.get(name):
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder.id}". You have to '
                "remove (or rename) that container to be able to reuse that name."
            )

    def add(self, container: Container) -> None:
        self.check_free(container.name)
        self._database.execute(
            "INSERT INTO containers (id, name, created_ns, image_id, config, mounts, state, networks)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                container.id,
                container.name,
                container.created_ns,
                container.image_id,
                encode(container.config),
                msgspec.json.encode(container.mounts),
                msgspec.json.encode(container.state),
                None if container.networks is None else msgspec.json.encode(container.networks),
            ),
        )
        self._index(container)

    def save(self, container: Container, state: State) -> None:
        """Give it a new state, in memory and on disk (later, when that is full). One that is gone already has none."""
        if state == container.state:
            return
        if state.attached is not container.state.attached:
            self.naming_version += 1
        container.state = state
        self.write(container)

    def write(self, container: Container) -> None:
        """What is in memory alone so far (results of health checks) gets to the disk too."""
        self._later.run("state", container.id, lambda: self._write_state(container))

    def _write_state(self, container: Container) -> None:
        self._database.execute(
            "UPDATE containers SET state = ? WHERE id = ?",
            (msgspec.json.encode(container.state), container.id),
        )

    def configure(self, container: Container, config: ContainerCreate) -> None:
        """Give it another configuration, on disk and in memory."""
        self._database.execute(
            "UPDATE containers SET config = ? WHERE id = ?", (encode(config), container.id)
        )
        container.config = config

    def join(self, container: Container, networks: tuple[Joined, ...], state: State) -> None:
        """Give it other networks, and the state that goes with them, in one write."""
        self._database.execute(
            "UPDATE containers SET networks = ?, state = ? WHERE id = ?",
            (msgspec.json.encode(networks), msgspec.json.encode(state), container.id),
        )
        container.networks, container.state = networks, state
        self.naming_version += 1

    def rename(self, container: Container, name: str) -> None:
        self.check_free(name)
        self._database.execute("UPDATE containers SET name = ? WHERE id = ?", (name, container.id))
        del self._by_name[container.name]
        self.naming_version += 1
        container.name = name
        self._by_name[name] = container

    def remove(self, container: Container) -> None:
        self._database.execute("DELETE FROM containers WHERE id = ?", (container.id,))
        del self._by_id[container.id]
        self._guests.get(_network_donor(container), set()).discard(container.id)
        self._linking.discard(container.id)
        del self._by_name[container.name]

    def guests(self, container: Container) -> list[Container]:
        """Those that were made to share this one's network (`--network container:X`)."""
        return [self._by_id[each] for each in self._guests.get(container.id, ())]

    def linking(self) -> list[Container]:
        """Those that have links to others (`--link`)."""
        return [self._by_id[each] for each in self._linking]

    def using_image(self, image_id: str) -> list[Container]:
        return [each for each in self._by_id.values() if each.image_id == image_id]

    def _index(self, container: Container) -> None:
        self._by_id[container.id] = container
        if donor := _network_donor(container):
            self._guests.setdefault(donor, set()).add(container.id)
        if container.config.host_config and container.config.host_config.links:
            self._linking.add(container.id)
        self._by_name[container.name] = container


def _mounts(raw: bytes | None, config: ContainerCreate) -> Mounts:
    """Those of a row; containers from before there were volumes have only binds."""
    if raw is not None:
        return msgspec.json.decode(raw, type=Mounts)
    return Mounts(parse_binds(config.host_config) if config.host_config else ())


def _networks(raw: bytes | None) -> tuple[Joined, ...] | None:
    return None if raw is None else msgspec.json.decode(raw, type=tuple[Joined, ...])


def _network_donor(container: Container) -> str:
    """The ID of the container whose network this one shares, "" for its own or the host's."""
    host = container.config.host_config
    kind, _, name = host.network_mode.partition(":") if host else ("", "", "")
    return name if kind == "container" else ""
