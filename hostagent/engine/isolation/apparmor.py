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
  capability,
  file,
  network,
  umount,
  ptrace peer={PROFILE},
  signal peer={PROFILE},
  signal (receive) peer=unconfined,
  deny mount,
  deny @{{PROC}}/{{acpi,asound,bus,driver,fs,irq,scsi,tty}}/** wklx,
  deny @{{PROC}}/sys/{{abi,crypto,debug,dev,user,vm}}/** wklx,
  deny @{{PROC}}/{{kcore,kmsg,sysrq-trigger}} rwklx,
  deny /sys/{{block,bus,class,dev,devices,hypervisor,kernel,module,power}}/** wklx,
  deny /sys/firmware/** rwklx,
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
    except subprocess.TimeoutExpired as error:
        raise Unavailable(
            f"AppArmor is on but {lsm.APPARMOR_PARSER} cannot load a profile ({error}): install the package "
            "apparmor, or use --security-opt apparmor=unconfined"
        ) from None
    if loaded.returncode:
        raise Unavailable(
            f"{lsm.APPARMOR_PARSER} did not take the profile {PROFILE}: {loaded.stderr.strip()}"
        )
    return PROFILE
