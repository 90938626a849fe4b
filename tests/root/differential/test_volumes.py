"""`docker volume`, and volumes in containers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.root.differential.conftest import Same, neutral
from tests.servers import image
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon
from tests.tools import need

pytestmark = [pytest.mark.root, pytest.mark.peer]

API = "/v1.45"
_XATTR = {"user.kind": "example"}
_FILES = [
    image.Entry("data", b"5", 0o1777, uid=33, gid=33),
    image.Entry("data/a", data=b"hello", mode=0o4640, uid=33, xattrs=_XATTR),
    image.Entry("data/sub", b"5", 0o700),
    image.Entry("data/sub/hard", b"1", 0o4640, link="data/a", uid=33),
    image.Entry("data/soft", b"2", 0o777, link="/etc/passwd"),
    image.Entry("data/pipe", b"6", 0o600),
    image.Entry("link", b"2", 0o777, link="/data"),
    image.Entry("etc/file", data=b"x"),
]


@pytest.fixture
def volume_image(both: tuple[Engine, Engine], tmp_path: Path) -> str:
    """An image with files in the place of its volume /data, and another volume, /other, that it has nothing for."""
    base = image.busybox_layer(Path(need("busybox", "busybox-static")))
    config = {"Cmd": ["sh"], "Volumes": {"/data": {}, "/other": {}}}
    image.archive(tmp_path / "image.tar", ["files:latest"], [base, image.layer(_FILES)], config)
    for engine in both:
        engine.ok("load", "-i", str(tmp_path / "image.tar"))
    return "files"


def test_create_and_inspect(same: Same) -> None:
    same("volume", "create", "named", "--label", "a=b")
    same("volume", "create", "named", "--label", "other=ignored")
    same("volume", "inspect", "named")
    same("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m", "options")
    same("volume", "create", "--opt", "size=0", "sized")
    same("volume", "create")
    same("volume", "inspect", "options", "missing")
    same("volume", "ls", "-q", "--filter", "name=s$")


def test_what_cannot_be_created(same: Same) -> None:
    for name in ("x", "bad/name", "bad name", "../up", "-"):
        same("volume", "create", "--", name)
    for options in ("foo=bar", "type=tmpfs", "device=tmpfs", "o=bind", "size=10m", "size=zz"):
        same("volume", "create", "--opt", options, "volume")
    same("volume", "ls")


def test_a_driver_that_is_not_there(daemon: Daemon) -> None:
    """dockerd looks for it for 15 seconds; these are its words."""
    words = 'create volume: error looking up volume plugin missing: plugin "missing" not found'
    made = daemon.engine.docker("volume", "create", "--driver", "missing", "volume")
    assert (made.code, made.err) == (1, f"Error response from daemon: {words}\n")
    options = {"DriverConfig": {"Name": "missing"}}
    mount = {"Type": "volume", "Source": "volume", "Target": "/x", "VolumeOptions": options}
    body = {"Image": "busybox", "HostConfig": {"Mounts": [mount]}}
    answer = daemon.engine.api("POST", f"{API}/containers/create", body)
    assert (answer.status, answer.message) == (404, words)


def test_remove(same: Same) -> None:
    same("volume", "rm", "missing")
    same("volume", "rm", "-f", "missing")
    same("volume", "create", "held")
    same("create", "--name", "holder", "-v", "held:/x", "busybox")
    same("volume", "rm", "held")
    same("volume", "rm", "-f", "held")
    same("rm", "holder")
    same("volume", "rm", "held")


CALLS: list[tuple[str, str, object]] = [
    ("GET", "/volumes", None),
    ("GET", "/volumes/missing", None),
    ("DELETE", "/volumes/missing", None),
    ("DELETE", "/volumes/missing?force=1", None),
    ("PUT", "/volumes/missing?version=1", {}),
    ("POST", "/volumes/create", None),
    ("POST", "/volumes/create", {"Name": "plain"}),
    ("POST", "/volumes/create", {"Name": "empty", "Labels": {}, "DriverOpts": {}}),
    ("GET", "/volumes/empty", None),
    ("GET", '/volumes?filters={"dangling":["maybe"]}', None),
    ("GET", '/volumes?filters={"dangling":["true"],"name":["plain"]}', None),
    ("GET", '/volumes?filters={"dangling":["false"]}', None),
    ("GET", '/volumes?filters={"nope":["x"]}', None),
    ("GET", '/volumes?filters={"driver":["x"]}', None),
    ("GET", '/volumes?filters={"label":["a"]}', None),
    ("GET", '/volumes?filters={"label!":["a"]}', None),
    ("POST", '/volumes/prune?filters={"dangling":["true"]}', None),
    ("POST", '/volumes/prune?filters={"all":["x"]}', None),
]


def test_answers_of_the_api(both: tuple[Engine, Engine]) -> None:
    for method, path, body in CALLS:
        theirs, ours = (engine.api(method, API + path, body) for engine in both)
        assert ours.status == theirs.status, (path, ours)
        assert neutral(json.dumps(ours.body)) == neutral(json.dumps(theirs.body)), path


Host = dict[str, object]


def _binds(*texts: object) -> list[Host]:
    return [{"Binds": [text]} for text in texts]


def _volumes_from(*texts: object) -> list[Host]:
    return [{"VolumesFrom": [text]} for text in texts]


def _mounts(*entries: dict[str, object]) -> list[Host]:
    return [{"Mounts": [{"Type": "volume", **entry}]} for entry in entries]


MOUNTED: list[Host] = [
    *_binds("/x", "named:/x:ro", "named:/x:nocopy", "named:/x:z", "named:/x:Z,ro"),
    *_binds("named:/x/../y/", "named:/x:", "/host:/x:z"),
    {"Mounts": [{"Type": "volume", "Source": "named", "Target": "/x/"}]},
    {"Mounts": [{"Type": "volume", "Target": "/x", "Source": "named", "ReadOnly": True}]},
    {"Mounts": [{"Type": "volume", "Target": "/x"}]},
    {"Mounts": [{"Type": "tmpfs", "Target": "/x/"}]},
    {
        "Mounts": [
            {
                "Type": "volume",
                "Source": "labelled",
                "Target": "/x",
                "VolumeOptions": {
                    "NoCopy": True,
                    "Labels": {"q": "r"},
                    "DriverConfig": {"Name": "local", "Options": {"type": "tmpfs", "device": "tmpfs"}},
                },
            }
        ]
    },
]


def test_mounts_in_inspect(both: tuple[Engine, Engine]) -> None:
    for host in MOUNTED:
        shown = []
        for engine in both:
            volumes: dict[str, object] = {"/x": {}, "/z/": {}}
            body = {"Image": "busybox", "HostConfig": {**host, "VolumeDriver": "local"}, "Volumes": volumes}
            created = engine.api("POST", f"{API}/containers/create", body).body
            assert isinstance(created, dict), created
            assert "Id" in created, created
            seen = engine.api("GET", f"{API}/containers/{created['Id']}/json").body
            assert isinstance(seen, dict)
            mounts = sorted(seen["Mounts"], key=lambda mount: str(mount["Destination"]))
            asked = (
                seen["HostConfig"].get("Binds"),
                seen["HostConfig"].get("Mounts"),
                seen["Config"]["Volumes"],
            )
            shown.append(neutral(json.dumps([mounts, asked], sort_keys=True)))
        assert shown[1] == shown[0], host


REFUSED: list[Host] = [
    *_binds("named:/x:bad", "named:/x:ro,rw", "named:/x:rshared", "named:/x:ro,"),
    *_binds("/a:/x:nocopy", "named:rel", "named:/", ":/x", "a:b:c:d", "/x:ro"),
    *_binds("bad name:/x", "n:/x", "../x:/x"),
    *_mounts(
        {"Target": ""},
        {"Target": "/"},
        {"Target": "x"},
        {"Target": "/x", "Source": "/abs"},
        {"Target": "/x", "ReadOnly": True},
        {"Target": "/x", "BindOptions": {}},
        {"Target": "/x", "TmpfsOptions": {}},
        {"Target": "/x", "VolumeOptions": {"Subpath": "a"}},
        {"Target": "/x", "Source": "named", "VolumeOptions": {"Subpath": "../a"}},
        {"Target": "/x", "Source": "named", "VolumeOptions": {"Subpath": "/a"}},
    ),
    {"Mounts": [{"Type": "image", "Target": "/x"}]},
    {"Mounts": [{"Type": "", "Target": "/x"}]},
    {"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/x", "VolumeOptions": {}}]},
    {"Binds": ["named:/x", "plain:/x"]},
    {"Binds": ["named:/x"], "Mounts": [{"Type": "volume", "Target": "/x"}]},
    {"Binds": ["named:/x"], "Tmpfs": {"/x": ""}},
    *_volumes_from("", "missing", "missing:bad", "missing:nocopy", "missing:rshared"),
]


def test_what_is_refused(both: tuple[Engine, Engine]) -> None:
    """With dockerd's words. Its status is 500 for much of what is wrong with `-v`; ours is 400."""
    for host in REFUSED:
        body = {"Image": "busybox", "HostConfig": host}
        theirs, ours = (engine.api("POST", f"{API}/containers/create", body) for engine in both)
        assert ours.message == theirs.message, host
        assert ours.status == (400 if theirs.status == 500 else theirs.status), host
    (ours_left,) = (engine.ok("volume", "ls", "-q") for engine in both[1:])
    assert ours_left == ""


