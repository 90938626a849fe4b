"""The part of host/install.py that needs no systemd: what arrives damaged is not installed."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tarfile
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def install(tmp_path: Path) -> ModuleType:
    path = str(files("machine.workflow").joinpath("host", "install.py"))
    spec = importlib.util.spec_from_file_location("host_install", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.VERSIONS = str(tmp_path / "versions")  # type: ignore[attr-defined]  # a module's constant
    module.CONFIG = str(tmp_path / "etc/daemon.json")  # type: ignore[attr-defined]  # a module's constant
    return module


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo("small/__init__.py")
        info.size = 9
        tar.addfile(info, io.BytesIO(b"value = 1"))
    return out.getvalue()


def test_a_whole_bundle_is_unpacked_and_compiled(install: ModuleType, tmp_path: Path) -> None:
    data = archive()
    (tmp_path / "versions/.new-left").mkdir(parents=True)
    install.install("0.1.0-abc", hashlib.sha256(data).hexdigest(), len(data), io.BytesIO(data + b"more"))
    assert [p.name for p in (tmp_path / "versions").iterdir()] == ["0.1.0-abc"]
    assert (tmp_path / "versions/0.1.0-abc/small/__init__.py").read_text() == "value = 1"
    assert list((tmp_path / "versions/0.1.0-abc/small/__pycache__").iterdir())
    # Again, as a resumed create does.
    install.install("0.1.0-abc", hashlib.sha256(data).hexdigest(), len(data), io.BytesIO(data))
    assert [p.name for p in (tmp_path / "versions").iterdir()] == ["0.1.0-abc"]


@pytest.mark.parametrize("damage", ["short", "changed"])
def test_a_damaged_one_is_refused(install: ModuleType, tmp_path: Path, damage: str) -> None:
    data = archive()
    sent = data[:-1] if damage == "short" else data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(SystemExit, match="arrived damaged"):
        install.install("0.1.0-abc", hashlib.sha256(data).hexdigest(), len(data), io.BytesIO(sent))
    assert list((tmp_path / "versions").iterdir()) == []


def test_put_says_whether_it_changed(install: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    assert install.put(str(tmp_path / "a"), str(tmp_path / "b"), 0o755)
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o755
    assert not install.put(str(tmp_path / "a"), str(tmp_path / "b"), 0o755)
    (tmp_path / "a").write_text("two")
    assert install.put(str(tmp_path / "a"), str(tmp_path / "b"), 0o755)


def test_two_at_once_make_one_whole_version(install: ModuleType, tmp_path: Path) -> None:
    """A killed create leaves its command running on the host while the resumed one installs again."""
    data = archive()
    digest = hashlib.sha256(data).hexdigest()
    path = str(files("machine.workflow").joinpath("host", "install.py"))
    program = (
        "import runpy, sys\n"
        f"module = runpy.run_path({path!r})\n"
        f"module['install'].__globals__['VERSIONS'] = {install.VERSIONS!r}\n"
        f"module['install']('v', {digest!r}, {len(data)}, sys.stdin.buffer)\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) for _ in range(4)]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(data)
        process.stdin.close()
    assert [process.wait(60) for process in running] == [0] * 4
    assert [p.name for p in (tmp_path / "versions").iterdir()] == ["v"]
    assert (tmp_path / "versions/v/small/__init__.py").exists()


def test_settings_join_what_the_administrator_wrote(install: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "etc/daemon.json"
    assert not install.configure({}) and not file.exists()
    settings = {"registry-mirrors": ["http://mirror.example:5000"]}
    assert install.configure(settings)
    assert json.loads(file.read_text()) == settings and file.stat().st_mode & 0o777 == 0o644
    assert not install.configure(settings)
    file.write_text(json.dumps({"bip": "172.30.0.1/16", "registry-mirrors": []}))
    assert install.configure(settings)
    assert json.loads(file.read_text()) == {"bip": "172.30.0.1/16", **settings}
    file.write_text("{")
    with pytest.raises(SystemExit, match=r"daemon\.json on the host is not JSON"):
        install.configure(settings)
    assert file.read_text() == "{"


def test_two_versions_stay_besides_the_current_one(install: ModuleType, tmp_path: Path) -> None:
    for age, name in enumerate(("v1", "v2", "v3", "v4", ".new-x")):
        (tmp_path / "versions" / name / "host").mkdir(parents=True)
        os.utime(tmp_path / "versions" / name, (age, age))
    install.prune("v1")  # the oldest was made current again
    assert sorted(path.name for path in (tmp_path / "versions").iterdir()) == [".new-x", "v1", "v3", "v4"]


@pytest.mark.parametrize("owner", ["nobody", "us", "somebody", "a unit of somebody", "a docker command"])
def test_dockers_address_is_taken_only_where_it_is_free(
    install: ModuleType, tmp_path: Path, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket, units, command = tmp_path / "docker.sock", tmp_path / "units", tmp_path / "docker"
    units.mkdir()
    found = {"a docker command": "/usr/bin/docker", "us": str(command)}.get(owner)
    monkeypatch.setattr(install.shutil, "which", lambda name, path: found)
    for name, value in (
        ("DOCKER_SOCKET", socket),
        ("UNITS", units),
        ("VENDOR_UNITS", tmp_path),
        ("DOCKER", command),
    ):
        monkeypatch.setattr(install, name, str(value))
    if owner in ("us", "somebody"):
        socket.touch()
    if owner == "us":
        (units / "pymachine-docker.socket").touch()
        command.write_text("# made by pymachine")
    if owner == "a unit of somebody":
        (units / "docker.socket").touch()
    assert install.docker_is_free() is (owner in ("nobody", "us"))


def test_a_disk_inside_is_not_ours_to_clear(install: ModuleType) -> None:
    lines = (
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw",
        "30 22 254:16 / /var/lib/pymachine rw,relatime shared:2 - ext4 /dev/vdb rw",
        "31 30 0:40 / /var/lib/pymachine/volumes/data/_data rw - nfs4 server:/data rw",
        "32 22 254:32 / /var/lib/pymachine-other rw - ext4 /dev/vdc rw",
    )
    assert install.mounts_below("/var/lib/pymachine", "\n".join(lines)) == [
        "/var/lib/pymachine/volumes/data/_data"
    ]


def test_a_folder_is_cleared(install: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With itself, unless it is a disk that was mounted there."""
    install.clear(str(tmp_path / "missing"))
    for mounted in (True, False):
        folder = tmp_path / "state"
        (folder / "layers").mkdir(parents=True)
        (folder / "state.db").touch()
        (folder / "link").symlink_to(tmp_path)
        monkeypatch.setattr(install.os.path, "ismount", lambda path, mounted=mounted: mounted)
        install.clear(str(folder))
        assert folder.exists() is mounted and not (mounted and list(folder.iterdir()))
    assert tmp_path.is_dir()
