"""The instructions of a Dockerfile as types, and the stages that they form. Variables are not resolved here.

Source: the Dockerfile reference. Texts of errors are those that BuildKit prints.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from hostagent.dockerfile.flags import Flags, Kind
from hostagent.dockerfile.source import read
from hostagent.dockerfile.statement import Heredoc, Pair, Statement, heredoc_mark
from hostagent.dockerfile.suggest import nearest
from hostagent.errors import Invalid

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """Where it stands, for messages and for the history."""

    statement: Statement


@dataclass(frozen=True, kw_only=True)
class Command(Instruction):
    """CMD, ENTRYPOINT, RUN: words to execute, or one text for the shell."""

    arguments: tuple[str, ...]
    shell: bool


@dataclass(frozen=True, kw_only=True)
class Cmd(Command):
    pass


@dataclass(frozen=True, kw_only=True)
class Entrypoint(Command):
    pass


@dataclass(frozen=True, kw_only=True)
class Run(Command):
    """`mounts` are as written: their variables are resolved with the stage's environment."""

    mounts: tuple[str, ...] = ()
    network: str = ""
    security: str = ""
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Text:
    """A file that stands in the Dockerfile itself."""

    name: str
    content: str
    expand: bool


@dataclass(frozen=True, kw_only=True)
class Transfer(Instruction):
    """What ADD and COPY have in common."""

    sources: tuple[str, ...]
    texts: tuple[Text, ...]
    destination: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Copy(Transfer):
    """`origin` is a stage, an image or a named context; "" is the build's context."""

    origin: str = ""
    parents: bool = False


@dataclass(frozen=True, kw_only=True)
class Add(Transfer):
    """`unpack` None: archives of the context are unpacked, downloads are not."""

    checksum: str = ""
    keep_git_dir: bool | None = None
    unpack: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Env(Instruction):
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class Label(Instruction):
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class Arg(Instruction):
    """Names with their defaults, None where there is none."""

    defaults: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, kw_only=True)
class Words(Instruction):
    """EXPOSE, VOLUME: a list; SHELL: the words of the shell."""

    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Expose(Words):
    pass


@dataclass(frozen=True, kw_only=True)
class Volume(Words):
    pass


@dataclass(frozen=True, kw_only=True)
class Shell(Words):
    pass


@dataclass(frozen=True, kw_only=True)
class Value(Instruction):
    """One text: MAINTAINER, STOPSIGNAL, USER, WORKDIR."""

    value: str


@dataclass(frozen=True, kw_only=True)
class Maintainer(Value):
    pass


@dataclass(frozen=True, kw_only=True)
class StopSignal(Value):
    pass


@dataclass(frozen=True, kw_only=True)
class User(Value):
    pass


@dataclass(frozen=True, kw_only=True)
class Workdir(Value):
    pass


@dataclass(frozen=True, kw_only=True)
class Healthcheck(Instruction):
    """`test` as in a container's configuration; times as written ("30s"), retries 0 = the default."""

    test: tuple[str, ...]
    interval: str = ""
    timeout: str = ""
    start_period: str = ""
    start_interval: str = ""
    retries: int = 0


@dataclass(frozen=True, kw_only=True)
class OnBuild(Instruction):
    """`trigger` is a Dockerfile's text, executed in builds that start from the image."""

    trigger: str


@dataclass(frozen=True, kw_only=True)
class From(Instruction):
    """Begins a stage; `name` in lower case, "" without AS."""

    base: str
    name: str
    platform: str


@dataclass(frozen=True)
class Stage:
    """A FROM and what follows it."""

    head: From
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class Dockerfile:
    """A whole file. `arguments` are the ARGs before the first FROM."""

    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    escape: str
    directives: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def parse(data: bytes) -> Dockerfile:
    """Invalid, with the line, for what cannot be built."""
    source = read(data)
    arguments: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for statement in source.statements:
        try:
            made = instruction(statement)
            if isinstance(made, From):
                stages.append((made, []))
            elif stages:
                stages[-1][1].append(made)
            elif isinstance(made, Arg):
                arguments.append(made)
            else:
                raise Invalid("no build stage in current context")
        except Invalid as error:
            raise Invalid(f"dockerfile parse error on line {statement.first}: {error}") from None
    if not stages:
        raise Invalid("the Dockerfile has no FROM: no build stage in it")
    return Dockerfile(
        tuple(arguments),
        tuple(Stage(head, tuple(made)) for head, made in stages),
        source.escape,
        source.directives,
        source.warnings,
    )