def test_subpath_needs_an_api_that_has_it(both: tuple[Engine, Engine]) -> None:
    mount = {"Type": "volume", "Source": "named", "Target": "/x", "VolumeOptions": {"Subpath": "a"}}
    body = {"Image": "busybox", "HostConfig": {"Mounts": [mount]}}
    theirs, ours = (engine.api("POST", "/v1.44/containers/create", body) for engine in both)
    assert (ours.status, ours.body) == (theirs.status, theirs.body)


# Without the times of directories: dockerd leaves theirs as the copy made them, ours are the image's.
LIST = (
    "cd /data && stat -c '%n %a %u %g %h %F' . sub && stat -c '%n %a %u %g %h %Y %F' a sub/hard soft pipe && cat a && "
    "ls -ln /other | wc -l"
)


def test_a_new_volume_takes_what_the_image_has(same: Same, volume_image: str) -> None:
    same("run", "--rm", "-v", "full:/data", volume_image, "sh", "-c", f"{LIST}; echo new > /data/b")
    same("run", "--rm", "-v", "full:/data", volume_image, "ls", "/data")
    same("run", "--rm", volume_image, "sh", "-c", LIST)
    same("run", "--rm", "-v", "linked:/link", volume_image, "ls", "/link/")
    same(
        "run", "--rm", "--mount", "type=volume,src=empty,dst=/data,volume-nocopy", volume_image, "ls", "/data"
    )
    same("run", "--rm", "-v", "empty:/data:ro", volume_image, "ls", "/data")
    same("run", "--rm", "-v", "empty:/data:ro", volume_image, "touch", "/data/x")
    same("volume", "ls", "-q")


