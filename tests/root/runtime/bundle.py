"""A bundle with a busybox layer, and a parent that runs containers of it as the shim does."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostagent.kernel import fds, pty
from hostagent.kernel.cgroup import Cgroup
from hostagent.runtime import birth, messages
from hostagent.runtime import spec as specs
from tests.leaks import TAG
from tests.tools import need

APPLETS = "sh true false cat echo id ls ps sleep mount mkdir touch chmod grep stat kill mknod ln head tty stty wc env"
NAMESPACES = ("mount", "pid", "uts", "ipc", "network", "cgroup")
DEFAULT_CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_MKNOD", "CAP_SETGID", "CAP_SETUID")
MASKED = ("/proc/keys", "/proc/kcore", "/proc/acpi", "/proc/nosuch", "/sys/firmware")
READONLY = ("/proc/sys", "/proc/irq", "/proc/nosuch")

Json = dict[str, Any]


@dataclass
class Result:
    code: int
    out: str
    err: str
    failed: messages.Failed | None
    warnings: tuple[str, ...] = ()


@dataclass
class Running:
    spec: specs.Spec
    child: birth.Child
    streams: dict[str, int] = field(default_factory=dict)
    master: int = -1


class Bundle:
    """config.json as a document that tests change before they run it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.layer = path / "layer"
        self.cgroup = f"/{TAG}-{path.name}/c"
        for folder in ("layer/bin", "layer/etc", "layer/tmp", "upper", "work", "rootfs"):
            (path / folder).mkdir(parents=True)
        shutil.copy(need("busybox", "busybox-static"), self.layer / "bin/busybox")
        for applet in APPLETS.split():
            (self.layer / "bin" / applet).symlink_to("busybox")
        (self.layer / "etc/passwd").write_text(
            "root:x:0:0:root:/root:/bin/sh\nann:x:1001:1002:Ann:/home/ann:/bin/sh\n"
        )
        (self.layer / "etc/group").write_text("root:x:0:\nann:x:1002:\nwheel:x:10:root,ann\n")

    def document(self, args: Sequence[str], **process: object) -> Json:
        return {
            "ociVersion": "1.1.0",
            "process": {
                "args": list(args),
                "env": ["PATH=/bin"],
                "cwd": "/",
                "user": {"uid": 0, "gid": 0},
                "capabilities": {
                    kind: list(DEFAULT_CAPABILITIES) for kind in ("bounding", "effective", "permitted")
                },
                **process,
            },
            "root": {"path": "rootfs"},
            "hostname": "box",
            "mounts": [
                mount(
                    "/",
                    "overlay",
                    f"lowerdir={self.layer}",
                    f"upperdir={self.path}/upper",
                    f"workdir={self.path}/work",
                ),
                mount("/proc", "proc", "nosuid", "noexec", "nodev"),
                mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
                mount(
                    "/dev/pts",
                    "devpts",
                    "nosuid",
                    "noexec",
                    "newinstance",
                    "ptmxmode=0666",
                    "mode=0620",
                    "gid=5",
                ),
                mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
                mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
                mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=64m"),
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in NAMESPACES],
                "cgroupsPath": self.cgroup,
                "resources": {},
                "maskedPaths": list(MASKED),
                "readonlyPaths": list(READONLY),
            },
        }

    def write(self, document: Json) -> None:
        (self.path / "config.json").write_text(json.dumps(document))

    def run(self, args: Sequence[str] | Json, **process: object) -> Result:
        """To the end, with everything that it wrote."""
        document = args if isinstance(args, dict) else self.document(args, **process)
        with self.running(document) as container:
            failed = talk(container)
            out, err = read_all(container.streams["stdout"]), read_all(container.streams["stderr"])
            code = reap(container)
        return Result(code, out, err, failed, container.child.warnings)

    @contextmanager
    def running(self, document: Json) -> Iterator[Running]:
        """A forked container; its parent has not talked to it yet (`talk`). Killed at the end of the block."""
        spec = specs.parse(json.dumps(document))
        inner, streams = (None, {}) if spec.process.terminal else pipes()
        try:
            child = birth.fork_init(spec, str(self.path), inner)
        except Exception:
            for fd in streams.values():
                os.close(fd)
            Cgroup(spec.cgroups_path).delete()
            Cgroup(os.path.dirname(spec.cgroups_path)).delete()
            raise
        finally:
            for fd in inner or ():
                os.close(fd)
        container = Running(spec, child, streams)
        try:
            yield container
        finally:
            Cgroup(spec.cgroups_path).kill()
            try:
                os.waitpid(child.pid, 0)
            except ChildProcessError:
                pass  # reaped by the test
            for fd in (
                *streams.values(),
                child.pidfd,
                *([container.master] if container.master >= 0 else []),
            ):
                os.close(fd)
            child.channel.close()
            birth.leave_pid_namespace(child)
            Cgroup(spec.cgroups_path).delete()
            Cgroup(os.path.dirname(spec.cgroups_path)).delete()


def mount(destination: str, kind: str, *options: str, source: str | None = None) -> Json:
    return {"destination": destination, "type": kind, "source": source or kind, "options": list(options)}


def pipes() -> tuple[tuple[int, int, int], dict[str, int]]:
    """The inner ends in order, the outer ones by name; stdin is /dev/null."""
    stdin = os.open("/dev/null", os.O_RDONLY)
    out_reader, out_writer = os.pipe()
    err_reader, err_writer = os.pipe()
    return (stdin, out_writer, err_writer), {"stdout": out_reader, "stderr": err_reader}


def talk(container: Running, network: Sequence[Json] = ()) -> messages.Failed | None:
    """What a parent says while a container starts; None when the program runs."""
    channel = container.child.channel
    while True:
        data, received = fds.recv_message(channel)
        if not data:
            return None
        match messages.decode(data):
            case messages.Namespaces():
                if container.spec.new_network_namespace:
                    text = json.dumps({"type": "network", "interfaces": list(network)})
                    fds.send_message(channel, text.encode())
            case messages.Console():
                (container.master,) = received
                pty.set_size(container.master, 24, 80)
            case messages.Failed() as failed:
                return failed


def reap(container: Running) -> int:
    _, status = os.waitpid(container.child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def read_all(fd: int) -> str:
    chunks: list[bytes] = []
    while True:
        try:
            chunk = os.read(fd, 65536)
        except OSError:  # a terminal's other end is closed
            chunk = b""
        if not chunk:
            return b"".join(chunks).decode()
        chunks.append(chunk)


def execute(container: Running, args: Sequence[str], **process: object) -> Result:
    """A further process in a running container, to its end."""
    document = {"args": list(args), "env": ["PATH=/bin"], "cwd": "/", **process}
    parsed = specs.parse_process(document)
    inner, streams = (None, {}) if parsed.terminal else pipes()
    child = birth.fork_exec(parsed, container.spec.home, container.child.pid, inner)
    for fd in inner or ():
        os.close(fd)
    inside = Running(container.spec, child, streams)
    with child.channel:
        failed = talk(inside)
    out = read_all(streams["stdout"]) if streams else read_all(inside.master) if inside.master >= 0 else ""
    err = read_all(streams["stderr"]) if streams else ""
    code = reap(inside)
    for fd in (*streams.values(), child.pidfd, *([inside.master] if inside.master >= 0 else [])):
        os.close(fd)
    return Result(code, out, err, failed, child.warnings)
