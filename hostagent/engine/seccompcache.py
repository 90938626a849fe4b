"""Compiled seccomp filters on disk, one per profile and set of capabilities that ever asked for one."""

from __future__ import annotations

import hashlib
import os
import platform

from hostagent.engine import seccomp, seccompprofile
from hostagent.engine.security import UNCONFINED


class SeccompCache:
    """Files `<key>.bpf` in `directory`; the key covers all that the filter depends on."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._known: dict[tuple[tuple[str, ...], str], str] = {}
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def path_for(self, capabilities: tuple[str, ...], profile: str) -> str:
        """The filter's path, compiled at the first use; "" for no filter. `profile` as in SecurityOptions.seccomp.

        Raises EngineError for a profile that is wrong.
        """
        if profile == UNCONFINED:
            return ""
        if (known := self._known.get((capabilities, profile))) is not None:
            return known
        rules = seccompprofile.parse(profile) if profile else seccomp.default_profile()
        path = self._file(capabilities, profile, rules) if rules else ""
        self._known[capabilities, profile] = path
        return path

    def _file(self, capabilities: tuple[str, ...], text: str, profile: seccomp.Profile) -> str:
        arch, kernel = platform.machine(), platform.release()
        key = hashlib.sha256(
            "\0".join((arch, kernel, text or seccomp.PROFILE_DIGEST, *sorted(capabilities))).encode()
        ).hexdigest()[:32]
        path = f"{self._directory}/{key}.bpf"
        if not os.path.exists(path):
            temporary = f"{path}.{os.getpid()}"
            with open(temporary, "wb") as file:
                file.write(seccomp.compile_profile(profile, capabilities, arch, kernel))
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        return path
