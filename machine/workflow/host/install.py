"""Installs an agent bundle on the host. Runs there, by the host's own Python (3.11 or newer), as root.

    python3 -c LOADER install VERSION SHA256 SIZE   the bundle follows on stdin; unpacked beside other versions
    python3 -c LOADER activate VERSION SETTINGS USER
                                                    `current` points to it, units are in place, the engine answers;
                                                    SETTINGS: a JSON object, keys that daemon.json shall have;
                                                    USER may use the engine's socket
    python3 -c LOADER remove USER                   the engine is gone, with all that it held

Standard library only; stands alone, since it comes before the agent. Prints one line of JSON at the end.
Every part may be cut off at any moment and done again.
"""

import compileall
import contextlib
import fcntl
import filecmp
import grp
import hashlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from typing import IO, BinaryIO

HOME = "/opt/pymachine"
VERSIONS = f"{HOME}/versions"
CURRENT = f"{HOME}/current"
UNITS = "/etc/systemd/system"
VENDOR_UNITS = "/lib/systemd/system"
SOCKET = "/run/pymachine.sock"
DOCKER = "/usr/local/bin/docker"
CONFIG = "/etc/pymachine/daemon.json"
GROUP = "pymachine"
STATE = "/var/lib/pymachine"
RUN = "/run/pymachine"
DOCKER_SOCKET = "/run/docker.sock"
# The order in which they are stopped: nothing starts the daemon again, and then the containers end.
UNIT_NAMES = (
    "pymachine-docker.socket",
    "pymachine.socket",
    "pymachine.service",
    "pymachine-containers.service",
)
# Versions that stay beside the current one: shims of containers may still run their code.
KEPT = 2


