"""What a Docker user meets, on dockerd and on ours: dockerd proves the test, ours has to pass it too."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from _pytest.mark import ParameterSet

from tests.servers.engine import Engine, Result

Same = Callable[..., str]
_VARYING = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "ID64"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "ID12"),
    (re.compile(r"/[^\s'\"]*/volumes/"), "VOLUMES/"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)"), "TIME"),
)


def neutral(text: str) -> str:
    """Without what differs between any two runs."""
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text


def long_after(count: int, cases: list[list[str]]) -> list[ParameterSet]:
    """Cases of one kind: the first `count` in every run, the rest in the long one."""
    return [
        pytest.param(case, marks=[pytest.mark.long] if at >= count else []) for at, case in enumerate(cases)
    ]


@pytest.fixture
def same(both: tuple[Engine, Engine]) -> Same:
    """Run one docker command on both and insist on one outcome: exit code, stdout and stderr."""

    def run(engine: Engine, argv: tuple[str, ...], stdin: str | None) -> Result:
        return engine.docker(*(each.replace("SHARE", str(engine.share)) for each in argv), stdin=stdin)

    def told(engine: Engine, done: Result) -> str:
        return "\n".join((f"exit {done.code}", done.out, done.err)).replace(str(engine.share), "SHARE")

    def compare(*argv: str, stdin: str | None = None) -> str:
        done = [run(engine, argv, stdin) for engine in both]
        if argv[:2] == ("run", "--rm") and done[1].out and not done[0].out:
            # dockerd loses the output of a short `docker run` once in some thousands.
            done[0] = run(both[0], argv, stdin)
        theirs, ours = (told(engine, each) for engine, each in zip(both, done, strict=True))
        assert neutral(ours) == neutral(theirs), " ".join(argv)
        return ours

    return compare
