"""The grammar of image names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.errors import Invalid
from hostagent.model.reference import Reference

DIGEST = "sha256:" + "0123456789abcdef" * 4
COMPONENT = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)
DOMAIN = st.sampled_from(
    ["docker.io", "localhost", "localhost:5000", "a.b:1", "127.0.0.1:5000", "[::1]:5000", "Reg"]
)
TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(DOMAIN, st.lists(COMPONENT, min_size=1, max_size=3), st.none() | TAG, st.sampled_from([None, DIGEST]))
def test_names_survive_the_way_there_and_back(
    domain: str, path: list[str], tag: str | None, digest: str | None
) -> None:
    text = f"{domain}/{'/'.join(path)}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    reference = Reference.parse(text, default_tag=False)
    assert (reference.domain, reference.tag, reference.digest) == (domain, tag, digest)
    assert Reference.parse(str(reference), default_tag=False) == reference
    assert Reference.parse(reference.familiar, default_tag=False) == reference


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except Invalid:
        return
    assert Reference.parse(str(reference)) == reference
    assert ".." not in reference.repository.split("/")


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("team/app", "docker.io/team/app:latest", "team/app:latest"),
        ("index.docker.io/library/x", "docker.io/library/x:latest", "x:latest"),
        ("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("127.0.0.1:5000/x:1", "127.0.0.1:5000/x:1", "127.0.0.1:5000/x:1"),
        (f"x@{DIGEST}", f"docker.io/library/x@{DIGEST}", f"x@{DIGEST}"),
        (f"x:1@{DIGEST}", f"docker.io/library/x:1@{DIGEST}", f"x:1@{DIGEST}"),
    ],
)
def test_defaults(text: str, canonical: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert (str(reference), reference.familiar) == (canonical, familiar)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "invalid reference format"),
        ("Busybox", "must be lowercase"),
        ("a//b", "invalid reference format"),
        ("a/../b", "invalid reference format"),
        ("x:", "malformed tag"),
        ("x:.1", "malformed tag"),
        ("x:" + "t" * 129, "malformed tag"),
        ("x@sha256:12", "digest"),
        ("x@", "digest"),
        ("-x", "invalid reference format"),
        ("x/" + "y" * 250, "more than 255"),
        ("a" * 64, "64-byte hexadecimal"),
        ("x\n", "invalid reference format"),
        ("a.b:c/x", "invalid reference format"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        Reference.parse(text)
