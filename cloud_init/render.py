"""HostSpec -> user-data and meta-data.

The templates are plain files with $names. Every value is put in as JSON, which YAML reads as it is
(YAML 1.2, section 1.3), so no value can break out of its place, whatever it holds.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC
from functools import cache
from importlib.resources import files
from string import Template

from cloud_init.spec import HostSpec, User

# The group whose members may use the engine's socket (the unit file pymachine.socket names it too).
ENGINE_GROUP = "pymachine"
# systemd reads unit files anew by itself when one is enabled.
_ENABLE = ["systemctl", "enable", "--now", "--no-block", "pymachine-end.timer"]
# Base64 has no "=" but at the end of a line, so that no part can hold it.
_BOUNDARY = "==pymachine=="


def render(spec: HostSpec) -> str:
    """The `#cloud-config` user-data of a host."""
    sysctls = "\n".join(f"-{name} = {value}" for name, value in spec.sysctls)
    servers = f"NTP={' '.join(spec.time_servers)}" if spec.time_servers else "# the distribution's servers"
    return _template("user-data.yaml").substitute(
        hostname=_json(spec.hostname),
        groups=_json([ENGINE_GROUP]),
        users=_json([_user(user) for user in spec.users]),
        host_key_private=_json(spec.host_key.private),
        host_key_public=_json(spec.host_key.public),
        packages=_packages(spec.packages),
        sysctl_conf=_json(_template("sysctl.conf").substitute(sysctls=sysctls)),
        journald_conf=_json(
            _template("journald.conf").substitute(
                max_use=spec.journal_max_use, max_file=spec.journal_max_file
            )
        ),
        timesyncd_conf=_json(_template("timesyncd.conf").substitute(servers=servers)),
        end_files=_end_files(spec),
        end_commands="" if spec.ends is None else f"\n  - {_json(_ENABLE)}",
    )


def combine(ours: str, theirs: str) -> str:
    """Our user-data and somebody's own (`#cloud-config` or a script), which runs after it: a multi-part archive.

    Lists of both are joined (cloud-init, "Merging user-data sections"): theirs adds commands and takes none away.
    """
    parts = [("cloud-config", ours), ("x-shellscript" if theirs.startswith("#!") else "cloud-config", theirs)]
    lines = [f'Content-Type: multipart/mixed; boundary="{_BOUNDARY}"', "MIME-Version: 1.0", ""]
    for kind, text in parts:
        lines += [
            f"--{_BOUNDARY}",
            f'Content-Type: text/{kind}; charset="utf-8"',
            "Content-Transfer-Encoding: base64",
        ]
        lines += ["Merge-Type: list(append)+dict(no_replace,recurse_list)+str()", ""]
        lines += [base64.encodebytes(text.encode()).decode().strip(), ""]
    return "\n".join([*lines, f"--{_BOUNDARY}--", ""])


def render_meta_data(instance_id: str, hostname: str) -> str:
    """NoCloud's meta-data. cloud-init runs its once-per-instance modules when `instance_id` is new to it."""
    return _template("meta-data.yaml").substitute(instance_id=_json(instance_id), hostname=_json(hostname))


def packages(release: str) -> tuple[str, ...]:
    """The Debian packages of a host of `release` ("debian-12"), from the recipe; KeyError: no such recipe."""
    recipe = files("cloud_init").joinpath("recipes", f"{release}.packages")
    if not recipe.is_file():
        raise KeyError(release)
    lines = (line.strip() for line in recipe.read_text().splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _end_files(spec: HostSpec) -> str:
    """More of write_files, for a host that ends by itself."""
    if spec.ends is None:
        return ""
    moment = spec.ends.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    units = {
        "pymachine-end.timer": _template("end.timer").substitute(moment=moment),
        "pymachine-end.service": _template("end.service").substitute(),
    }
    return "".join(
        f"\n  - path: /etc/systemd/system/{name}\n    content: {_json(text)}" for name, text in units.items()
    )


def _packages(names: tuple[str, ...]) -> str:
    # cloud-init's schema refuses an empty list.
    if not names:
        return "package_update: false"
    return f"package_update: true\npackages: {_json(list(names))}"


def _user(user: User) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": user.name,
        "lock_passwd": True,
        "shell": user.shell,
        "ssh_authorized_keys": list(user.keys),
    }
    # useradd would refuse to make a user's own group when one of that name exists.
    if user.name == ENGINE_GROUP:
        entry["primary_group"] = ENGINE_GROUP
    groups = [group for group in user.groups if group != user.name]
    if groups:
        entry["groups"] = groups
    if user.sudo:
        entry["sudo"] = "ALL=(ALL) NOPASSWD:ALL"
    return entry


@cache
def _template(name: str) -> Template:
    return Template(files("cloud_init").joinpath("templates", name).read_text())


def _json(value: object) -> str:
    # NEL, LS and PS are line breaks to YAML 1.1 readers even inside quotes: keep them escaped.
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
