"""A real sshd of our own on loopback: own host key, own authorized key, one port, gone at the end."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from machine.model.machine import Machine
from machine.ssh import keys
from tests.tools import need

# HOME: the start-up files of whoever runs the tests are not for tests, which kill shells in the middle of them.
# Who logs in: whoever runs the tests. UsePAM lets a locked root in (containers have one), when we may use it.
_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
SetEnv HOME={folder}
StrictModes no
UsePAM {pam}
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowStreamLocalForwarding yes
AllowTcpForwarding yes
MaxStartups 100
LogLevel VERBOSE
"""


class Sshd:
    """`machine` reaches it; `freeze` and `thaw` stop and continue all its processes, like a lost network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "sshd.log"
        self.port = _free_port()
        self.user_key = folder / "user_key"
        self.host_pair = keys.generate("host")
        pair = keys.generate("tests")
        write_pair(pair, self.user_key)
        write_pair(self.host_pair, folder / "host_key")
        (folder / "authorized_keys").write_text(pair.public + "\n")
        pam = "yes" if os.geteuid() == 0 else "no"
        (folder / "config").write_text(_CONFIG.format(port=self.port, folder=folder, pam=pam))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def machine(self) -> Machine:
        return Machine(
            name="test1",
            driver="local",
            address="127.0.0.1",
            port=self.port,
            user=getpass.getuser(),
            host_key=self.host_pair.public,
            identity_file=str(self.user_key),
        )

    def start(self) -> None:
        command = need("sshd", "openssh-server")
        if os.geteuid() == 0:
            # sshd's privilege separation folder, which the package leaves to its unit.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        # A group of its own, so that the children which serve connections can be ended with it.
        self._process = subprocess.Popen(
            [command, "-D", "-f", str(self.folder / "config"), "-E", str(self.log)], start_new_session=True
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise AssertionError(f"sshd did not start: {self.log.read_text()}") from None
                time.sleep(0.01)

    def stop(self) -> None:
        """Ends the listener and every connection."""
        if self._process is not None:
            for pid in self._family():
                _signal(pid, signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        for pid in self._family():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._family():
            _signal(pid, signal.SIGCONT)

    def drop_connections(self) -> None:
        """Kills the processes that serve connections; the listener goes on."""
        assert self._process is not None
        for pid in self._family():
            if pid != self._process.pid:
                _signal(pid, signal.SIGKILL)

    def handshakes(self) -> int:
        """How many logins it has accepted so far."""
        return self.log.read_text().count("Accepted publickey")

    def _family(self) -> list[int]:
        """The listener and all its descendants."""
        assert self._process is not None
        children: dict[int, list[int]] = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    stat = Path(f"/proc/{name}/stat").read_text()
                except OSError:
                    continue
                children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(name))
        found = [self._process.pid]
        for pid in found:
            found.extend(children.get(pid, ()))
        return found

    def __enter__(self) -> Sshd:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def write_pair(pair: keys.KeyPair, path: Path) -> None:
    """`path` as ssh wants it (0600) and `path`.pub."""
    path.touch(mode=0o600)
    path.write_text(pair.private)
    path.with_name(path.name + ".pub").write_text(pair.public + "\n")


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended meanwhile


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