def install(version: str, digest: str, size: int, stream: BinaryIO) -> None:
    """Unpack the bundle from `stream`; exits with a sentence when it is not what was promised."""
    os.makedirs(VERSIONS, exist_ok=True)
    with tempfile.TemporaryFile(dir=VERSIONS) as spool:
        receive(stream, spool, size, digest)
        with alone():
            unpack(version, spool)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One at a time: a laptop that was killed leaves its command running here. Never held while waiting for bytes."""
    fd = os.open(VERSIONS, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def unpack(version: str, bundle: IO[bytes]) -> None:
    """Beside the other versions, whole or not at all."""
    for name in os.listdir(VERSIONS):
        if name.startswith(".new-"):  # of an installation that was cut off
            shutil.rmtree(f"{VERSIONS}/{name}")
    if os.path.isdir(f"{VERSIONS}/{version}"):
        return
    work = tempfile.mkdtemp(prefix=".new-", dir=VERSIONS)
    try:
        with tarfile.open(fileobj=bundle, mode="r:gz") as archive:
            archive.extractall(work)  # noqa: S202  # its hash says that it is the one we made
        compileall.compile_dir(work, quiet=2, workers=os.cpu_count() or 1)
        os.chmod(work, 0o755)  # noqa: S103  # code that everybody may read
        subprocess.run(["sync", "-f", work], check=True)
        os.rename(work, f"{VERSIONS}/{version}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def receive(stream: BinaryIO, spool: IO[bytes], size: int, digest: str) -> None:
    """Copies `size` bytes; exits unless they have the hash `digest`."""
    seen = hashlib.sha256()
    left = size
    while left and (piece := stream.read(min(left, 1 << 20))):
        seen.update(piece)
        spool.write(piece)
        left -= len(piece)
    if left or seen.hexdigest() != digest:
        sys.exit(f"the bundle arrived damaged: {size - left} of {size} bytes, sha256 {seen.hexdigest()}")
    spool.seek(0)


def activate(version: str, settings: dict[str, object], user: str) -> str:
    """Switch to the version and wait until its engine answers; a version that does not start is switched back."""
    with alone():
        ensure_member(user)
        answer = _activate(version, settings)
        prune(version)
        return answer


def _activate(version: str, settings: dict[str, object]) -> str:
    before = os.path.basename(os.readlink(CURRENT)) if os.path.islink(CURRENT) else ""
    configured = configure(settings)
    try:
        switch(version, restart=configured or before != version)
        return ping()
    except SystemExit:
        if before not in ("", version) and os.path.isdir(f"{VERSIONS}/{before}/host"):
            switch(before, restart=True)
        else:
            subprocess.run(
                ["systemctl", "--quiet", "stop", "pymachine.service"], check=False
            )  # not over and over
        raise


def switch(version: str, restart: bool) -> None:
    """Point `current` there, put its units in place, (re)start what changed."""
    source = f"{VERSIONS}/{version}/host"
    fresh = f"{CURRENT}.new"
    if os.path.lexists(fresh):
        os.unlink(fresh)
    os.symlink(f"versions/{version}", fresh)
    os.rename(fresh, CURRENT)
    free = docker_is_free()
    units = sorted(name for name in os.listdir(source) if name.startswith("pymachine"))
    wanted = [name for name in units if free or name != "pymachine-docker.socket"]
    changed = [name for name in wanted if put(f"{source}/{name}", f"{UNITS}/{name}", 0o644)]
    if free:
        put(f"{source}/docker", DOCKER, 0o755)
    if changed:
        systemctl("daemon-reload")
    systemctl("enable", "--quiet", *wanted)
    # What an earlier version failed at, too often for systemd, must not stand in this one's way.
    subprocess.run(["systemctl", "--quiet", "reset-failed", *wanted], stderr=subprocess.DEVNULL, check=False)
    systemctl("start", *(name for name in wanted if name.endswith(".socket")))
    systemctl("start", "pymachine-containers.service")
    restart = restart or "pymachine.service" in changed
    systemctl("restart" if restart else "start", "pymachine.service")


def configure(settings: dict[str, object]) -> bool:
    """Put the settings into daemon.json, beside the keys that are there; whether that changed the file."""
    if not settings:
        return False
    there = {}
    if os.path.exists(CONFIG):
        with open(CONFIG) as file:
            try:
                there = json.load(file)
            except ValueError as error:
                sys.exit(f"{CONFIG} on the host is not JSON ({error}): mend it, or take it away")
    if settings.items() <= there.items():
        return False
    os.makedirs(os.path.dirname(CONFIG), exist_ok=True)
    fresh = f"{CONFIG}.new"
    with open(fresh, "w") as file:
        json.dump({**there, **settings}, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.chmod(fresh, 0o644)
    os.rename(fresh, CONFIG)
    return True


def prune(current: str) -> None:
    """Remove all but the current version and those that were current last."""
    os.utime(f"{VERSIONS}/{current}")
    others = [name for name in os.listdir(VERSIONS) if name != current and not name.startswith(".new-")]
    others.sort(key=lambda name: os.stat(f"{VERSIONS}/{name}").st_mtime, reverse=True)
    for name in others[KEPT:]:
        shutil.rmtree(f"{VERSIONS}/{name}", ignore_errors=True)  # the next activation tries again


def ensure_member(user: str) -> None:
    """The engine's group is there, and `user` in it; who may use sudo gains nothing by that."""
    try:
        group = grp.getgrnam(GROUP)
    except KeyError:
        subprocess.run(["groupadd", "--system", GROUP], check=True)
        group = grp.getgrnam(GROUP)
    account = pwd.getpwnam(user)
    if account.pw_uid != 0 and account.pw_gid != group.gr_gid and user not in group.gr_mem:
        subprocess.run(["usermod", "--append", "--groups", GROUP, user], check=True)


def remove(user: str) -> None:
    """Containers get their stop signals, then everything goes that came with the engine, its data last.

    May be cut off and done again. `user` leaves the engine's group.
    """
    os.makedirs(VERSIONS, exist_ok=True)
    with alone():
        with open("/proc/self/mountinfo") as file:
            if foreign := mounts_below(STATE, file.read()):
                sys.exit(
                    f"{foreign[0]} is mounted: unmount it first, or what is on it would be removed as well"
                )
        known = [name for name in UNIT_NAMES if os.path.exists(f"{UNITS}/{name}")]
        for name in known:
            systemctl("disable", "--quiet", "--now", name)
        if os.path.isdir(CURRENT):
            environment = {**os.environ, "PYTHONPATH": CURRENT}
            cleared = subprocess.run(
                [sys.executable, "-m", "hostagent.daemon.clear"],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
            )
            if cleared.returncode:
                sys.exit(cleared.stderr.decode(errors="replace").strip())
        # systemd leaves them (systemd.socket(5), RemoveOnStop=); one of somebody else's has no unit of ours.
        for name, path in (("pymachine-docker.socket", DOCKER_SOCKET), ("pymachine.socket", SOCKET)):
            if name in known:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        for name in known:
            os.unlink(f"{UNITS}/{name}")
        systemctl("daemon-reload")
        if docker_is_ours():
            os.unlink(DOCKER)
        for folder in (RUN, os.path.dirname(CONFIG), STATE):
            clear(folder)
        leave_group(user)
        shutil.rmtree(HOME)


