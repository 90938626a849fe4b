"""Where what can be made again is kept: root filesystems, agent bundles. Shared by all of a user's homes."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """$PYMACHINE_CACHE, else /var/cache/pymachine for root, else ~/.cache/pymachine (not created here)."""
    chosen = os.environ.get("PYMACHINE_CACHE")
    if chosen:
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/pymachine")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pymachine"