def instruction(statement: Statement) -> Instruction:
    """Invalid for a keyword, flags or a number of arguments that Docker does not know."""
    word = statement.keyword.upper()
    maker = _MAKERS.get(word)
    if maker is None:
        close = nearest(word, _MAKERS)
        raise Invalid(
            f"unknown instruction: {statement.keyword}" + (f" (did you mean {close}?)" if close else "")
        )
    return maker(statement)


def _flags(statement: Statement, **known: Kind) -> Flags:
    return Flags(statement.flags, {name.replace("_", "-"): kind for name, kind in known.items()})


def _some(statement: Statement) -> tuple[str, ...]:
    if not statement.arguments:
        raise Invalid(f"{statement.keyword.upper()} requires at least one argument")
    return statement.arguments


def _one(statement: Statement) -> str:
    _flags(statement)
    if len(statement.arguments) != 1:
        raise Invalid(f"{statement.keyword.upper()} requires exactly one argument")
    return statement.arguments[0]


def _from(statement: Statement) -> From:
    words = statement.arguments
    flags = _flags(statement, platform="text")
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise Invalid(
                f'invalid name for build stage: "{words[2]}", name can\'t start with a number or contain symbols'
            )
    elif len(words) == 1:
        name = ""
    else:
        raise Invalid("FROM requires either one or three arguments")
    return From(statement=statement, base=words[0], name=name, platform=flags.text("platform"))


def _command(kind: type[Cmd] | type[Entrypoint]) -> Callable[[Statement], Instruction]:
    def make(statement: Statement) -> Instruction:
        _flags(statement)
        return kind(statement=statement, arguments=statement.arguments, shell=statement.form != "exec")

    return make


def _run(statement: Statement) -> Run:
    flags = _flags(statement, mount="texts", network="text", security="text")
    return Run(
        statement=statement,
        arguments=_some(statement),
        shell=statement.form != "exec",
        mounts=flags.texts("mount"),
        network=flags.text("network"),
        security=flags.text("security"),
        heredocs=statement.heredocs,
    )


def _places(statement: Statement) -> tuple[tuple[str, ...], tuple[Text, ...], str]:
    """(paths and URLs, texts in the file itself, destination)."""
    word = statement.keyword.upper()
    if len(statement.arguments) < 2:
        raise Invalid(
            f"{word} requires at least two arguments, but only one was provided. Destination could not be determined"
        )
    *sources, destination = statement.arguments
    if heredoc_mark(destination):
        raise Invalid(f"{word} cannot accept a heredoc as a destination")
    marks = {source: mark for source in sources if (mark := heredoc_mark(source)) is not None}
    contents = {found.name: found for found in statement.heredocs}
    texts = [_text(contents[mark.name]) for mark in marks.values() if mark.name in contents]
    return tuple(source for source in sources if source not in marks), tuple(texts), destination


def _text(found: Heredoc) -> Text:
    return Text(name=found.name, content=chomped(found), expand=found.expand)


def chomped(found: Heredoc) -> str:
    """Its text, of `<<-` without the tabs before each line."""
    return _LEADING_TABS.sub("", found.content) if found.chomp else found.content


def _copy(statement: Statement) -> Copy:
    sources, texts, destination = _places(statement)
    flags = Flags(
        statement.flags,
        {
            "from": "text",
            "chown": "text",
            "chmod": "text",
            "link": "bool",
            "parents": "bool",
            "exclude": "texts",
        },
    )
    return Copy(
        statement=statement,
        sources=sources,
        texts=texts,
        destination=destination,
        origin=flags.text("from"),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.on("link"),
        parents=flags.on("parents"),
        exclude=flags.texts("exclude"),
    )


