"""The OCI command as its callers use it: as a command."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostagent.kernel import fds
from hostagent.kernel.cgroup import Cgroup
from tests.root.runtime.bundle import Bundle

pytestmark = pytest.mark.root

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def oci(bundle: Bundle, tmp_path: Path) -> Iterator[Command]:
    def run(*arguments: str, stdin: int | None = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
        # Files, not pipes: a detached container keeps its output open.
        out, err = tmp_path / "out", tmp_path / "err"
        command = [sys.executable, "-m", "hostagent.runtime", "--root", str(tmp_path / "run"), *arguments]
        with out.open("w") as stdout, err.open("w") as stderr:
            done = subprocess.run(command, stdin=stdin, stdout=stdout, stderr=stderr, timeout=30, check=False)
        return subprocess.CompletedProcess(command, done.returncode, out.read_text(), err.read_text())

    yield run
    run("delete", "--force", "c1")
    Cgroup(os.path.dirname(bundle.cgroup)).delete()


def state(oci: Command) -> str:
    return str(json.loads(oci("state", "c1").stdout)["status"])


def test_run_gives_output_and_exit_code(oci: Command, bundle: Bundle) -> None:
    bundle.write(bundle.document(["sh", "-c", "echo hi; exit 5"]))
    done = oci("run", "--bundle", str(bundle.path), "c1")
    assert (done.returncode, done.stdout) == (5, "hi\n")
    assert oci("state", "c1").stderr == "error: container 'c1' does not exist\n"


def test_life_of_a_container(oci: Command, bundle: Bundle, tmp_path: Path) -> None:
    bundle.write(bundle.document(["sleep", "100"]))
    pid_file = tmp_path / "pid"
    assert oci("create", "--bundle", str(bundle.path), "--pid-file", str(pid_file), "c1").returncode == 0
    assert state(oci) == "created"
    assert Path(f"/proc/{pid_file.read_text()}/status").exists()
    assert "exists already" in oci("create", "--bundle", str(bundle.path), "c1").stderr
    assert oci("start", "c1").returncode == 0
    assert state(oci) == "running"
    assert "only a created one" in oci("start", "c1").stderr
    assert "is running" in oci("delete", "c1").stderr
    assert oci("exec", "c1", "sh", "-c", "echo in $0 >&2; exit 4", "x").stderr == "in x\n"
    assert oci("kill", "c1", "KILL").returncode == 0
    deadline = time.monotonic() + 5
    while state(oci) != "stopped" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert oci("delete", "c1").returncode == 0
    assert list((tmp_path / "run").iterdir()) == []


def test_detached_container_outlives_the_command(oci: Command, bundle: Bundle) -> None:
    bundle.write(bundle.document(["sleep", "100"]))
    assert oci("run", "--detach", "--bundle", str(bundle.path), "c1").returncode == 0
    assert state(oci) == "running"
    assert oci(
        "exec", "-u", "ann", "--cwd", "/etc", "-e", "A=b", "c1", "sh", "-c", "id -un; pwd; echo $A"
    ).stdout == ("ann\n/etc\nb\n")
    assert oci("kill", "--all", "c1", "9").returncode == 0


def test_exec_exit_code_and_process_file(oci: Command, bundle: Bundle, tmp_path: Path) -> None:
    bundle.write(bundle.document(["sleep", "100"]))
    oci("run", "--detach", "--bundle", str(bundle.path), "c1")
    assert oci("exec", "c1", "sh", "-c", "exit 9").returncode == 9
    process = tmp_path / "process.json"
    size = {"height": 33, "width": 99}
    process.write_text(
        json.dumps(
            {
                "args": ["stty", "size"],
                "env": ["PATH=/bin"],
                "cwd": "/",
                "terminal": True,
                "consoleSize": size,
            }
        )
    )
    assert oci("exec", "--process", str(process), "c1").stdout.split() == ["33", "99"]


def test_start_errors_leave_nothing(oci: Command, bundle: Bundle, tmp_path: Path) -> None:
    bundle.write(bundle.document(["nosuch"]))
    done = oci("create", "--bundle", str(bundle.path), "c1")
    assert done.returncode == 1
    assert 'exec: "nosuch": executable file not found in $PATH' in done.stderr
    assert list((tmp_path / "run").iterdir()) == []
    assert not Cgroup(bundle.cgroup).exists()


def test_bad_input(oci: Command, bundle: Bundle) -> None:
    assert "no config.json in bundle" in oci("run", "--bundle", "/nosuch", "c1").stderr
    assert "invalid container ID" in oci("state", "../x").stderr
    bundle.write(
        {"process": {"args": ["true"]}, "root": {"path": "rootfs"}, "hooks": {"prestart": [{"path": "/x"}]}}
    )
    assert (
        oci("run", "--bundle", str(bundle.path), "c1").stderr
        == "error: config.json: hooks are not supported\n"
    )


def test_terminal_over_a_console_socket(oci: Command, bundle: Bundle, tmp_path: Path) -> None:
    bundle.write(bundle.document(["tty"], terminal=True))
    path = tmp_path / "console.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        assert (
            oci("create", "--bundle", str(bundle.path), "--console-socket", str(path), "c1").returncode == 0
        )
        connection, _ = listener.accept()
        with connection:
            _, (master,) = fds.recv_message(connection)
    with fds.owned(master):
        oci("start", "c1")
        assert os.read(master, 100) == b"/dev/pts/0\r\n"


def test_run_relays_a_terminal(oci: Command, bundle: Bundle) -> None:
    bundle.write(bundle.document(["sh", "-c", "read line; echo got $line"], terminal=True))
    reader, writer = os.pipe()
    os.write(writer, b"words\n")
    done = oci("run", "--bundle", str(bundle.path), "c1", stdin=reader)
    os.close(reader)
    os.close(writer)
    assert "got words" in done.stdout


def test_the_command_runs_from_a_sealed_python(oci: Command, bundle: Bundle) -> None:
    """With --init, PID 1 stays ours: the container can neither read nor open its binary."""
    script = "ls -l /proc/1/exe; cat /proc/1/environ; echo x >> /proc/1/exe"
    document = bundle.document(["sh", "-c", script])
    document["annotations"] = {"org.pymachine.init": "true"}
    bundle.write(document)
    done = oci("run", "--bundle", str(bundle.path), "c1")
    assert done.stderr.count("Permission denied") == 3, done.stderr


def test_plan_is_printed_and_not_done(oci: Command, bundle: Bundle) -> None:
    bundle.write(bundle.document(["true"]))
    lines = oci("plan", "--bundle", str(bundle.path)).stdout.splitlines()
    assert lines[1] == f"mount overlay of 1 layer(s) on {bundle.path}/rootfs"
    assert lines[-1] == "pivot into the new root"
    assert not any((bundle.path / "rootfs").iterdir())


def test_user_and_time_namespaces(oci: Command, bundle: Bundle, tmp_path: Path) -> None:
    mapping = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]
    document = bundle.document(["sh", "-c", "id -u; cat /proc/self/uid_map; exec sleep 100"])
    document["linux"]["namespaces"] += [{"type": "user"}, {"type": "time"}]
    document["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
    document["linux"]["timeOffsets"] = {"boottime": {"secs": 5_000_000}}
    bundle.write(document)
    pid_file = tmp_path / "pid"
    # The terminal of the command is a file here: created, the container waits for its start without us.
    assert oci("create", "--bundle", str(bundle.path), "--pid-file", str(pid_file), "c1").returncode == 0
    assert oci("start", "c1").returncode == 0
    assert state(oci) == "running"
    assert "Uid:\t100000\t" in Path(f"/proc/{pid_file.read_text()}/status").read_text()
    inside = oci("exec", "-u", "ann", "c1", "sh", "-c", "id -u; cat /proc/uptime; exit 3")
    user, uptime, _idle = inside.stdout.split()
    assert (inside.returncode, user, float(uptime) > 5_000_000) == (3, "1001", True)
    assert oci("delete", "--force", "c1").returncode == 0
    document["process"]["args"] = ["sh", "-c", "exit 6"]
    bundle.write(document)
    assert oci("run", "--bundle", str(bundle.path), "c1").returncode == 6
