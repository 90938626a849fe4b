"""Compiled seccomp filters on disk, one per profile and set of capabilities that ever asked for one."""

from __future__ import annotations

import hashlib
import os
import platform

from hostagent.engine.isolation import seccomp, seccompprofile
from hostagent.engine.isolation.security import UNCONFINED


class SeccompCache:
    """Files `<key>.bpf` in `directory`; the key covers all that the filter depends on."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._known: dict[str, str] = {}
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def path_for(self, capabilities: tuple[str, ...], profile: str) -> str:
        """The filter's path, compiled at the first use; "" for no filter. `profile` as in SecurityOptions.seccomp.

        Raises EngineError for a profile that is wrong.
        """
        if profile == UNCONFINED:
            return ""
        key = _key(capabilities, profile)
        if (known := self._known.get(key)) is None:
            rules = seccompprofile.parse(profile) if profile else seccomp.default_profile()
            known = self._known[key] = self._file(key, capabilities, rules) if rules else ""
        return known

    def _file(self, key: str, capabilities: tuple[str, ...], profile: seccomp.Profile) -> str:
        path = f"{self._directory}/{key}.bpf"
        if not os.path.exists(path):
            temporary = f"{path}.{os.getpid()}"
            with open(temporary, "wb") as file:
                file.write(
                    seccomp.compile_profile(profile, capabilities, platform.machine(), platform.release())
                )
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        return path


def _key(capabilities: tuple[str, ...], profile: str) -> str:
    parts = (platform.machine(), platform.release(), profile or seccomp.PROFILE_DIGEST, *sorted(capabilities))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
