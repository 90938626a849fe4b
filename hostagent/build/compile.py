"""A Dockerfile and a build's options as a graph of ops, with the configuration and the history that come out. Pure.

Stages are compiled in order of need, each from the configuration of what it starts from.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hostagent.build import ops
from hostagent.build.options import Options
from hostagent.build.runmount import parse_mount
from hostagent.build.scope import Head, Scope, platform_arguments
from hostagent.build.scripts import with_script
from hostagent.build.stages import SCRATCH, Stages
from hostagent.build.urls import GIT_URL, HTTP_URL, git_origin
from hostagent.dockerfile import instructions as it
from hostagent.dockerfile.instructions import Dockerfile
from hostagent.errors import Invalid
from hostagent.image.configure import CHANGING, command, configure, pairs, working_directory
from hostagent.model.image import Image, ImageConfig, Platform

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Step:
    """An instruction as the history tells it; `op` makes its layer, None for one that changes no files."""

    text: str
    line: int
    op: ops.Op | None = None
    shown: str = ""
    """As it is told while it is built; "" for what is not told, as what a base image's ONBUILD brings."""


@dataclass(frozen=True)
class Compiled:
    """A stage: the files that it ends with, its configuration, and how it came to be (without its base's history)."""

    op: ops.Op
    config: ImageConfig
    base: Image | None
    platform: Platform
    author: str
    steps: tuple[Step, ...]
    head: Step
    """Its FROM, which is no part of the history."""


@dataclass(frozen=True)
class Program:
    """All stages that are needed; `target` is the one whose image is wanted."""

    stages: Mapping[int, Compiled]
    target: Compiled
    unused: tuple[str, ...]
    """Arguments that were given and that no ARG names."""


def compile_build(
    dockerfile: Dockerfile, options: Options, images: Mapping[tuple[str, str], Image], here: Platform
) -> Program:
    """`images`: those of `Stages.needed`, by (name, platform). Invalid, with the line, for what cannot be built."""
    head = file_head(dockerfile, options, here)
    stages = Stages(dockerfile, head, platform_asked(options, here))
    needed = stages.needed(options.target, images)
    done: dict[int, Compiled] = {}
    for index in needed.order:
        done[index] = _Stage(dockerfile, options, head, stages, index, images, done).compile()
    known = head.used | platform_arguments(here, here).keys() | {"SOURCE_DATE_EPOCH"}
    unused = tuple(name for name in options.arguments if name not in known and not _is_proxy(name))
    return Program(done, done[needed.target], unused)


def file_head(dockerfile: Dockerfile, options: Options, here: Platform) -> Head:
    """The variables of FROM lines."""
    automatic = platform_arguments(options.platform, here)
    return Head(options.arguments, automatic, dockerfile.arguments, dockerfile.escape)


def platform_asked(options: Options, here: Platform) -> str:
    """The platform of images that no --platform of their FROM names; "" is whatever there is."""
    return str(options.platform) if options.platform != here else ""


def _is_proxy(name: str) -> bool:
    return name.upper().endswith("_PROXY")


