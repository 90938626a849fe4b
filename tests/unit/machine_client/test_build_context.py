"""The walk of a context agrees with the patterns, path by path."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.dockerfile.patterns import PathMatcher, ignore_lines
from machine.client.build_context import matcher, walk
from machine.errors import Usage

NAMES = st.sampled_from(["a", "b", "ab", "c.py", ".x"])
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=12)
PATTERNS = st.lists(
    st.tuples(
        st.sampled_from(["", "!"]),
        st.lists(st.sampled_from(["a", "b", "*", "**", "a*", "?", "*.py", ".x"]), min_size=1, max_size=3),
    ).map(lambda pair: pair[0] + "/".join(pair[1])),
    max_size=5,
)


@given(PATHS, PATTERNS)
def test_walk(paths: list[str], patterns: list[str]) -> None:
    """What the patterns leave is there, with the directories on the way to it, parents first."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for path in paths:
            if not any(part.is_file() for part in [root / path, *(root / path).parents]):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                if not (root / path).exists():
                    (root / path).touch()
        rules = PathMatcher(patterns)
        wanted = {
            str(found.relative_to(root))
            for found in root.rglob("*")
            if not rules.excludes(str(found.relative_to(root)))
        }
        wanted |= {str(parent) for path in wanted for parent in Path(path).parents if str(parent) != "."}
        seen = [entry.path for entry in walk(name, rules)]
    assert sorted(seen) == sorted(wanted)
    assert all(str(Path(path).parent) in [".", *seen[:at]] for at, path in enumerate(seen))


def test_kinds(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "g").hardlink_to(tmp_path / "f")
    (tmp_path / "l").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        found = {
            entry.path: (entry.link, entry.is_hard_link) for entry in walk(str(tmp_path), PathMatcher(()))
        }
    assert found == {"f": ("", False), "g": ("f", True), "l": ("nowhere", False)}


def test_the_dockerfiles_own_ignore_file_wins(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("a\n")
    assert matcher(str(tmp_path), str(tmp_path / "Dockerfile")).excludes("a")
    (tmp_path / "Dockerfile.dockerignore").write_text("b\n")
    rules = matcher(str(tmp_path), str(tmp_path / "Dockerfile"))
    assert (rules.excludes("a"), rules.excludes("b")) == (False, True)
    assert ignore_lines("# x\n /b/ \n") == ["b"]


@pytest.mark.parametrize("text", ["[\n", "!\n"])
def test_patterns_that_cannot_be(tmp_path: Path, text: str) -> None:
    (tmp_path / ".dockerignore").write_text(text)
    with pytest.raises(Usage, match=r"\.dockerignore: "):
        matcher(str(tmp_path), None)
