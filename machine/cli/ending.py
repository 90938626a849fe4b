"""How a signal ends pymachine: by unwinding, so that terminals and files are put in order on the way."""

from __future__ import annotations

import signal


class Ended(BaseException):
    """A signal ends us; not an Exception, so that nothing on the way swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
