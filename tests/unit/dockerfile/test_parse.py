"""Dockerfiles as typed instructions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.dockerfile import instructions as it
from hostagent.dockerfile.instructions import parse
from hostagent.dockerfile.source import read
from hostagent.errors import Invalid


def only(text: str) -> it.Instruction:
    """The one instruction after a FROM."""
    (stage,) = parse(b"FROM scratch\n" + text.encode()).stages
    (found,) = stage.instructions
    return found


def test_lines() -> None:
    source = read(
        b"\xef\xbb\xbf# escape=`\r\n# syntax=x\n# escaped\n\nFROM a AS b\n  RUN one `\n# inside\n\n  two ``\nCMD x"
    )
    assert source.escape == "`"
    assert source.directives == {"escape": "`", "syntax": "x"}
    assert [(s.keyword, s.first, s.last) for s in source.statements] == [
        ("FROM", 5, 5),
        ("RUN", 6, 9),
        ("CMD", 10, 10),
    ]
    assert source.statements[1].text == "RUN one   two ``"
    assert len(source.warnings) == 1


def test_stages() -> None:
    found = parse(b"ARG V=1\nFROM --platform=$P a:$V AS Build\nRUN x\nFROM build\n")
    assert [(s.head.base, s.head.name, s.head.platform) for s in found.stages] == [
        ("a:$V", "build", "$P"),
        ("build", "", ""),
    ]
    assert found.arguments[0].defaults == (("V", "1"),)


@pytest.mark.parametrize(
    ("text", "shell", "arguments"),
    [
        ("RUN a  b", True, ("a  b",)),
        ('RUN ["a", "b\\u0041"]', False, ("a", "bA")),
        ("RUN ['a']", True, ("['a']",)),
        ("CMD []", False, ()),
    ],
)
def test_forms(text: str, shell: bool, arguments: tuple[str, ...]) -> None:
    found = only(text)
    assert isinstance(found, it.Command)
    assert (found.shell, found.arguments) == (shell, arguments)


def test_flags_and_heredocs() -> None:
    run = only("RUN --mount=type=cache,target=/a --mount=type=ssh --network=none <<EOF\nx\nEOF\n")
    assert isinstance(run, it.Run)
    assert (run.mounts, run.network) == (("type=cache,target=/a", "type=ssh"), "none")
    assert run.heredocs[0].content == "x\n"
    copy = only(
        'COPY --from=a --chown=1:2 --link --exclude=*.o --exclude=b x <<-"A" <<B /d/\n\tt $V\n\tA\n$V\nB\n'
    )
    assert isinstance(copy, it.Copy)
    assert (copy.sources, copy.destination, copy.origin, copy.link) == (("x",), "/d/", "a", True)
    assert [(t.name, t.content, t.expand) for t in copy.texts] == [
        ("A", "t $V\n", False),
        ("B", "$V\n", True),
    ]
    assert copy.exclude == ("*.o", "b")


def test_pairs() -> None:
    env = only('ENV A="b c" D=e\\ f')
    assert isinstance(env, it.Env)
    assert [(p.name, p.value, p.equals) for p in env.pairs] == [("A", '"b c"', True), ("D", "e\\ f", True)]
    old = only("ENV A b = c")
    assert isinstance(old, it.Env)
    assert [(p.name, p.value, p.equals) for p in old.pairs] == [("A", "b = c", False)]
    arg = only("ARG A B=c")
    assert isinstance(arg, it.Arg)
    assert arg.defaults == (("A", None), ("B", "c"))


def test_healthcheck_and_onbuild() -> None:
    check = only('HEALTHCHECK --interval=5s --retries=3 CMD ["a"]')
    assert isinstance(check, it.Healthcheck)
    assert (check.test, check.interval, check.retries) == (("CMD", "a"), "5s", 3)
    trigger = only("ONBUILD COPY <<E /x\nq\nE\n")
    assert isinstance(trigger, it.OnBuild)
    assert trigger.trigger == "COPY <<E /x\nq\nE"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no instructions"),
        ("# only\n", "no instructions"),
        ("RUN x", "no build stage"),
        ("FROM a b", "one or three arguments"),
        ("FROM a AS 1x", "invalid name for build stage"),
        ("FROM a\nRUNN x", "did you mean RUN"),
        ("FROM a\nRUN", "at least one argument"),
        ("FROM a\nCOPY a", "at least two arguments"),
        ("FROM a\nCOPY --frm=x a b", "did you mean --from"),
        ("FROM a\nCOPY --link=x a b", "expecting boolean"),
        ("FROM a\nCOPY --from a b", "missing a value"),
        ("FROM a\nCOPY --from=a --from=b a b", "duplicate flag"),
        ("FROM a\nCOPY a <<E\nE", "heredoc as a destination"),
        ("FROM a\nENV A", "two arguments"),
        ("FROM a\nENV A=b c", "can't find ="),
        ("FROM a\nENV =b", "can not be blank"),
        ('FROM a\nCMD [["a"]]', "strings only"),
        ("FROM a\nSHELL x", "JSON form"),
        ("FROM a\nHEALTHCHECK CMD", "Missing command"),
        ("FROM a\nHEALTHCHECK NONE x", "takes no arguments"),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD x", "negative"),
        ("FROM a\nONBUILD ONBUILD RUN x", "Chaining"),
        ("FROM a\nONBUILD FROM x", "isn't allowed"),
        ("FROM a\nUSER a b\nRUN <<E\nx", "unterminated heredoc"),
        ("# escape=x\nFROM a", "invalid escape token"),
        ("# escape=`\n# escape=`\nFROM a", "only one escape"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        parse(text.encode())


@given(
    st.lists(
        st.sampled_from(["FROM a", "RUN x \\", "COPY a b", "<<E", "E", "# c", "", "ENV A=$B", "\\", '["a"]']),
        max_size=8,
    )
)
def test_any_file_is_read_or_refused(lines: list[str]) -> None:
    try:
        parse("\n".join(lines).encode())
    except Invalid:
        pass


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        parse(data)
    except Invalid:
        pass
