"""A cloud for one test or module: the server's process, and how pymachine is pointed at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.servers.aws.signatures import KEY, SECRET
from tests.servers.namespace import Namespace

ROOT = Path(__file__).parents[3]
REGION = "eu-central-1"


class Cloud:
    """A context manager. In `namespace`, or in ours when that is None; `hosts`: instances are real hosts there.

    Its address is on loopback, so that nothing can leave the machine, whatever a test gets wrong.
    """

    def __init__(self, folder: Path, namespace: Namespace | None = None, *, hosts: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._namespace = namespace
        command = [
            sys.executable,
            "-m",
            "tests.servers.aws.server",
            str(folder),
            *(["hosts"] if hosts else []),
        ]
        self._errors = open(folder / "errors", "wb")  # noqa: SIM115 - the process has it for as long
        self._process = subprocess.Popen(
            command if namespace is None else namespace.command(command),
            env={**os.environ, "PYTHONPATH": str(ROOT)},  # no folder is kept on the way into a namespace
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self._process.stdout
        port = self._process.stdout.readline().strip()
        if not port:
            self.close()
            raise RuntimeError((folder / "errors").read_text())
        self.url = f"http://127.0.0.1:{port}"

    @property
    def environment(self) -> dict[str, str]:
        """For pymachine, and for boto3."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYMACHINE_ADDRESS_SERVICE": f"{self.url}/address",
        }

    def control(self, **asked: Any) -> dict[str, Any]:
        """See server.Front; gives all that exists, and how often each action was called."""
        if self._namespace is not None:
            done = self._namespace.run(
                [sys.executable, "-c", _ASK, f"{self.url}/control", json.dumps(asked)], timeout=60
            )
            return dict(json.loads(done.stdout))
        with urlopen(Request(f"{self.url}/control", json.dumps(asked).encode()), timeout=60) as reply:
            return dict(json.load(reply))

    def everything(self) -> list[dict[str, Any]]:
        """All that is in the account when nothing changes any more."""
        found: list[dict[str, Any]] = self.control(settle=True)["everything"]
        return found

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(60)
        assert self._process.stdout
        self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Cloud:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


_ASK = (
    "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], sys.argv[2].encode(), 60).read().decode())"
)
