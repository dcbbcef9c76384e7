"""Which rank measures which batches of a check or a test.

In go all batches, out come those of this rank. Batches of which each goes on where the one before
ended stay together, and these runs of batches go to the ranks in turn. What the ranks find is put
together in the order of all batches, so it has the same bits whoever found it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rondo.data.batch import Batch
from rondo.training.ranks import Ranks
from rondo.training.score import Tally


class Dealt:
    """The batches of this rank.

    Args:
        batches: All batches, the same for every rank.
        ranks: Who measures them.
    """

    def __init__(self, batches: Iterable[Batch], ranks: Ranks) -> None:
        self.batches, self.ranks = batches, ranks
        self.numbers: list[int] = []
        self.is_stopped = False

    def __iter__(self) -> Iterator[Batch]:
        """Yields them, until somebody says stop."""
        run = -1
        for number, batch in enumerate(self.batches):
            run += run < 0 or not batch.continues
            if run % self.ranks.number == self.ranks.rank:
                self.numbers.append(number)
                yield batch
            if self.is_stopped:
                return

    def stop(self) -> None:
        """Ends it after the batch at hand."""
        self.is_stopped = True

    def in_order(self, found: Sequence[Tally]) -> list[Tally] | None:
        """Returns what all ranks have found, batch by batch; None where any was stopped.

        Args:
            found: What this rank has found in each batch that it got.
        """
        given = dict(zip(self.numbers, found, strict=True))
        tallies: dict[int, Tally] = {}
        is_stopped = False
        for stopped, part in self.ranks.gathered((self.is_stopped, given)):
            tallies |= part
            is_stopped |= stopped
        return None if is_stopped else [tallies[number] for number in sorted(tallies)]
