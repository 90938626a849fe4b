"""The cloud's process: `python -m tests.servers.aws.server FOLDER [hosts]`.

It prints its port, and ends, with its hosts, at SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from tests.servers.aws import answers, signatures
from tests.servers.aws.control import Control, Refusal

Start = Callable[[str, list[tuple[str, str]]], object]


class Front:
    """A WSGI application before moto's: credentials, rights, what moto lacks, and the test's own calls."""

    def __init__(
        self, moto: Callable[[dict[str, Any], Start], Iterable[bytes]], control: Control, strict: Any
    ) -> None:
        self._moto, self._control, self._strict = moto, control, strict
        self.lock: threading.RLock = strict._lock

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        path = environ["PATH_INFO"]
        if path == "/address":
            return _plain(start, f"{self._control.address}\n".encode())
        if path == "/control":
            return _plain(start, json.dumps(self._controlled(json.loads(body))).encode())
        environ["wsgi.input"] = BytesIO(body)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        action = target.rpartition(".")[2] or parse_qs(body.decode()).get("Action", ["?"])[0]
        service, _ = signatures.scope(environ)
        with self.lock:
            self._control.calls[action] = self._control.calls.get(action, 0) + 1
        wrong = signatures.complaint(environ, body)
        if wrong is None and action in self._control.denied:
            code = "UnauthorizedOperation" if service == "ec2" else "AccessDeniedException"
            wrong = (
                code,
                "You are not authorized to perform this operation. Encoded authorization failure message: xyz",
            )
        if wrong is not None:
            return _refused(start, service, *wrong)
        if action == "GetProducts":
            return _json(start, {"FormatVersion": "aws_v1", "PriceList": answers.products(json.loads(body))})
        if action == "GetParameter":
            return self._parameter(start, json.loads(body)["Name"])
        with self.lock:
            return list(self._moto(environ, start))

    def _parameter(self, start: Start, name: str) -> Iterable[bytes]:
        value = answers.parameter(name)
        if value is None or name.startswith(tuple(self._control.missing)):
            return _refused(start, "ssm", "ParameterNotFound", "")
        return _json(start, {"Parameter": {"Name": name, "Type": "String", "Value": value}})

    def _controlled(self, asked: dict[str, Any]) -> Any:
        from tests.servers.aws.strict import everything

        control = self._control
        control.address = asked.get("address", control.address)
        control.denied = asked.get("denied", control.denied)
        control.missing = asked.get("missing", control.missing)
        if "refusals" in asked:
            control.refusals = [Refusal(**item) for item in asked["refusals"]]
        if asked.get("settle"):
            self._strict.wait()
            self._strict.show()
        if asked.get("reset"):
            self._strict.wait()
            self._reset()
        with self.lock:
            return {"everything": everything(), "calls": control.calls, "hosts": self._strict.alive()}

    def _reset(self) -> None:
        """As new: nothing is in the account, nothing is refused."""
        from moto.ec2.models import ec2_backends

        with self.lock:
            for name, value in vars(Control()).items():
                setattr(self._control, name, value)
            for regions in ec2_backends.values():
                for backend in regions.values():
                    backend.reset()


def _plain(start: Start, data: bytes, status: str = "200 OK", kind: str = "text/plain") -> Iterable[bytes]:
    start(status, [("Content-Type", kind), ("Content-Length", str(len(data)))])
    return [data]


def _json(start: Start, content: dict[str, Any], status: str = "200 OK") -> Iterable[bytes]:
    return _plain(start, json.dumps(content).encode(), status, "application/x-amz-json-1.1")


def _refused(start: Start, service: str, code: str, text: str) -> Iterable[bytes]:
    """In the form of the service's protocol (smithy: awsJson1.1, awsQuery, ec2Query)."""
    if service in ("ssm", "pricing"):
        return _json(start, {"__type": code, "message": text}, "400 Bad Request")
    error = f"<Error><Code>{code}</Code><Message>{escape(text)}</Message></Error>"
    if service == "ec2":
        xml = f"<Response><Errors>{error}</Errors><RequestID>0</RequestID></Response>"
    else:
        xml = f"<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>"
    return _plain(start, xml.encode(), "403 Forbidden", "text/xml")


def main() -> None:
    folder = Path(sys.argv[1])
    (folder / "images.json").write_text(json.dumps(answers.images()))
    os.environ["MOTO_AMIS_PATH"] = str(folder / "images.json")
    os.environ["MOTO_ENABLE_AMI_VALIDATION"] = "true"
    os.environ["MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION"] = "true"

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    from machine.store.store import Store
    from tests.servers.aws.hosts import LocalHosts, Nowhere
    from tests.servers.aws.strict import Strict

    class Handler(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            """Quiet: the test says what went wrong."""

    control, lock = Control(), threading.RLock()
    hosts = LocalHosts(Store(folder / "hosts")) if "hosts" in sys.argv[2:] else Nowhere()
    strict = Strict(hosts, control, lock)
    strict.install()
    server = make_server(
        "127.0.0.1",
        0,
        Front(DomainDispatcherApplication(create_backend_app), control, strict),
        threaded=True,
        request_handler=Handler,
    )
    signal.signal(signal.SIGTERM, lambda number, frame: threading.Thread(target=server.shutdown).start())
    print(server.server_port, flush=True)
    server.serve_forever()
    strict.wait()
    if isinstance(hosts, LocalHosts):
        hosts.remove_all()


if __name__ == "__main__":
    main()
