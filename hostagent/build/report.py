"""What a build says while it works, in the words of Docker's classic builder, whose clients read them.

Steps of different stages run side by side; the output of one at a time is shown as it comes, that of others is kept
until their turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hostagent.build import ops
from hostagent.build.compile import Compiled
from hostagent.build.results import Snapshot

Say = Callable[[str], None]
_RED, _PLAIN = "\x1b[91m", "\x1b[0m"
_KEPT = 1 << 20
"""Characters of a step that waits for its turn."""


class Report:
    """The listener of a solver (build.solver.Listener)."""

    def __init__(self, say: Say, stages: Iterable[Compiled]) -> None:
        self._say = say
        self._lines: list[str | None] = []
        """By number: `Step 1/9 : …` of instructions that were not told yet."""
        self._numbers: dict[ops.Op, range] = {}
        """By op: the instruction that it does, and those before it that do nothing to files."""
        self._heads: set[int] = set()
        seen: set[int] = set()
        texts: list[str] = []
        begin = 0
        for stage in stages:
            self._heads.add(len(texts))
            texts.append(stage.head.shown)
            for step in stage.steps:
                if id(step) in seen:
                    continue  # of the stage that this one starts from
                seen.add(id(step))
                texts += [step.shown] if step.shown else []
                if step.op is not None:
                    self._numbers[step.op] = range(begin, len(texts))
                    begin = len(texts)
        self._lines += [f"Step {n}/{len(texts)} : {text}\n" for n, text in enumerate(texts, 1)]
        self._active: dict[ops.Op, list[str]] = {}
        self._shown: ops.Op | None = None

    def cached(self, op: ops.Op) -> None:
        for line in self._taken(self._numbers.get(op, range(0)), cached=True).splitlines(keepends=True):
            self._tell(op, line)  # clients count the lines that say so

    def started(self, op: ops.Op) -> None:
        self._active[op] = []
        if self._shown is None:
            self._shown = op
        self._put(op, self._title(op))

    def output(self, op: ops.Op, stream: int, data: bytes) -> None:
        """What its process says; stderr in red, as Docker has it."""
        text = data.decode(errors="replace")
        self._put(op, f"{_RED}{text}{_PLAIN}" if stream == 2 else text)

    def finished(self, op: ops.Op, result: Snapshot) -> None:
        text = f" ---> {short(result.chain_id)}\n" if op in self._numbers else ""
        self._tell(op, text)

    def end(self, known: bool) -> None:
        """Instructions after the last one that does something to files; `known`: the image was made before."""
        self._say(self._taken(range(len(self._lines)), cached=known))

    def _title(self, op: ops.Op) -> str:
        return self._taken(self._numbers.get(op, range(0)))

    def _taken(self, numbers: range, cached: bool = False) -> str:
        """Lines that were not told yet. What comes from the cache is said of all but FROM."""
        told: list[str] = []
        for number in numbers:
            if line := self._lines[number]:
                told.append(line)
                if cached and number not in self._heads:
                    told.append(" ---> Using cache\n")
            self._lines[number] = None
        return "".join(told)

    def _put(self, op: ops.Op, text: str) -> None:
        if op == self._shown:
            self._say(text)
            return
        kept = self._active.setdefault(op, [])
        if sum(map(len, kept)) < _KEPT:
            kept.append(text)

    def _tell(self, op: ops.Op, text: str) -> None:
        """Its last words; the next one's turn."""
        if op in self._active:
            self._put(op, text)
            if op != self._shown:
                return
            del self._active[op]
            self._shown = None
            self._next()
        elif text:
            self._say(text)

    def _next(self) -> None:
        for op, kept in list(self._active.items()):
            self._shown = op
            self._say("".join(kept))
            kept.clear()
            return


def short(identifier: str) -> str:
    """Twelve digits."""
    return identifier.removeprefix("sha256:")[:12]
