"""Debian's docker-registry (the real distribution registry), on loopback of a namespace."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tests.servers.namespace import children_of
from tests.tools import need

CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: {address}}}
"""


class Registry:
    """`address` is host:port as it goes into image names. `wrap` puts the command into a namespace."""

    def __init__(self, folder: Path, address: str, wrap: Callable[[list[str]], list[str]] = list) -> None:
        self.address, self._wrap, self._folder = address, wrap, folder
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "registry.yml"
        config.write_text(CONFIG.format(root=folder / "data", address=address))
        self._log = (folder / "registry.log").open("ab")
        self._process = subprocess.Popen(
            wrap([need("docker-registry", "docker-registry"), "serve", str(config)]),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 15
        probe = self._wrap(["bash", "-c", f"exec 3<>/dev/tcp/{self.address.replace(':', '/')}"])
        while subprocess.run(probe, check=False, capture_output=True).returncode != 0:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(
                    f"docker-registry did not start: {(self._folder / 'registry.log').read_text()}"
                )
            time.sleep(0.05)

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Where a PID namespace is entered, nsenter stays as the parent: the registry is its child.
        for pid in children_of(self._process.pid) or [self._process.pid]:
            os.kill(pid, signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