def test_extended_attributes_come_too(both: tuple[Engine, Engine], volume_image: str) -> None:
    import os

    for engine in both:
        engine.ok("create", "-v", "attributes:/data", volume_image)
        place = engine.ok("volume", "inspect", "-f", "{{.Mountpoint}}", "attributes")
        assert os.getxattr(f"{place}/a", "user.kind") == b"example"


def test_a_volume_over_a_file(both: tuple[Engine, Engine], volume_image: str) -> None:
    """The same words, but the path is the one in the container."""
    for options in (("-v", "named:/etc/file"), ("-v", "/etc/file")):
        theirs, ours = (engine.docker("create", *options, volume_image) for engine in both)
        assert (ours.code, theirs.code) == (1, 1)
        words = theirs.err.replace(theirs.err[theirs.err.index("/") : theirs.err.index("/etc/file")], "")
        assert ours.err == words
    assert both[1].ok("volume", "ls", "-q") == ""


def test_subpath(same: Same, volume_image: str) -> None:
    mount = "type=volume,src=parts,dst=/part,volume-subpath="
    same("create", "-v", "parts:/data", volume_image)
    same("run", "--rm", "--mount", f"{mount}sub", volume_image, "ls", "/part")
    same("run", "--rm", "--mount", f"{mount}a", volume_image, "cat", "/part")
    same("run", "--rm", "--mount", f"{mount}gone", volume_image, "true")
    same("run", "--rm", "-v", "parts:/data", volume_image, "ln", "-s", "/etc", "/data/out")
    same("run", "--rm", "--mount", f"{mount}out", volume_image, "ls", "/part")
    same("run", "--rm", "-v", "parts:/data", volume_image, "ln", "-s", "sub", "/data/in")
    same("run", "--rm", "--mount", f"{mount}in", volume_image, "ls", "/part")


