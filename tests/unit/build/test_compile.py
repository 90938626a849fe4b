"""What variables come to, and which stages are made: the examples of the Dockerfile reference, as graphs of steps."""

from __future__ import annotations

import pytest

from hostagent.build import ops
from hostagent.build.compile import Compiled, Program, compile_build
from hostagent.build.options import Options
from hostagent.dockerfile.instructions import parse
from hostagent.errors import Invalid
from hostagent.model.image import Image, ImageConfig, Platform

HERE = Platform("linux", "amd64")
BASE = Image(id="sha256:" + "1" * 64, platform=HERE, config=ImageConfig(), diff_ids=("sha256:" + "2" * 64,))
PARENT = Image(
    id="sha256:" + "3" * 64,
    platform=HERE,
    config=ImageConfig(on_build=("ARG A=1", "RUN echo $A")),
    diff_ids=BASE.diff_ids,
)
IMAGES = {("busybox", ""): BASE, ("busybox:v2", ""): BASE, ("parent", ""): PARENT}


def program(text: str, target: str = "", **arguments: str) -> Program:
    options = Options(platform=HERE, target=target, arguments=arguments)
    return compile_build(parse(text.encode()), options, IMAGES, HERE)


def runs(stage: Compiled) -> list[ops.Run]:
    return [step.op for step in stage.steps if isinstance(step.op, ops.Run)]


@pytest.mark.parametrize(
    ("text", "arguments", "user"),
    [
        ("FROM busybox\nUSER ${u:-some_user}\nARG u\nUSER $u\n", {"u": "what_user"}, "what_user"),
        ("FROM busybox\nARG username=someuser\nUSER $username\n", {}, "someuser"),
        ("FROM busybox\nARG username=someuser\nUSER $username\n", {"username": "other"}, "other"),
        ("FROM busybox\nUSER ${username:-some_user}\nARG username\n", {"username": "what_user"}, "some_user"),
        ("ARG u=head\nFROM busybox\nUSER ${u:-none}\n", {}, "none"),
        ("ARG u=head\nFROM busybox\nARG u\nUSER ${u:-none}\n", {}, "head"),
        ("ARG u=head\nFROM busybox\nARG u=own\nUSER ${u:-none}\n", {}, "own"),
        ("FROM busybox AS base\nARG SETTINGS=one\nFROM busybox\nUSER ${SETTINGS:-none}\n", {}, "none"),
        ("FROM busybox AS base\nARG S=one\nENV E=$S\nFROM base\nUSER ${S:-none}-$E\n", {}, "none-one"),
        ("FROM busybox\nARG a=1 b=$a-2\nUSER $b\n", {}, "1-2"),
        ("FROM busybox\nARG TARGETPLATFORM\nUSER $TARGETPLATFORM\n", {}, "linux/amd64"),
        ("FROM busybox\nUSER x$TARGETOS\n", {}, "x"),
    ],
)
def test_arguments(text: str, arguments: dict[str, str], user: str) -> None:
    assert program(text, **arguments).target.config.user == user


def test_an_environment_hides_an_argument() -> None:
    text = "FROM busybox\nARG V=arg\nENV V=v1.0.0\nRUN x\n"
    (run,) = runs(program(text, V="v2.0.1").target)
    assert [each for each in run.environment if each.startswith("V=")] == ["V=v1.0.0"]
    kept = program("FROM busybox\nARG V\nENV V=${V:-v1.0.0}\n", V="v2.0.1").target.config.env
    assert "V=v2.0.1" in kept


def test_an_argument_of_from() -> None:
    built = program(
        "ARG VERSION=v1\nFROM busybox:$VERSION AS x\nARG VERSION\nRUN echo $VERSION\n", VERSION="v2"
    ).target
    assert "VERSION=v2" in runs(built)[0].environment


def test_proxies_reach_processes_and_nothing_else() -> None:
    built = program("FROM busybox\nRUN x\n", HTTP_PROXY="http://p")
    (run,) = runs(built.target)
    assert run.proxies == ("HTTP_PROXY=http://p",) and not any("PROXY" in each for each in run.environment)
    assert built.unused == () and "PROXY" not in built.target.steps[-1].text


def test_values_that_nobody_asked_for_are_named() -> None:
    assert program("FROM busybox\nARG A\n", A="1", B="2").unused == ("B",)


def test_only_what_the_target_needs_is_made() -> None:
    text = "FROM busybox AS a\nFROM busybox AS b\nCOPY --from=a / /\nFROM busybox AS c\nFROM b AS d\n"
    assert set(program(text).stages) == {0, 1, 3}
    assert set(program(text, target="c").stages) == {2}
    assert set(program(text, target="1").stages) == {0, 1}


def test_triggers_run_once_and_first() -> None:
    built = program("FROM parent AS one\nONBUILD RUN own\nFROM one\nRUN last\n").target
    assert [run.arguments[-1] for run in runs(built)] == ["echo $A", "own", "last"]
    assert built.config.on_build == ()
    # What a trigger declares is of the stage in which it runs.
    assert ["A=1" in run.environment for run in runs(built)] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FROM $NONE\n", "should not be blank"),
        ("FROM busybox\nCOPY http://x/y /\n", "source can't be a URL for COPY"),
        ("FROM busybox\nCOPY a b /c\n", "must be a directory and end with a /"),
        ("FROM busybox\nRUN --mount=type=cache true\n", "has no target"),
        (
            "FROM busybox\nRUN --mount=type=bind,from=$X,target=/x true\n",
            "doesn't support variable expansion",
        ),
        ("FROM busybox\nRUN --network=foo true\n", "unsupported network mode"),
        ("FROM busybox\nENV A=${B:?unset}\n", "B: unset"),
    ],
)
def test_what_cannot_be_built_is_told(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        program(text)
