"""RUN with heredocs: what is executed, and the file that a script of another interpreter becomes.

Source: the Dockerfile reference ("Here-Documents").
"""

from __future__ import annotations

from dataclasses import replace

from hostagent.build import ops
from hostagent.dockerfile import instructions as it
from hostagent.dockerfile.statement import Heredoc, heredoc_mark
from hostagent.errors import Invalid

_PLACE = "/dev/pipes"
"""Where the file of a script is shown to its process: in a directory that is in no layer."""


def with_script(step: it.Run) -> tuple[it.Run, tuple[ops.Mount, ...]]:
    """A heredoc alone is the script, of the shell or, with `#!` at its beginning, of what it names there: that needs a
    mount. Beside other words heredocs are the shell's own affair, so they go back there."""
    if not step.heredocs:
        return step, ()
    if not step.shell or len(step.arguments) != 1:
        raise Invalid("a heredoc of RUN needs the shell form")
    (text,) = step.arguments
    if heredoc_mark(text) is None:
        bodies = "".join(f"\n{each.content}{each.name}" for each in step.heredocs)
        return replace(step, arguments=(text + bodies,)), ()
    script = step.heredocs[0]
    content = it.chomped(script)
    if not script.content.startswith("#!"):
        return replace(step, arguments=(content,)), ()
    return replace(step, arguments=(f"{_PLACE}/{script.name}",)), (_file(script, content),)


def _file(script: Heredoc, content: str) -> ops.Mount:
    texts = (it.Text(name=script.name, content=content, expand=False),)
    return ops.Mount(kind="bind", target=_PLACE, source=ops.Inline(texts, mode=0o755))
