"""The AppArmor profile that containers run under by default, loaded into the kernel when it is not there.

It forbids what the masks and missing capabilities forbid already: a second wall, as Docker's own default profile is.
Language: apparmor.d(5).
"""

from __future__ import annotations

import subprocess

from hostagent.errors import Unavailable
from hostagent.kernel import lsm

PROFILE = "pymachine-default"
_LOAD_LIMIT = 30
"""Seconds."""

TEXT = f"""\
#include <tunables/global>
profile {PROFILE} flags=(attach_disconnected,mediate_deleted) {{
  #include <abstractions/base>
  network,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (send,receive) peer={PROFILE},
  ptrace (trace,read,tracedby,readby) peer={PROFILE},
  deny @{{PROC}}/* w,
  deny @{{PROC}}/{{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9]*}}/** w,
  deny @{{PROC}}/sys/[^kn]** w,
  deny @{{PROC}}/sys/kernel/{{?,??,[^s][^h][^m]**}} w,
  deny @{{PROC}}/sysrq-trigger rwklx,
  deny @{{PROC}}/kcore rwklx,
  deny mount,
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}}
"""


def ensure_default() -> str:
    """Its name, once it is loaded. Unavailable when it cannot be: a start without it would be less than promised."""
    if PROFILE in lsm.apparmor_profiles():
        return PROFILE
    try:
        loaded = subprocess.run(
            [lsm.APPARMOR_PARSER, "--replace", "--skip-cache"],
            input=TEXT,
            check=False,
            capture_output=True,
            text=True,
            timeout=_LOAD_LIMIT,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Unavailable(
            f"AppArmor is on but {lsm.APPARMOR_PARSER} cannot load a profile ({error}): install the package "
            "apparmor, or use --security-opt apparmor=unconfined"
        ) from None
    if loaded.returncode:
        raise Unavailable(
            f"{lsm.APPARMOR_PARSER} did not take the profile {PROFILE}: {loaded.stderr.strip()}"
        )
    return PROFILE