class _Stage:
    """One stage on its way through its instructions."""

    def __init__(
        self,
        dockerfile: Dockerfile,
        options: Options,
        head: Head,
        stages: Stages,
        index: int,
        images: Mapping[tuple[str, str], Image],
        done: Mapping[int, Compiled],
    ) -> None:
        self._dockerfile = dockerfile
        self._options = options
        self._stages = stages
        self._index = index
        self._images = images
        self._done = done
        self._steps: list[Step] = []
        self._author = ""
        self._begin()
        self._scope = Scope(head, self._config.env, dockerfile.escape)
        self._cmd_here = False

    def _begin(self) -> None:
        name = self._stages.base(self._index)
        earlier = self._stages.find(name, self._index)
        platform = self._stages.platform(self._index)
        if earlier is not None:
            found = self._done[earlier]
            self._op, self._config, self._base = found.op, replace(found.config, on_build=()), found.base
            self._platform, self._author = found.platform, found.author
            self._steps += found.steps
        elif name == SCRATCH:
            self._op, self._base = ops.Scratch(), None
            self._config = ImageConfig(env=(DEFAULT_PATH,))
            self._platform = self._options.platform
        else:
            self._base = self._images[name, platform]
            self._op = ops.Base(self._base.id, self._base.diff_ids)
            self._platform, self._author = self._base.platform, self._base.author
            config = self._base.config
            env = (
                config.env
                if any(each.startswith("PATH=") for each in config.env)
                else (DEFAULT_PATH, *config.env)
            )
            self._config = replace(config, env=env, on_build=())

    def compile(self) -> Compiled:
        stage = self._dockerfile.stages[self._index]
        triggered = self._stages.triggers(self._index, self._images)
        for self._quiet, steps in ((True, triggered), (False, stage.instructions)):
            for step in steps:
                self._on_its_line(step)
        labels = {**self._config.labels, **self._options.labels} if self._is_target() else self._config.labels
        config = replace(self._config, labels=labels)
        told = stage.head.statement.text.strip()
        if triggered:
            told += f"\n# Executing {len(triggered)} build trigger{'s' if len(triggered) > 1 else ''}"
        head = Step("", stage.head.statement.first, shown=told)
        return Compiled(self._op, config, self._base, self._platform, self._author, tuple(self._steps), head)

    def _on_its_line(self, step: it.Instruction) -> None:
        try:
            self._instruction(step)
        except Invalid as error:
            line = step.statement.first
            raise Invalid(f"dockerfile parse error on line {line}: {error}") from None

    def _is_target(self) -> bool:
        return self._index == self._stages.target(self._options.target)

    def _instruction(self, step: it.Instruction) -> None:
        match step:
            case it.Arg():
                self._scope.declare(step)
                self._note(step)
            case it.Maintainer():
                self._author = self._scope.expand(step.value).text
                self._note(step)
            case it.Run():
                self._run(step)
            case it.Transfer():
                self._transfer(step)
            case it.Workdir():
                self._config = configure(self._config, step, self._scope.expand)
                self._op = ops.MakeDirectory(self._op, self._config.working_dir)
                self._note(step, self._op)
            case _ if isinstance(step, CHANGING):
                self._configure(step)
            case _:
                raise Invalid(f"{step.statement.keyword.upper()} is not built yet")

    def _configure(self, step: it.Instruction) -> None:
        self._config = configure(self._config, step, self._scope.expand)
        if isinstance(step, it.Cmd):
            self._cmd_here = True
        elif isinstance(step, it.Entrypoint) and not self._cmd_here:
            # An entrypoint makes the base's command meaningless (Dockerfile reference, "CMD and ENTRYPOINT").
            self._config = replace(self._config, cmd=None)
        if isinstance(step, it.Env):
            self._scope.set_environment(self._config.env)
        self._note(step)

    def _note(self, step: it.Instruction, op: ops.Op | None = None, text: str = "") -> None:
        shown = text or f"{step.statement.keyword.upper()} {self._shown(step)}".rstrip()
        told = "" if self._quiet else step.statement.text.strip()
        self._steps.append(Step(shown, step.statement.first, op, told))

    def _shown(self, step: it.Instruction) -> str:
        if isinstance(step, it.Env | it.Label):
            return " ".join(f"{name}={value}" for name, value in pairs(step, self._scope.expand))
        if isinstance(step, it.Workdir):
            return self._config.working_dir
        _, _, rest = step.statement.text.strip().partition(" ")
        return " ".join(rest.split())

    # -- files

    def _run(self, step: it.Run) -> None:
        script, files = with_script(step)
        arguments = command(script, self._config)
        visible = self._scope.visible
        mounts = files + tuple(
            parse_mount(
                text, self._config.working_dir, lambda word: self._scope.expand(word).text, self._origin
            )
            for text in step.mounts
        )
        if step.network not in ("", "default", "none", "host"):
            raise Invalid(f'unsupported network mode "{step.network}": default, none or host')
        if step.security not in ("", "sandbox", "insecure"):
            raise Invalid(f'unsupported security mode "{step.security}": sandbox or insecure')
        self._op = ops.Run(
            parent=self._op,
            arguments=arguments,
            environment=(*self._config.env, *(f"{name}={value}" for name, value in visible.items())),
            working_dir=self._config.working_dir or "/",
            user=self._config.user,
            mounts=mounts,
            network=step.network,
            privileged=step.security == "insecure",
            proxies=self._scope.proxies,
        )
        given = "".join(f"{name}={value} " for name, value in visible.items())
        counted = f"|{len(visible)} {given}" if visible else ""
        self._note(step, self._op, f"RUN {counted}{' '.join(arguments)}")

    def _transfer(self, step: it.Transfer) -> None:
        words = [self._scope.expand(word).text for word in step.sources]
        destination = self._scope.expand(step.destination).text
        absolute = working_directory(self._config, destination)
        if (destination.endswith(("/", "/.")) or destination in (".", "")) and absolute != "/":
            absolute += "/"
        if len(words) + len(step.texts) > 1 and not absolute.endswith("/"):
            raise Invalid(
                f"When using {step.statement.keyword.upper()} with more than one source file, "
                "the destination must be a directory and end with a /"
            )
        parent: ops.Op = ops.Scratch() if step.link else self._op
        made = parent
        for origin, paths, unpack in self._sources(step, words):
            made = ops.Copy(
                parent=made,
                source=origin,
                paths=paths,
                destination=absolute,
                chown=self._scope.expand(step.chown).text,
                chmod=self._scope.expand(step.chmod).text,
                exclude=tuple(self._scope.expand(word).text for word in step.exclude),
                parents=isinstance(step, it.Copy) and step.parents,
                unpack=unpack,
                name=step.statement.keyword.upper(),
            )
        self._op = ops.Merge(self._op, made) if step.link else made
        self._note(step, self._op)

    def _sources(self, step: it.Transfer, words: list[str]) -> list[tuple[ops.Op, tuple[str, ...], bool]]:
        """(where the files are, their paths there, whether archives are unpacked), in order."""
        found: list[tuple[ops.Op, tuple[str, ...], bool]] = []
        if isinstance(step, it.Copy):
            if any(HTTP_URL.match(word) for word in words):
                raise Invalid("source can't be a URL for COPY")
            if words:
                found.append((self._origin(self._scope.expand(step.origin).text), tuple(words), False))
        elif isinstance(step, it.Add):
            local = tuple(word for word in words if not HTTP_URL.match(word) and not GIT_URL.match(word))
            if local:
                found.append((ops.Context(), local, step.unpack is not False))
            found += [self._remote(step, word) for word in words if word not in local]
        if step.texts:
            texts = tuple(
                replace(each, content=self._scope.expand_plain(each.content)) if each.expand else each
                for each in step.texts
            )
            found.append((ops.Inline(texts), tuple(each.name for each in texts), False))
        return found

    def _remote(self, step: it.Add, word: str) -> tuple[ops.Op, tuple[str, ...], bool]:
        checksum = self._scope.expand(step.checksum).text
        if GIT_URL.match(word):
            git = git_origin(word, bool(step.keep_git_dir), checksum)
            return git, (posixpath.join("/", git.subdirectory),), False
        # What the file is called the server may say: it is the only one.
        return ops.Remote(word, checksum), ("*",), bool(step.unpack)

    def _origin(self, name: str) -> ops.Op:
        """What `--from` means: an earlier stage, an image, or, with no name, the context."""
        if not name:
            return ops.Context()
        earlier = self._stages.find(name, self._index)
        if earlier is not None:
            return self._done[earlier].op
        if name == SCRATCH:
            return ops.Scratch()
        image = self._images[name, self._stages.default_platform]
        return ops.Base(image.id, image.diff_ids)