def test_volumes_from(both: tuple[Engine, Engine], same: Same, volume_image: str) -> None:
    same(
        *("create", "--name", "source", "-v", "named:/n:ro", "-v", "SHARE:/host", "-v", "/anonymous"),
        *("--mount", "type=volume,dst=/mounted", volume_image),
    )
    template = "{{range .Mounts}}{{println .Type .Source .Destination .Driver .Mode .RW .Propagation}}{{end}}"
    for mode in ("", ":ro", ":rw", ":z"):
        shown = []
        for engine in both:
            engine.ok("create", "--name", f"heir{mode[1:]}", "--volumes-from", f"source{mode}", "busybox")
            text = engine.inspect(f"heir{mode[1:]}", template).replace(str(engine.share), "SHARE")
            shown.append(sorted(neutral(text).splitlines()))
        assert shown[1] == shown[0]
    same(
        "run",
        "--rm",
        "--volumes-from",
        "source",
        "-v",
        "mine:/data",
        "busybox",
        "sh",
        "-c",
        "ls /data; ls -d /host",
    )


def test_anonymous_volumes_go_with_their_container(same: Same, volume_image: str) -> None:
    same("run", "--rm", "-v", "/scratch", "-v", "kept:/kept", volume_image, "true")
    same("volume", "ls", "-q")
    same("create", "--name", "one", "-v", "/scratch", "busybox")
    same("create", "--name", "two", "--volumes-from", "one", "busybox")
    same("rm", "-v", "one")
    same("volume", "ls", "-q")
    same("rm", "-v", "two")
    same("volume", "ls", "-q")
    same("create", "--name", "three", "-v", "/scratch", "busybox")
    same("rm", "three")
    same("volume", "ls", "-q")
    same("volume", "prune", "-f")
    same("volume", "prune", "-f", "-a")


def test_containers_by_volume(same: Same) -> None:
    same("create", "--name", "one", "-v", "named:/x", "-v", "SHARE:/host", "busybox")
    same("create", "--name", "two", "busybox")
    for value in ("named", "/x", "SHARE", "/host", "missing"):
        same("ps", "-a", "--filter", f"volume={value}", "--format", "{{.Names}} {{.LocalVolumes}}")
    same("ps", "-a", "--no-trunc", "--filter", "volume=named", "--format", "{{.Names}}")


def test_events(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        begin = engine.ok("system", "info", "--format", "{{.SystemTime}}")
        engine.ok("run", "--name", "events", "-v", "told:/x", "-v", "/y", "busybox", "true")
        engine.ok("rm", "-v", "events")
        engine.ok("volume", "rm", "told")
        engine.ok("volume", "prune", "-f")
        end = engine.ok("system", "info", "--format", "{{.SystemTime}}")
        kinds = ("--filter", "type=volume", "--filter", "type=container")
        shape = "{{.Type}} {{.Action}} {{json .Actor.Attributes}}"
        lines = engine.ok("events", "--since", begin, "--until", end, *kinds, "--format", shape)
        told.append([neutral(line) for line in lines.splitlines() if "attach" not in line])
    assert [sorted(lines) for lines in told][1] == sorted(told[0])
    order = [[line.split(" {")[0] for line in lines] for lines in told]
    assert order[1] == order[0]


def test_copying_into_a_volume_of_a_stopped_container(both: tuple[Engine, Engine], same: Same) -> None:
    for engine in both:
        (engine.share / "file").write_text("hello")
    same("create", "--name", "stopped", "-v", "data:/data", "-v", "shown:/shown:ro", "busybox")
    same("cp", "-q", "SHARE/file", "stopped:/data/")
    same("cp", "-q", "SHARE/file", "stopped:/shown/")
    same("run", "--rm", "-v", "data:/x", "busybox", "cat", "/x/file")
    for name in ("data", "shown"):
        for engine in both:
            engine.ok("run", "--rm", "-v", f"{name}:/x", "busybox", "touch", f"/x/{name}")
    same("cp", "-q", "stopped:/data/file", "-")
