"""Log drivers' options, tags and units, as dockerd and Go read them."""

from __future__ import annotations

import pytest

from hostagent.engine.container import Container
from hostagent.engine.limits import units
from hostagent.engine.logs import logdrivers, logjournal, logtag
from hostagent.engine.logs.logformats import Entry
from hostagent.errors import EngineError, Invalid, Unsupported
from hostagent.model.stream import LogOptions
from hostagent.wire import ContainerCreate, HostConfig, LogConfig


def container(driver: str = "json-file", **options: str) -> Container:
    config = {name.replace("_", "-"): value for name, value in options.items()}
    return Container(
        id="0123456789abcdef" * 4,
        name="box",
        created_ns=0,
        image_id="sha256:" + "ab" * 32,
        config=ContainerCreate(
            image="busybox",
            cmd=["sleep", "1"],
            env=["A=1", "AB=2", "C=3"],
            labels={"x.y": "label", "z": "other"},
            host_config=HostConfig(log_config=LogConfig(type=driver, config=config)),
        ),
        directory="/d",
    )


def test_defaults_of_the_daemon_fill_only_the_same_driver() -> None:
    default = LogConfig(type="local", config={"max-size": "1m"})
    assert logdrivers.complete(LogConfig(), default) == LogConfig(type="local", config={"max-size": "1m"})
    given = LogConfig(type="local", config={"max-size": "2m"})
    assert logdrivers.complete(given, default) == given
    assert logdrivers.complete(LogConfig(type="none"), default) == LogConfig(type="none", config={})


def test_what_dockerd_has_and_we_do_not() -> None:
    with pytest.raises(Unsupported, match="syslog"):
        logdrivers.check("syslog", {})
    with pytest.raises(Invalid, match=r'^error looking up logging plugin odd: plugin "odd" not found$'):
        logdrivers.check("odd", {})


def test_plans() -> None:
    plan = logdrivers.plan(container(max_size="10k", max_file="3", compress="true"))
    assert (plan.max_size, plan.max_files, plan.compress, plan.buffer) == (10_000, 3, True, -1)
    plan = logdrivers.plan(container("local"))
    assert (plan.max_size, plan.max_files, plan.compress) == (20 * 1024 * 1024, 5, True)
    assert logdrivers.plan(container(mode="non-blocking")).buffer == 1_000_000
    assert logdrivers.plan(container(mode="non-blocking", max_buffer_size="2k")).buffer == 2048
    assert logdrivers.plan(container("none")).driver == "none"


def test_attributes() -> None:
    plan = logdrivers.plan(container(labels="x.y,nosuch", env_regex="^A", tag="{{.Name}}/{{ .ID }}"))
    assert plan.attributes == {"x.y": "label", "A": "1", "AB": "2", "tag": "box/0123456789ab"}
    assert logdrivers.journal_key("_x.y-1Z") == "X_Y_1Z"


@pytest.mark.parametrize("tag", ["{{.Odd}}", "{{if .Name}}x{{end}}", "{{ index .ContainerLabels 1 }}"])
def test_tags_that_we_cannot_render(tag: str) -> None:
    with pytest.raises(Invalid, match="log-opt tag"):
        logtag.render(tag, container())
    with pytest.raises(EngineError, match="failed to initialize logging driver: log-opt tag"):
        logdrivers.plan(container(tag=tag))


@pytest.mark.parametrize(
    ("text", "decimal", "binary"),
    [
        ("10", 10, 10),
        ("1.5k", 1500, 1536),
        ("2 MB", 2_000_000, 2 << 20),
        ("1GiB", 10**9, 1 << 30),
        ("5b", 5, 5),
    ],
)
def test_sizes(text: str, decimal: int, binary: int) -> None:
    assert (units.from_human_size(text), units.ram_in_bytes(text)) == (decimal, binary)


@pytest.mark.parametrize("text", ["", "k", "10x", "10kk", "1 2k", "-1", "--1", "1.2.3", "5bb", "1kibb"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="invalid"):
        units.from_human_size(text)


def test_messages_of_the_journal() -> None:
    fields: dict[str, str | list[int] | None] = {
        "PRIORITY": "3",
        "MESSAGE": [255, 65],
        "SYSLOG_TIMESTAMP": "2026-11-24T09:00:00.5Z",
        "CONTAINER_NAME": "box",
        "X_Y": "label",
        "_PID": "1",
    }
    entry = Entry("stderr", "2026-11-24T09:00:00.500000000Z", b"\xffA\n", {"X_Y": "label"})
    assert logjournal.parse(fields) == entry
    part = logjournal.parse(fields | {"CONTAINER_PARTIAL_MESSAGE": "true"})
    assert part is not None and part.text == b"\xffA"
    assert logjournal.parse(fields | {"PRIORITY": "5"}) is None
    assert "--lines=all" in logjournal.arguments("c", LogOptions(follow=True))
    assert "--lines=3" in logjournal.arguments("c", LogOptions(tail=3))
