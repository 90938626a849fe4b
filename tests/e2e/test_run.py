"""`docker run` and its options, on dockerd and on ours."""

from __future__ import annotations

import json
import os
import stat

import pytest

from tests.servers.engine import Engine


def test_output_and_exit_code(engine: Engine) -> None:
    result = engine.docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (result.code, result.out, result.err) == (42, "out\n", "err\n")


def test_killed_by_a_signal_is_128_plus_its_number(engine: Engine) -> None:
    with engine.start("run", "--name", "box", "busybox", "sleep", "60") as client:
        engine.wait_until_running("box")
        engine.ok("kill", "box")
        assert client.wait(10) == 137


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        (["nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
        (["/no/such"], 127, 'exec: "/no/such": stat /no/such: no such file or directory'),
        (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
        (["/etc"], 126, 'exec: "/etc": is a directory'),
    ],
)
def test_what_cannot_be_executed(engine: Engine, command: list[str], code: int, text: str) -> None:
    result = engine.docker("run", "--rm", "busybox", *command)
    assert result.code == code
    assert text in result.err


def test_wrong_options_are_125(engine: Engine) -> None:
    result = engine.docker("run", "--rm", "--restart", "always", "busybox", "true")
    assert result.code in (1, 125)
    assert engine.docker("run", "--rm", "-w", "relative", "busybox", "true").code == 125
    assert engine.docker("run", "--rm", "-u", "nobodyhere", "busybox", "true").code in (125, 126)


def test_environment(engine: Engine) -> None:
    file = engine.share / "env"
    file.write_text("# comment\nFROM_FILE=one two\n")
    argv = [
        "run",
        "--rm",
        "-e",
        "A=1",
        "-e",
        "EMPTY=",
        "--env-file",
        str(file),
        "-h",
        "box",
        "busybox",
        "env",
    ]
    lines = set(engine.ok(*argv).splitlines())
    assert {"A=1", "EMPTY=", "FROM_FILE=one two", "HOSTNAME=box", "HOME=/root"} <= lines
    assert any(line.startswith("PATH=/usr/local/sbin") for line in lines)
    assert not any(line.startswith("TERM=") for line in lines)


def test_working_folder_is_made(engine: Engine) -> None:
    assert engine.ok("run", "--rm", "-w", "/a/b/c", "busybox", "pwd") == "/a/b/c"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("www", "uid=33(www) gid=33(www) groups=33(www),50(staff)"),
        ("33", "uid=33(www) gid=33(www) groups=33(www),50(staff)"),
        ("www:daemon", "uid=33(www) gid=1(daemon) groups=1(daemon)"),
        ("12345:54321", "uid=12345 gid=54321 groups=54321"),
        ("0", "uid=0(root) gid=0(root) groups=0(root)"),
    ],
)
def test_user(engine: Engine, user: str, expected: str) -> None:
    assert engine.ok("run", "--rm", "-u", user, "busybox", "id") == expected


def test_entrypoint(engine: Engine) -> None:
    assert engine.ok("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b") == "a b"
    assert engine.docker("run", "--rm", "--entrypoint", "/bin/false", "busybox").code == 1


def test_name_label_hostname(engine: Engine) -> None:
    engine.ok(
        "run", "-d", "--name", "n1", "--label", "a=b", "--hostname", "h.example", "busybox", "sleep", "60"
    )
    assert engine.inspect("n1", '{{.Name}} {{index .Config.Labels "a"}}') == "/n1 b"
    assert engine.inspect("n1", "{{.Config.Hostname}}.{{.Config.Domainname}}") == "h.example."
    assert engine.ok("exec", "n1", "hostname") == "h.example"
    assert engine.ok("ps", "-q", "--filter", "label=a=b", "--filter", "name=n1") != ""
    assert engine.ok("ps", "-q", "--filter", "label=a=c") == ""
    result = engine.docker("run", "--name", "n1", "busybox", "true")
    assert result.code == 125
    assert 'The container name "/n1" is already in use by container' in result.err


def test_rm_leaves_no_container(engine: Engine) -> None:
    engine.ok("run", "--rm", "busybox", "true")
    assert engine.ok("ps", "-aq") == ""


