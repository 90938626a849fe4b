"""TLS towards one registry: the system's authorities and what an administrator put into its certificate directory.

As in Docker: `*.crt` are authorities, `NAME.cert` with `NAME.key` a certificate to show. Source: Docker's docs, "Verify
repository client with certificates".
"""

from __future__ import annotations

import os
import ssl

from hostagent.errors import EngineError, Invalid
from hostagent.registry.config import Endpoint


def context(endpoint: Endpoint) -> ssl.SSLContext:
    """For connections to the endpoint. Raises Invalid for a directory with a certificate and no key, or a bad file."""
    made = ssl.create_default_context()
    if not endpoint.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    directory = endpoint.certificates
    if not directory:
        return made
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise EngineError(f"the certificates in {directory} cannot be read: {error.strerror}") from error
    for name in names:
        stem, extension = os.path.splitext(name)
        path = os.path.join(directory, name)
        try:
            if extension == ".crt":
                made.load_verify_locations(path)
            elif extension == ".cert":
                if f"{stem}.key" not in names:
                    raise Invalid(
                        f"missing key {stem}.key for client certificate {name} in {directory}: "
                        "CA certificates must use the extension .crt"
                    )
                made.load_cert_chain(path, os.path.join(directory, f"{stem}.key"))
            elif extension == ".key" and f"{stem}.cert" not in names:
                raise Invalid(f"missing client certificate {stem}.cert for key {name} in {directory}")
        except (ssl.SSLError, OSError) as error:
            raise Invalid(f"{path} is no certificate that can be used: {error}") from error
    return made
