"""What a container shares with the host and with another container, as it sees it itself."""

from __future__ import annotations

import pytest

from tests.root.differential.conftest import Same, long_after
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

KINDS = ("pid", "ipc", "uts", "net", "mnt", "cgroup")


def _links(engine: Engine, name: str) -> dict[str, str]:
    """Namespaces of a container's first process, by the engine's own /proc."""
    return dict(
        line.split(" ")
        for line in engine.ok(
            "exec",
            name,
            "sh",
            "-c",
            f"for n in {' '.join(KINDS)}; do echo $n $(readlink /proc/self/ns/$n); done",
        ).splitlines()
    )


def _shared(engine: Engine, first: str, second: str) -> list[str]:
    ours, theirs = _links(engine, first), _links(engine, second)
    return [kind for kind in KINDS if ours[kind] == theirs[kind]]


def test_shared_with_another_container(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        engine.ok("run", "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sleep", "60")
        for name, option in (("pid", "--pid"), ("ipc", "--ipc"), ("net", "--network")):
            engine.ok("run", "-d", "--name", name, option, "container:donor", "busybox", "sleep", "60")
        told.append({name: _shared(engine, "donor", name) for name in ("pid", "ipc", "net")})
        engine.ok("exec", "donor", "sh", "-c", "echo seen > /dev/shm/file")
        assert engine.ok("exec", "ipc", "cat", "/dev/shm/file") == "seen"
        assert engine.ok("exec", "net", "cat", "/etc/hosts") == engine.ok(
            "exec", "donor", "cat", "/etc/hosts"
        )
        assert engine.ok("exec", "net", "hostname") == engine.ok("exec", "donor", "hostname")
        assert "sleep" in engine.ok("exec", "pid", "ps")
        # Its processes are one container's: the end of the donor of a PID namespace is the other's end too.
        engine.ok("kill", "pid")
        engine.wait_for("pid", "{{.State.ExitCode}}", "137")
        assert engine.inspect("donor", "{{.State.Running}}") == "true"
    assert told[0] == told[1]


def test_shared_with_the_host(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        options = (
            "--pid",
            "host",
            "--ipc",
            "host",
            "--uts",
            "host",
            "--network",
            "host",
            "--cgroupns",
            "host",
        )
        engine.ok("run", "-d", "--name", "one", *options, "busybox", "sh", "-c", "sleep 61 & sleep 60")
        engine.ok("run", "-d", "--name", "two", *options, "busybox", "sleep", "60")
        engine.ok("run", "-d", "--name", "three", "--cgroupns", "private", "busybox", "sleep", "60")
        shm = engine.ok("exec", "one", "stat", "-f", "-c", "%T", "/dev/shm")
        told.append((_shared(engine, "one", "two"), _shared(engine, "one", "three"), shm))
        # PID 1 is the host's: what the container leaves is ended with it all the same.
        engine.ok("kill", "one")
        engine.wait_for("one", "{{.State.Running}}", "false")
        assert "sleep 61" not in engine.ok("exec", "two", "ps")
    assert told[0] == told[1]


def test_own_memory_segments_are_not_joined(same: Same) -> None:
    same("run", "-d", "--name", "mine", "busybox", "sleep", "60")
    same("run", "--rm", "--ipc", "container:mine", "busybox", "true")
    same("run", "--rm", "--ipc", "none", "busybox", "ls", "/dev")
    same("run", "--rm", "--ipc", "host", "--shm-size", "1m", "busybox", "true")
    same("run", "--rm", "--ipc", "shareable", "--shm-size", "1m", "busybox", "df", "-k", "/dev/shm")


@pytest.mark.parametrize(
    "options",
    long_after(
        8,
        [
            ["--network", "container:ghost"],
            ["--pid", "container:ghost"],
            ["--ipc", "container:ghost"],
            ["--network", "container:off"],
            ["--pid", "container:off"],
            ["--ipc", "container:off"],
            ["--network", "container:off", "--hostname", "x"],
            ["--network", "container:off", "-p", "80:80"],
            ["--network", "container:off", "--expose", "80"],
            ["--network", "container:off", "--dns", "1.1.1.1"],
            ["--network", "container:off", "--add-host", "a:1.1.1.1"],
            ["--network", "container:off", "--link", "off:off"],
            ["--network", "host", "--link", "off:off"],
            ["--uts", "host", "--hostname", "x"],
        ],
    ),
)
def test_what_cannot_be_shared(same: Same, options: list[str]) -> None:
    same("create", "--name", "off", "busybox", "true")
    same("run", "--rm", *options, "busybox", "true")


def test_modes_that_are_none(both: tuple[Engine, Engine]) -> None:
    wrong: list[dict[str, object]] = [
        {"PidMode": "odd"},
        {"PidMode": "container:"},
        {"IpcMode": "odd"},
        {"UTSMode": "odd"},
        {"CgroupnsMode": "odd"},
        {"NetworkMode": "container:"},
        {"Isolation": "hyperv"},
        {"Runtime": "odd/name"},
        {"StorageOpt": {"size": "1G"}},
        {"StorageOpt": {"odd": "1"}},
        {"Annotations": {"": "x"}},
        {"SecurityOpt": ["odd"]},
        {"SecurityOpt": ["odd=1"]},
        {"SecurityOpt": ["no-new-privileges=maybe"]},
    ]
    differing = []
    for host in wrong:
        body = {"Image": "busybox", "HostConfig": host}
        theirs, ours = (engine.api("POST", "/v1.44/containers/create", body) for engine in both)
        if (theirs.status, theirs.message) != (ours.status, ours.message):
            differing.append(
                f"{host}\n    {theirs.status} {theirs.message}\n    {ours.status} {ours.message}"
            )
    assert not differing, "\n".join(differing)


def test_as_inspect_shows_them(both: tuple[Engine, Engine]) -> None:
    fields = (
        "PidMode IpcMode UTSMode CgroupnsMode NetworkMode SecurityOpt Privileged MaskedPaths ReadonlyPaths"
    )
    template = " ".join(f"{{{{json .HostConfig.{name}}}}}" for name in fields.split())
    told = []
    for engine in both:
        donor = engine.ok("run", "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sleep", "60")
        shown = []
        for options in (
            ["--pid", "host"],
            ["--ipc", "host", "--uts", "host"],
            ["--privileged"],
            ["--security-opt", "systempaths=unconfined"],
            ["--security-opt", "no-new-privileges"],
            ["--network", "container:donor", "--pid", "container:donor", "--ipc", "container:donor"],
        ):
            made = engine.ok("create", *options, "busybox")
            shown.append(engine.inspect(made, template).replace(donor, "DONOR"))
        told.append(shown)
    # Justified: dockerd 26.1 does not hide /proc/interrupts.
    assert [line.replace('"/proc/interrupts",', "") for line in told[1]] == told[0]


def test_init_only_where_there_is_none(same: Same) -> None:
    same("run", "-d", "--name", "donor", "busybox", "sleep", "60")
    same(
        "run",
        "--rm",
        "--init",
        "--pid",
        "container:donor",
        "busybox",
        "sh",
        "-c",
        "cat /proc/1/comm",
    )


def test_the_life_of_a_shared_network(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        engine.ok("run", "-d", "--name", "donor", "--hostname", "donor", "busybox", "sleep", "60")
        engine.ok("run", "-d", "--name", "guest", "--network", "container:donor", "busybox", "sleep", "60")
        template = "{{.HostsPath}} {{.ResolvConfPath}} {{.HostnamePath}}"
        same_files = engine.inspect("guest", template) == engine.inspect("donor", template)
        shown = engine.inspect("guest", "{{json .NetworkSettings.Networks}} {{.NetworkSettings.IPAddress}}")
        address = ("exec", "guest", "cat", "/sys/class/net/eth0/address")
        before = engine.docker(*address).code
        # The donor's network goes away with it, and the guest stays behind with an empty one until it starts anew.
        engine.ok("restart", "-t", "0", "donor")
        behind = engine.docker(*address).code
        engine.ok("restart", "-t", "0", "guest")
        again = engine.docker(*address).code
        shared = _shared(engine, "donor", "guest")
        engine.ok("stop", "-t", "0", "donor")
        running = engine.inspect("guest", "{{.State.Running}}")
        refused = engine.docker("restart", "-t", "0", "guest")
        ident = engine.inspect("donor", "{{.Id}}")
        error = refused.err.replace(ident, "DONOR")
        told.append((same_files, shown, before, behind, again, shared, running, refused.code, error))
    assert told[0] == told[1]


def test_what_is_inspected_of_security(both: tuple[Engine, Engine]) -> None:
    template = (
        "{{json .AppArmorProfile}} {{json .ProcessLabel}} {{json .MountLabel}} {{json .HostConfig.Devices}}"
    )
    told = []
    for engine in both:
        options = (
            "--security-opt",
            "apparmor=unconfined",
            "--device",
            "/dev/null:/dev/x:r",
            "--group-add",
            "5",
        )
        made = engine.ok("create", *options, "--annotation", "a=b", "busybox")
        more = " {{json .HostConfig.Annotations}} {{json .HostConfig.GroupAdd}} {{json .HostConfig.Runtime}}"
        told.append(engine.inspect(made, template + more))
    assert told[0] == told[1]


def test_top_and_stop_with_the_host_s_processes(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        script = "trap 'exit 5' TERM; sleep 61 & sleep 62 & wait"
        engine.ok("run", "-d", "--name", "box", "--pid", "host", "busybox", "sh", "-c", script)
        engine.ok("run", "-d", "--name", "guest", "--pid", "container:box", "busybox", "sleep", "63")
        shown = [
            sorted(
                line.split(None, 1)[-1] for line in engine.ok("top", name, "-o", "pid,args").splitlines()[1:]
            )
            for name in ("box", "guest")
        ]
        engine.ok("exec", "-d", "box", "sleep", "64")
        engine.ok("stop", "box")
        code = engine.inspect("box", "{{.State.ExitCode}}")
        guest = engine.inspect("guest", "{{.State.Running}}")
        left = [line for line in engine.ok("exec", "guest", "ps").splitlines() if "sleep 6" in line]
        told.append((shown, code, guest, len(left)))
    assert told[0] == told[1]
