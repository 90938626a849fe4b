"""The nftables of this network namespace as all our bridges' tables share them.

The kernel numbers its rulesets; a number that we did not make is somebody else's change. Each table remembers the
epoch in which it was written, and writes itself anew in a later one.
"""

from __future__ import annotations

from hostagent.kernel import nft


class Tables:
    """Runs transactions, and tells whether somebody else did. Unavailable when nftables is missing."""

    def __init__(self) -> None:
        self._nft = nft.Nft()
        self._generation = -1
        self._epoch = 0

    def close(self) -> None:
        self._nft.close()

    def epoch(self) -> int:
        """Counts up when anybody but us has changed this namespace's nftables."""
        generation = self._nft.generation()
        if generation != self._generation:
            self._generation = generation
            self._epoch += 1
        return self._epoch

    def run(self, commands: str) -> int:
        """One transaction of ours; the epoch that it belongs to. NftError when it is refused, with nothing done."""
        self._nft.run(commands)
        self._generation = self._nft.generation()
        return self._epoch
