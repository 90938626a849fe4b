"""Images as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from hostagent import wire
from hostagent.image.store import ImageStore, Record
from hostagent.model.image import Image, ImageConfig
from hostagent.model.reference import Reference


def _epoch(text: str) -> int:
    """RFC 3339 -> Unix seconds; 0 when absent or malformed, as for images without a date."""
    try:
        return int(datetime.fromisoformat(text).timestamp()) if text else 0
    except ValueError:
        return 0


def _rfc3339(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _listed(words: tuple[str, ...] | None) -> list[str] | None:
    return None if words is None else list(words)


def config(source: ImageConfig) -> wire.Config:
    """The member `Config` of inspect."""
    health = source.healthcheck
    return wire.Config(
        user=source.user,
        env=list(source.env),
        entrypoint=_listed(source.entrypoint),
        cmd=_listed(source.cmd),
        working_dir=source.working_dir,
        labels=dict(source.labels) or None,
        exposed_ports={port: {} for port in source.exposed_ports},
        volumes={path: {} for path in source.volumes} or None,
        stop_signal=source.stop_signal,
        shell=list(source.shell or ()),
        on_build=list(source.on_build) or None,
        healthcheck=None
        if health is None
        else wire.HealthConfig(
            test=list(health.test),
            interval=health.interval,
            timeout=health.timeout,
            start_period=health.start_period,
            start_interval=health.start_interval,
            retries=health.retries,
        ),
    )


def _tags(names: Sequence[Reference]) -> list[str]:
    return [name.familiar for name in names if name.digest is None]


def _digests(names: Sequence[Reference]) -> list[str]:
    return [name.familiar for name in names if name.digest is not None]


def inspect(store: ImageStore, image: Image) -> wire.ImageInspect:
    """GET /images/{name}/json."""
    record = store.record(image.id)
    names = store.names(image.id)
    layers = [str(store.layer(chain_id)) for chain_id in reversed(image.chain_ids)]
    data = {"UpperDir": layers[0], "LowerDir": ":".join(layers[1:])} if layers else {}
    return wire.ImageInspect(
        id=image.id,
        repo_tags=_tags(names),
        repo_digests=_digests(names),
        parent=record.parent,
        comment=image.comment,
        created=image.created,
        author=image.author,
        config=config(image.config),
        container_config=_container_config(image),
        architecture=image.platform.architecture,
        variant=image.platform.variant,
        os=image.platform.os,
        size=record.size,
        graph_driver=wire.DriverData(
            name="overlay2", data={key: value for key, value in data.items() if value}
        ),
        root_fs=wire.RootFS(layers=list(image.diff_ids)),
        metadata=wire.ImageMetadata(last_tag_time=_rfc3339(store.last_tagged(image.id))),
    )


def _container_config(image: Image) -> wire.Config:
    """How the container of the build's last step was configured, in the classic builder's words.

    Compose 1.29 finds the image's volumes by it, and keeps their data when it makes a container anew.
    """
    made_by = image.history[-1].created_by if image.history else ""
    step, _, words = made_by.partition(" ")
    arguments, shell, script = words.partition("/bin/sh -c ")
    if step == "RUN" and shell:
        command = [*arguments.split(), "/bin/sh", "-c", script]
    else:
        command = ["/bin/sh", "-c", "#(nop) ", made_by]
    return replace(config(image.config), cmd=command)


def summary(image: Image, record: Record, names: Sequence[Reference]) -> wire.ImageSummary:
    """One entry of GET /images/json, with those of its names that the filters let through."""
    return wire.ImageSummary(
        created=_epoch(image.created),
        id=image.id,
        labels=dict(image.config.labels) or None,
        parent_id=record.parent,
        repo_digests=_digests(names),
        repo_tags=_tags(names),
        size=record.size,
    )


def history(store: ImageStore, image: Image) -> list[wire.HistoryItem]:
    """GET /images/{name}/history: the newest first; only the top has the image's ID and tags."""
    sizes = iter([store.layer_size(chain_id) or 0 for chain_id in image.chain_ids])
    items = [
        wire.HistoryItem(
            comment=entry.comment,
            created=_epoch(entry.created),
            created_by=entry.created_by,
            size=0 if entry.empty_layer else next(sizes, 0),
        )
        for entry in image.history
    ]
    # Layers without history (import of old archives) are still part of the size.
    items += [wire.HistoryItem(size=size) for size in sizes]
    items.reverse()
    if items:
        top = items[0]
        items[0] = wire.HistoryItem(
            comment=top.comment,
            created=top.created,
            created_by=top.created_by,
            size=top.size,
            id=image.id,
            tags=_tags(store.names(image.id)) or None,
        )
    return items