def test_bind_mounts(engine: Engine) -> None:
    folder = engine.share / "bind"
    folder.mkdir(exist_ok=True)
    (folder / "in").write_text("from outside")
    volume = f"{folder}:/data"
    assert engine.ok("run", "--rm", "-v", volume, "busybox", "cat", "/data/in") == "from outside"
    engine.ok("run", "--rm", "-v", volume, "busybox", "sh", "-c", "echo inside >/data/out")
    assert (folder / "out").read_text() == "inside\n"
    denied = engine.docker("run", "--rm", "-v", f"{volume}:ro", "busybox", "touch", "/data/x")
    assert denied.code == 1
    assert "Read-only file system" in denied.err
    assert (
        engine.ok("run", "--rm", "-v", f"{folder}/in:/etc/one:ro", "busybox", "cat", "/etc/one")
        == "from outside"
    )
    made = engine.share / "made-by-the-engine"
    engine.ok("run", "--rm", "-v", f"{made}:/x", "busybox", "true")
    assert made.is_dir()
    missing = engine.docker("run", "--rm", "--mount", "type=bind,src=/no/such,dst=/x", "busybox", "true")
    assert missing.code == 125
    assert "bind source path does not exist: /no/such" in missing.err


def test_tmpfs(engine: Engine) -> None:
    said = engine.ok(
        "run",
        "--rm",
        "--tmpfs",
        "/t:size=1m,mode=700",
        "busybox",
        "sh",
        "-c",
        "grep ' /t ' /proc/mounts; stat -c %a /t",
    )
    assert "size=1024k" in said
    assert "noexec" in said
    assert said.endswith("700")


def test_read_only_root(engine: Engine) -> None:
    result = engine.docker("run", "--rm", "--read-only", "busybox", "touch", "/x")
    assert result.code == 1
    assert "Read-only file system" in result.err


def test_init_reaps(engine: Engine) -> None:
    script = "(sleep 0.1 &) ; sleep 0.5; ps -o pid,stat,comm"
    engine.ok("run", "-d", "--init", "--name", "box", "busybox", "sh", "-c", "sleep 60")
    assert engine.inspect("box", "{{.HostConfig.Init}}") == "true"
    said = engine.ok("run", "--rm", "--init", "busybox", "sh", "-c", script)
    assert " Z" not in said
    first = engine.ok("exec", "box", "cat", "/proc/1/cmdline")
    assert not first.startswith("sh")


def test_limits(engine: Engine) -> None:
    argv = ["-m", "64m", "--cpus", "0.5", "--pids-limit", "50"]
    engine.ok("run", "-d", "--name", "box", *argv, "busybox", "sleep", "60")
    template = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}"
    assert engine.inspect("box", template) == "67108864 500000000 50"
    groups = engine.ok(
        "exec",
        "box",
        "sh",
        "-c",
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true",
    )
    assert "67108864" in groups.split()
    forks = engine.docker(
        "exec", "box", "sh", "-c", "for i in $(seq 100); do sleep 5 & done; wait", timeout=30
    )
    assert "can't fork" in forks.err or "Resource" in forks.err


def test_init_as_another_user(engine: Engine) -> None:
    """PID 1 of --init has no more rights than the program."""
    assert engine.ok("run", "--rm", "--init", "-u", "www", "--read-only", "busybox", "id", "-u") == "33"


def test_out_of_memory(engine: Engine) -> None:
    """dockerd learns of the kill from an event that may come after the exit: it gets three tries, ours one."""
    script = "dd if=/dev/zero of=/dev/null bs=200M count=1"
    limits = ("-m", "16m", "--memory-swap", "16m")
    seen = []
    for attempt in range(3 if engine.name == "dockerd" else 1):
        name = f"box{attempt}"
        engine.docker("run", "--name", name, *limits, "busybox", "sh", "-c", f"exec {script}")
        seen.append(engine.inspect(name, "{{.State.OOMKilled}} {{.State.ExitCode}}"))
    assert "true 137" in seen


def test_capabilities(engine: Engine) -> None:
    def effective(*argv: str) -> int:
        line = engine.ok("run", "--rm", *argv, "busybox", "grep", "CapEff", "/proc/self/status")
        return int(line.split()[1], 16)

    assert effective() == 0x00000000A80425FB
    assert effective("--cap-drop", "ALL") == 0
    assert effective("--cap-drop", "ALL", "--cap-add", "NET_ADMIN") == 1 << 12
    assert effective("--cap-add", "SYS_TIME", "--cap-drop", "CHOWN") == (0xA80425FB | 1 << 25) & ~1
    assert effective("-u", "33") == 0
    wrong = engine.docker("run", "--rm", "--cap-add", "NOPE", "busybox", "true")
    assert wrong.code == 125
    assert "unknown capability" in wrong.err.lower() or "invalid cap" in wrong.err.lower()