def _add(statement: Statement) -> Add:
    sources, texts, destination = _places(statement)
    flags = _flags(
        statement,
        chown="text",
        chmod="text",
        link="bool",
        keep_git_dir="bool",
        checksum="text",
        unpack="bool",
        exclude="texts",
    )
    return Add(
        statement=statement,
        sources=sources,
        texts=texts,
        destination=destination,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.on("link"),
        exclude=flags.texts("exclude"),
        checksum=flags.text("checksum"),
        keep_git_dir=flags.maybe("keep-git-dir"),
        unpack=flags.maybe("unpack"),
    )


def _pairs(kind: type[Env] | type[Label]) -> Callable[[Statement], Instruction]:
    def make(statement: Statement) -> Instruction:
        _flags(statement)
        word = statement.keyword.upper()
        if not statement.pairs:
            raise Invalid(f"{word} requires at least one argument")
        if not all(pair.name for pair in statement.pairs):
            raise Invalid(f"{word} names can not be blank")
        return kind(statement=statement, pairs=statement.pairs)

    return make


def _arg(statement: Statement) -> Arg:
    _flags(statement)
    halves = [word.partition("=") for word in _some(statement)]
    if not all(name for name, _, _ in halves):
        raise Invalid("ARG names can not be blank")
    return Arg(
        statement=statement,
        defaults=tuple((name, value if equals else None) for name, equals, value in halves),
    )


def _words(kind: type[Words]) -> Callable[[Statement], Instruction]:
    def make(statement: Statement) -> Instruction:
        _flags(statement)
        return kind(statement=statement, words=tuple(word.strip() for word in _some(statement)))

    return make


def _volume(statement: Statement) -> Instruction:
    if not all(word.strip() for word in statement.arguments):
        raise Invalid("VOLUME specified can not be an empty string")
    return _words(Volume)(statement)


def _shell(statement: Statement) -> Instruction:
    if statement.form != "exec" and statement.arguments:
        raise Invalid(f"SHELL requires the arguments to be in JSON form: {statement.text}")
    return _words(Shell)(statement)


def _value(kind: type[Value]) -> Callable[[Statement], Instruction]:
    return lambda statement: kind(statement=statement, value=_one(statement))


def _healthcheck(statement: Statement) -> Healthcheck:
    kind, *rest = _some(statement)
    flags = _flags(
        statement, interval="text", timeout="text", start_period="text", start_interval="text", retries="text"
    )
    match kind.upper():
        case "NONE":
            if rest:
                raise Invalid("HEALTHCHECK NONE takes no arguments")
            return Healthcheck(statement=statement, test=("NONE",))
        case "CMD":
            if not rest:
                raise Invalid("Missing command after HEALTHCHECK CMD")
            test = ("CMD" if statement.form == "exec" else "CMD-SHELL", *rest)
        case _:
            raise Invalid(f'Unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)')
    retries = flags.text("retries") or "0"
    if not re.fullmatch(r"-?\d+", retries):
        raise Invalid(f"--retries is a whole number, not {retries}")
    if int(retries) < 0:
        raise Invalid(f"--retries cannot be negative ({retries})")
    return Healthcheck(
        statement=statement,
        test=test,
        interval=flags.text("interval"),
        timeout=flags.text("timeout"),
        start_period=flags.text("start-period"),
        start_interval=flags.text("start-interval"),
        retries=int(retries),
    )


def _on_build(statement: Statement) -> OnBuild:
    _flags(statement)
    inner = statement.nested
    if inner is None:
        raise Invalid("ONBUILD requires at least one argument")
    word = inner.keyword.upper()
    if word == "ONBUILD":
        raise Invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if word in ("MAINTAINER", "FROM"):
        raise Invalid(f"{word} isn't allowed as an ONBUILD trigger")
    instruction(inner)
    texts = [f"\n{found.content}{found.name}" for found in statement.heredocs]
    return OnBuild(statement=statement, trigger="".join([inner.text, *texts]))


_MAKERS: dict[str, Callable[[Statement], Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _command(Cmd),
    "COPY": _copy,
    "ENTRYPOINT": _command(Entrypoint),
    "ENV": _pairs(Env),
    "EXPOSE": _words(Expose),
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _pairs(Label),
    "MAINTAINER": _value(Maintainer),
    "ONBUILD": _on_build,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _value(StopSignal),
    "USER": _value(User),
    "VOLUME": _volume,
    "WORKDIR": _value(Workdir),
}