def mounts_below(folder: str, mountinfo: str) -> list[str]:
    """Mount points inside the folder, which is none itself here (proc_pid_mountinfo(5)). The engine makes none."""
    return [path for line in mountinfo.splitlines() if (path := line.split()[4]).startswith(f"{folder}/")]


def clear(folder: str) -> None:
    """Remove a folder that may be there; of a disk that its owner has mounted there, what is on it."""
    if not os.path.ismount(folder):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def leave_group(user: str) -> None:
    """The group goes with its last member; an account of that name keeps it."""
    try:
        group = grp.getgrnam(GROUP)
    except KeyError:
        return
    if user in group.gr_mem:
        subprocess.run(["gpasswd", "--delete", user, GROUP], stdout=subprocess.DEVNULL, check=True)
    primary = any(account.pw_gid == group.gr_gid for account in pwd.getpwall())
    if not primary and not set(group.gr_mem) - {user}:
        subprocess.run(["groupdel", GROUP], check=True)


def docker_is_ours() -> bool:
    """Whether the docker command is our shim."""
    if not os.path.isfile(DOCKER):
        return False
    with open(DOCKER, errors="replace") as file:
        return "pymachine" in file.read(4096)


def docker_is_free() -> bool:
    """Whether nobody else provides docker here: then our shim and /run/docker.sock help old habits."""
    found = shutil.which("docker", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is not None and not (found == DOCKER and docker_is_ours()):
        return False
    # systemd would take the address from whoever listens there (systemd.socket(5), ListenStream=).
    held = os.path.exists(DOCKER_SOCKET) and not os.path.exists(f"{UNITS}/pymachine-docker.socket")
    return not held and not any(os.path.exists(f"{folder}/docker.socket") for folder in (VENDOR_UNITS, UNITS))


def put(source: str, target: str, mode: int) -> bool:
    """Copy by rename when the content differs; whether it did."""
    if os.path.exists(target) and filecmp.cmp(source, target, shallow=False):
        return False
    fresh = f"{target}.pymachine-new"
    shutil.copyfile(source, fresh)
    os.chmod(fresh, mode)
    os.rename(fresh, target)
    return True


def systemctl(*arguments: str) -> None:
    done = subprocess.run(
        ["systemctl", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        unit = arguments[-1]
        log = subprocess.run(
            ["journalctl", "-q", "-b", "-o", "cat", "-n", "8", "-u", unit],
            stdout=subprocess.PIPE,
            check=False,
        )
        said = (done.stdout + log.stdout).decode(errors="replace").strip()
        sys.exit(f"systemctl {' '.join(arguments)} failed: {said}")


def ping(patience: float = 15.0) -> str:
    """The engine's highest API version; systemd accepts the connection even before the daemon is up."""
    end = time.monotonic() + patience
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as engine:
                engine.settimeout(patience)
                engine.connect(SOCKET)
                engine.sendall(b"GET /_ping HTTP/1.1\r\nHost: pymachine\r\nConnection: close\r\n\r\n")
                answer = b""
                while piece := engine.recv(4096):
                    answer += piece
            if answer.startswith(b"HTTP/1.1 200"):
                lines = answer.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                return headers.get("api-version", "")
            said = answer.split(b"\r\n")[0].decode("latin-1") or "nothing"
        except OSError as error:
            said = str(error)
        if time.monotonic() > end:
            sys.exit(f"the engine does not answer on {SOCKET}: {said}")
        time.sleep(0.1)


def main() -> None:
    verb, subject = sys.argv[1:3]
    try:
        if verb == "install":
            install(subject, sys.argv[3], int(sys.argv[4]), sys.stdin.buffer)
            print(json.dumps({"installed": subject}))
        elif verb == "activate":
            api = activate(subject, json.loads(sys.argv[3]), sys.argv[4])
            print(json.dumps({"active": subject, "api": api}))
        else:
            remove(subject)
            print(json.dumps({"removed": HOME}))
    except OSError as error:
        sys.exit(f"{error.strerror or error}: {error.filename or HOME}")


if __name__ == "__main__":
    main()
