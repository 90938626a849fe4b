"""Tables, values, ports and the loss that `rm` tells: what a person reads."""

from __future__ import annotations

import pytest

from hostagent.wire import ContainerSummary, ImageSummary, Port, Progress, ProgressDetail
from machine.cli import forward, machine_env, machine_rm, output, ps, show, terminal, values
from machine.cli.registry_auth import registry_of
from machine.cli.step_progress import line
from machine.cli.transfer_progress import Tally
from machine.errors import Usage
from machine.workflow.progress import StepEvent

COLUMNS = (output.Column("NAME", "Name"), output.Column("WIDE", "Wide"))
RECORDS = [{"Name": "a", "Wide": "日本"}, {"Name": "long", "Wide": "x"}]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, "NAME   WIDE\na      日本\nlong   x\n"),
        ({"quiet": True}, "a\nlong\n"),
        ({"as_json": True}, '{"Name": "a", "Wide": "日本"}\n{"Name": "long", "Wide": "x"}\n'),
        ({"form": "{{.Name}}!"}, "a!\nlong!\n"),
        ({"form": r"table {{.Name}}\t{{.Wide}}"}, "NAME   WIDE\na      日本\nlong   x\n"),
    ],
)
def test_lists(chosen: dict[str, object], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.print_list(RECORDS, COLUMNS, key="Name", **chosen)  # type: ignore[arg-type]  # a table of keywords
    assert capsys.readouterr().out == expected


def test_forms_exclude_each_other() -> None:
    with pytest.raises(Usage):
        output.print_list(RECORDS, COLUMNS, key="Name", quiet=True, as_json=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (61, "About a minute"),
        (600, "10 minutes"),
        (3600, "About an hour"),
        (7200 * 2, "4 hours"),
        (86400 * 3, "3 days"),
        (86400 * 20, "2 weeks"),
        (86400 * 100, "3 months"),
        (86400 * 800, "2 years"),
    ],
)
def test_span(seconds: float, text: str) -> None:
    assert show.span(seconds) == text


def test_sizes() -> None:
    assert [show.size(n) for n in (0, 999, 4_261_550, 1_500_000_000)] == ["0B", "999B", "4.26MB", "1.5GB"]
    assert [values.size(t) for t in ("512m", "1.5g", "10", "2KiB")] == [536870912, 1610612736, 10, 2048]


def test_ports_are_drawn_together() -> None:
    found = [
        Port(ip="0.0.0.0", private_port=80, public_port=8080, type="tcp"),
        Port(ip="::", private_port=80, public_port=8080, type="tcp"),
        Port(ip="127.0.0.1", private_port=90, public_port=90, type="udp"),
        Port(ip="127.0.0.1", private_port=91, public_port=91, type="udp"),
        Port(private_port=443, type="tcp"),
    ]
    assert ps.ports(found) == "0.0.0.0:8080->80/tcp, 127.0.0.1:90-91->90-91/udp, [::]:8080->80/tcp, 443/tcp"


def test_loss() -> None:
    containers = [
        ContainerSummary(id="1" * 64, names=["/web"], state="running"),
        ContainerSummary(id="2" * 64, names=["/old"], state="exited"),
    ]
    images = [
        ImageSummary(id="sha256:" + "a" * 64, repo_tags=["app:dev"]),
        ImageSummary(id="sha256:" + "b" * 64, repo_tags=["pulled:1"], repo_digests=["pulled@sha256:x"]),
    ]
    text = machine_rm.describe("dev1", machine_rm.loss(containers, images))
    assert text == (
        "dev1 holds 1 running container (web), 1 stopped container and 1 image (app:dev) that exist nowhere else."
    )
    assert "no containers" in machine_rm.describe("dev1", machine_rm.loss([], images[1:]))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("80", (("127.0.0.1", 80), ("127.0.0.1", 80))),
        ("8080:80", (("127.0.0.1", 8080), ("127.0.0.1", 80))),
        ("8080:db:5432", (("127.0.0.1", 8080), ("db", 5432))),
        ("0.0.0.0:0:[::1]:80", (("0.0.0.0", 0), ("::1", 80))),
    ],
)
def test_forward_words(word: str, expected: object) -> None:
    assert forward.parse(word) == expected


@pytest.mark.parametrize("word", ["", "a", "1:b", "99999", "1:2:3:4:5", "::1:80"])
def test_wrong_forward_words(word: str) -> None:
    with pytest.raises(Usage):
        forward.parse(word)


def test_env_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    settings = {"DOCKER_HOST": "unix:///a b"}
    assert machine_env.set_lines("sh", settings, "pymachine env dev1") == [
        "export DOCKER_HOST='unix:///a b'",
        "unset DOCKER_TLS_VERIFY",
        '# eval "$(pymachine env dev1)"',
    ]
    assert machine_env.set_lines("fish", settings, "pymachine env dev1")[:2] == [
        "set -gx DOCKER_HOST 'unix:///a b';",
        "set -e DOCKER_TLS_VERIFY;",
    ]
    assert machine_env.unset_lines("sh") == ["unset DOCKER_HOST", "unset PYMACHINE_MACHINE"]
    with pytest.raises(Usage):
        machine_env.shell_of("tcsh")


def test_detach_keys_split_over_reads() -> None:
    keys = terminal.DetachFilter(terminal.parse_detach_keys("ctrl-p,ctrl-q"))
    assert keys.feed(b"a\x10") == (b"a", False)
    assert keys.feed(b"b") == (b"\x10b", False)
    assert keys.feed(b"\x10\x10") == (b"\x10", False)
    assert keys.feed(b"\x11rest") == (b"", True)
    assert terminal.parse_detach_keys("ctrl-a,d,ctrl-@") == b"\x01d\x00"
    with pytest.raises(Usage):
        terminal.parse_detach_keys("ctrl-")


def test_moments() -> None:
    assert float(values.moment("1h30m", 10_000.0)) == 4600.0
    assert values.moment("123.5", 0) == "123.5"
    assert float(values.moment("1970-01-01T00:01:00Z", 0)) == 60.0
    with pytest.raises(Usage):
        values.moment("yesterday", 0)


def test_registry_of_a_name() -> None:
    hub = "https://index.docker.io/v1/"
    names = ["debian", "me/app", "docker.io/x", "localhost/x", "127.0.0.1:5000/a/b:1", "r.example.com/x"]
    assert [registry_of(n) for n in names] == [hub, hub, hub, "localhost", "127.0.0.1:5000", "r.example.com"]


def test_tally() -> None:
    tally = Tally()
    assert not tally.add(Progress(status="Pulling from library/x", id="latest"))
    tally.add(Progress(id="a", status="Downloading", progress_detail=ProgressDetail(current=50, total=100)))
    tally.add(Progress(id="b", status="Already exists"))
    assert tally.line() == "██████████░░░░░░░░░░  50B/100B  1 of 2 layers"
    tally.add(Progress(id="a", status="Download complete"))
    tally.add(Progress(id="a", status="Pull complete"))
    assert tally.line().endswith("100B/100B  2 of 2 layers")


def test_step_lines() -> None:
    event = StepEvent("host dev1", "done", 1.9, "10.89.0.2", "boot it")
    assert line(event, "✓") == "  ✓ host dev1" + " " * 28 + "1.9 s   10.89.0.2"
    cached = StepEvent("root", "done", 0.01, "cached", "")
    assert line(cached, "✓").split() == ["✓", "root", "cached"]
