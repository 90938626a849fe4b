"""Compiled seccomp filters on disk, one per set of capabilities that ever asked for one."""

from __future__ import annotations

import hashlib
import os
import platform

from hostagent.engine import seccomp


class SeccompCache:
    """Files `<key>.bpf` in `directory`; the key covers all that the filter depends on."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._known: dict[tuple[str, ...], str] = {}
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def path_for(self, capabilities: tuple[str, ...]) -> str:
        """The filter's path; compiled at the first use."""
        if known := self._known.get(capabilities):
            return known
        arch, kernel = platform.machine(), platform.release()
        key = hashlib.sha256(
            "\0".join((arch, kernel, seccomp.PROFILE_DIGEST, *sorted(capabilities))).encode()
        ).hexdigest()[:32]
        path = f"{self._directory}/{key}.bpf"
        if not os.path.exists(path):
            temporary = f"{path}.{os.getpid()}"
            with open(temporary, "wb") as file:
                file.write(seccomp.profile_for(capabilities, arch, kernel))
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        self._known[capabilities] = path
        return path