def test_isolation(engine: Engine) -> None:
    def inside(script: str) -> str:
        return engine.ok("run", "--rm", "busybox", "sh", "-c", script)

    assert "PPid:\t0" in inside("cat /proc/1/status; exit 0")
    assert "Seccomp:\t2" in inside("cat /proc/self/status")
    for refused in (
        "echo 1 >/proc/sys/kernel/sysrq",
        "mount -t tmpfs x /tmp",
        "mkdir /sys/x",
        "ls /sys/firmware/*",
        "unshare -n true",
    ):
        inside(f"! ({refused})")
    devices = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert inside("echo $(ls /dev | grep -v core)") == devices


def test_networks(engine: Engine) -> None:
    assert "eth0" not in engine.ok("run", "--rm", "--network", "none", "busybox", "ip", "-o", "addr")
    host = engine.ok("run", "--rm", "--network", "host", "busybox", "ip", "-o", "addr", "show", "eth0")
    assert "198.51.100.2" in host
    bridge = engine.ok("run", "--rm", "busybox", "ip", "-o", "-4", "addr", "show", "eth0")
    assert " 172.17.0." in bridge
    assert (
        engine.ok("run", "--rm", "busybox", "ping", "-c1", "-W3", "198.51.100.1").count("1 packets received")
        == 1
    )
    assert "127.0.0.1\tlocalhost" in engine.ok("run", "--rm", "-h", "me", "busybox", "cat", "/etc/hosts")


def test_containers_reach_each_other(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "web", "busybox", "httpd", "-f", "-h", "/etc")
    address = engine.inspect("web", "{{.NetworkSettings.IPAddress}}")
    said = engine.ok("run", "--rm", "busybox", "wget", "-qO-", f"http://{address}/hosts")
    assert address in said


def test_stop_signal_and_timeout(engine: Engine) -> None:
    script = "trap 'echo got; exit 3' USR1; while :; do sleep 0.1; done"
    argv = ["--stop-signal", "USR1", "--stop-timeout", "7"]
    engine.ok("run", "-d", "--name", "box", *argv, "busybox", "sh", "-c", script)
    assert engine.inspect("box", "{{.Config.StopSignal}} {{.Config.StopTimeout}}") == "USR1 7"
    engine.ok("stop", "box")
    assert engine.inspect("box", "{{.State.ExitCode}}") == "3"
    assert engine.ok("logs", "box") == "got"


def test_stop_kills_after_the_timeout(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    engine.ok("stop", "-t", "1", "box")
    assert engine.inspect("box", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"


def test_a_random_name_and_a_cidfile(engine: Engine) -> None:
    file = engine.share / f"cid-{os.getpid()}"
    file.unlink(missing_ok=True)
    identity = engine.ok("run", "-d", "--cidfile", str(file), "busybox", "sleep", "60")
    assert file.read_text() == identity
    assert len(identity) == 64
    name = engine.inspect(identity[:12], "{{.Name}}")
    assert name.startswith("/")
    assert "_" in name


def test_inspect_fields(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "-e", "A=b", "busybox", "sleep", "60")
    (found,) = json.loads(engine.ok("inspect", "box"))
    assert found["Path"] == "sleep"
    assert found["Args"] == ["60"]
    assert found["State"]["Running"] is True
    assert found["State"]["Pid"] > 0
    assert found["Image"].startswith("sha256:")
    assert found["Config"]["Image"] == "busybox"
    assert found["Config"]["Cmd"] == ["sleep", "60"]
    assert found["HostConfig"]["NetworkMode"] in ("default", "bridge")
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert found["Created"].endswith("Z")
    assert found["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
    assert found["Platform"] == "linux"
    assert found["Driver"] == "overlay2"


def test_a_socket_can_be_mounted(engine: Engine) -> None:
    """testcontainers' reaper and many tools get the engine's own socket as a bind."""
    assert stat.S_ISSOCK(engine.socket.stat().st_mode)
    said = engine.ok(
        "run", "--rm", "-v", f"{engine.socket}:/s.sock", "busybox", "stat", "-c", "%F", "/s.sock"
    )
    assert said == "socket"
