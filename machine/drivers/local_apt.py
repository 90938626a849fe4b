"""Where the laptop, when it is a Debian, gets packages: that mirror is near, and may be the only one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit


def source_lines(suite: str, etc: Path = Path("/etc")) -> list[str]:
    """sources.list lines for `suite` on the laptop's own mirrors; [] unless it is a Debian that has some."""
    archive = security = ""
    if "\nID=debian\n" in f"\n{_read(etc / 'os-release')}\n":
        for uri, codename in _sources(etc / "apt"):
            if not uri.startswith(("http://", "https://", "file:")):
                continue
            path = urlsplit(uri).path.rstrip("/")
            if codename.endswith(("-security", "/updates")):
                security = uri
            elif "-" not in codename and path.endswith("debian"):
                archive = uri
    if not archive:
        return []
    lines = [f"deb {archive} {suite} main", f"deb {archive} {suite}-updates main"]
    return lines + ([f"deb {security} {suite}-security main"] if security else [])


def _sources(apt: Path) -> Iterator[tuple[str, str]]:
    """(URI, suite) of every enabled binary source, in both formats of sources.list(5)."""
    folder = apt / "sources.list.d"
    for path in (apt / "sources.list", *sorted(folder.glob("*.list"))):
        for line in _read(path).splitlines():
            words = line.split("#")[0].replace("[", " [ ").replace("]", " ] ").split()
            if words[:1] == ["deb"]:
                words = words[words.index("]") + 1 :] if "]" in words else words[1:]
                if len(words) >= 2:
                    yield words[0], words[1]
    for path in sorted(folder.glob("*.sources")):
        for stanza in _read(path).split("\n\n"):
            fields = dict(_fields(stanza))
            if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") != "no":
                for uri in fields.get("uris", "").split():
                    for codename in fields.get("suites", "").split():
                        yield uri, codename


def _fields(stanza: str) -> Iterator[tuple[str, str]]:
    for line in stanza.splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith(("#", " ", "\t")):
            yield name.lower(), value.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
