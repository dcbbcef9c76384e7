"""One step of prefix beam search, for all beginnings of all rows of a batch together.

The likeliest beginnings of a text and the logarithms of what each symbol has at the next step go
in, the likeliest beginnings after it come out. A beginning goes on as it is, by a blank or by its
last symbol again, or grows by a symbol. What grows to a text that is kept already is added to it.

Texts are compared as they are, not by a hash: which beginning begins which other one is known from
the step before, and one symbol more decides. Known limit: all (B, W, K + 1) candidates are written
out.

Graves & Jaitly, "Towards end-to-end speech recognition with recurrent neural networks", 2014,
Algorithm 1 without a language model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from rondo.models.likeliest import likeliest


@dataclass(frozen=True)
class Beams:
    """The likeliest beginnings of every row, the likeliest first.

    Those without any probability, which fill the places that are left, are no text.

    Args:
        symbols: (B, W, steps so far), zeros after the end of each.
        lengths: (B, W).
        begins: (B, W, W), whether [b, i] is [b, j] or its beginning.
        ends: (B, W, 2), ln of the probability of the paths so far that end in a blank, and of
            those that end in a symbol.
    """

    symbols: Tensor
    lengths: Tensor
    begins: Tensor
    ends: Tensor

    @staticmethod
    def of(num_rows: int, width: int, device: torch.device) -> Beams:
        """Returns the empty text of every row."""
        lengths = torch.zeros(num_rows, width, dtype=torch.long, device=device)
        begins = torch.zeros(num_rows, width, width, dtype=torch.bool, device=device)
        begins[:, 0, 0] = True
        ends = torch.full((num_rows, width, 2), -math.inf, dtype=torch.float64, device=device)
        ends[:, 0, 0] = 0.0
        return Beams(lengths[:, :, None][:, :, :0], lengths, begins, ends)

    @property
    def totals(self) -> Tensor:
        """Ln of the probability of each beginning (B, W)."""
        return _log_sum(self.ends)

    def texts(self) -> list[list[tuple[tuple[int, ...], float]]]:
        """Returns the texts of every row with ln of their probabilities."""
        values = zip(
            self.symbols.tolist(), self.lengths.tolist(), self.totals.tolist(), strict=True
        )
        return [
            [
                (tuple(symbols[:length]), total)
                for symbols, length, total in zip(*row, strict=True)
                if total > -math.inf
            ]
            for row in values
        ]

    def after(self, logs: Tensor) -> Beams:
        """Returns the likeliest beginnings one step further.

        Args:
            logs: (B, K + 1), ln of the probabilities of the blank and of the symbols.
        """
        ways = self._grown(logs)
        size, flat = ways.shape[2], ways.flatten(1)
        places, ends = self._merged(logs, flat, size)
        flat[:, ::size] = -math.inf
        flat.scatter_(1, places, _log_sum(ends))
        totals, chosen = likeliest(flat, self.lengths.shape[1])
        is_old = chosen[:, :, None] == places[:, None]
        stays = is_old.any(2)
        source = torch.where(stays, is_old.long().argmax(2), chosen // size)
        grown = torch.stack([torch.full_like(totals, -math.inf), totals], 2)
        ends = torch.where(stays[:, :, None], _rows(ends, source), grown)
        return self._renewed(source, torch.where(stays, 0, chosen % size), ends)

    def _grown(self, logs: Tensor) -> Tensor:
        """Ln of each beginning with one symbol more (B, W, K + 1); number 0 means nothing."""
        ways = self.totals[:, :, None] + logs[:, None]
        last = self._last()
        again = self.ends[:, :, 0] + logs.gather(1, last)  # it needs a blank between
        return ways.scatter_(2, last[:, :, None], again[:, :, None])

    def _merged(self, logs: Tensor, flat: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """The beginnings that do not grow: their places among the candidates, and their ends.

        What grows to one of them is added to it and taken out of the candidates. The place is that
        of its own, or of what is added if that is earlier.
        """
        last, lengths = self._last(), self.lengths
        is_parent = self.begins & (lengths[:, :, None] + 1 == lengths[:, None])
        places = is_parent.long().argmax(1) * size + last
        added = torch.where(is_parent.any(1), flat.gather(1, places), -math.inf)
        by_symbol = torch.logaddexp((self.ends + logs.gather(1, last)[:, :, None])[:, :, 1], added)
        ends = torch.stack([self.totals + logs[:, :1], by_symbol], 2)
        own = torch.arange(0, flat.shape[1], size, device=flat.device).expand_as(places)
        places = torch.where(added > -math.inf, places, own)
        flat.scatter_(1, places, -math.inf)
        return torch.minimum(places, own), ends

    def _renewed(self, source: Tensor, symbol: Tensor, ends: Tensor) -> Beams:
        """The beginnings that were chosen, by what they were and the symbol that is new, or 0."""
        before = self.lengths.gather(1, source)
        symbols = pad(_rows(self.symbols, source), (0, 1))
        symbols.scatter_(2, before[:, :, None], symbol[:, :, None])
        width = source.shape[1]
        next_ones = symbols.gather(2, before[:, None].expand(-1, width, -1)).transpose(1, 2)
        fits = (symbol[:, :, None] == 0) | (symbol[:, :, None] == next_ones)
        begins = _rows(_rows(self.begins, source).transpose(1, 2), source).transpose(1, 2)
        is_text = (ends > -math.inf).any(2)
        return Beams(symbols, before + (symbol > 0), begins & fits & is_text[:, None], ends)

    def _last(self) -> Tensor:
        """The last symbol of each beginning (B, W), 0 of the empty one."""
        return pad(self.symbols, (1, 0)).gather(2, self.lengths[:, :, None]).squeeze(2)


def _rows(values: Tensor, source: Tensor) -> Tensor:
    """The rows of values (B, W, N) with some numbers (B, W)."""
    return values.gather(1, source[:, :, None].expand(-1, -1, values.shape[2]))


def _log_sum(ends: Tensor) -> Tensor:
    """Ln of the sum of two probabilities (..., 2).

    The two lie beside each other, so torch takes one number at a time, by the C library: then equal
    numbers give equal sums wherever they lie in a batch, and ties stay ties.
    """
    return torch.logaddexp(ends[..., 0], ends[..., 1])
