"""Key pairs: ours to log in with, and the host's that goes into its user-data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class KeyPair:
    """An ed25519 pair in OpenSSH's text form: `private` is a PEM block, `public` one line without newline."""

    private: str
    public: str


def generate(comment: str) -> KeyPair:
    """A new pair; `comment` is appended to the public line."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private.decode(), f"{public.decode()} {comment}")


def is_locked(path: Path) -> bool:
    """Whether the private key file asks for a passphrase (read cheaply, without a crypto library)."""
    import base64

    text = path.read_text(errors="replace")
    if "ENCRYPTED" in text:
        return True
    if "BEGIN OPENSSH PRIVATE KEY" not in text:
        return False
    body = base64.b64decode("".join(line for line in text.splitlines() if not line.startswith("-----")))
    # "openssh-key-v1\0", then the cipher's name as a string (OpenSSH's PROTOCOL.key).
    return body[15:23] != b"\x00\x00\x00\x04none"


def in_agent(path: Path) -> bool:
    """Whether the SSH agent holds the key of this private key file (told by its .pub file)."""
    public = path.with_name(path.name + ".pub")
    if "SSH_AUTH_SOCK" not in os.environ or not public.is_file():
        return False
    import paramiko

    wanted = public.read_text().split()[1]
    agent = paramiko.Agent()
    try:
        return any(key.get_base64() == wanted for key in agent.get_keys())
    finally:
        agent.close()


def public_keys(folder: str) -> list[str]:
    """The public keys below `folder` whose private half ssh tries by itself (ssh(1), -i), a line each."""
    found = []
    for kind in ("ed25519", "ecdsa", "rsa"):
        try:
            line = (Path(folder) / f"id_{kind}.pub").read_text().strip()
        except FileNotFoundError:
            continue
        if len(line.split()) >= 2 and "\n" not in line:
            found.append(line)
    return found
