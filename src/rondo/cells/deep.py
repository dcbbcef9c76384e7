"""Depth between two steps, between state and output, and by cells on top of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rondo.cells.cell import (
    ACTIVATIONS,
    OUTPUT_ACTIVATIONS,
    Cell,
    State,
    check_choice,
    check_size,
    state_of_rows,
)


class DeepCell(Cell):
    """A step with several layers: the DT-, DT(S)-, DO-, DOT- and DOT(S)-RNN.

    z_1 = φ(U x(t) + W_1 h(t-1) + b_1);  z_l = φ(W_l z_(l-1) + S_l h(t-1) + b_l);  h(t) = z_L;
    q_1 = φ(V_1 h(t) + c_1);  q_m = φ(V_m q_(m-1) + c_m);  y(t) = g(V_M q_(M-1) + c_M).

    Pascanu et al., "How to construct deep recurrent neural networks", 2014. With biases, which the
    paper leaves out. S is there with `shortcut` alone. The deep output is no part of the loop: it
    runs once, for all steps together.

    | network   | transition_sizes | shortcut | output_sizes |
    |-----------|------------------|----------|--------------|
    | DT-RNN    | (n, ...)         | False    | ()           |
    | DT(S)-RNN | (n, ...)         | True     | ()           |
    | DO-RNN    | ()               | False    | (n, ..., O)  |
    | DOT-RNN   | (n, ...)         | False    | (n, ..., O)  |
    | DOT(S)-RNN| (n, ...)         | True     | (n, ..., O)  |

    Args:
        input_size: The width I of the input.
        hidden_size: The width H of the state.
        transition_sizes: The widths of z_1 to z_(L-1), between h(t-1) and h(t).
        shortcut: Whether h(t-1) enters every layer of the transition, not only the first.
        output_sizes: The widths of q_1 to q_(M-1), then of y; empty: the output is h(t).
        nonlinearity: φ, "tanh" or "relu".
        output_nonlinearity: g, "identity", "sigmoid", "softmax" or "tanh".

    Shape:
        x (B, I), h (B, H); output (B, O), O the last of `output_sizes` or H. `from_input` U,
        `transition` W, `shortcuts` S, `to_output` V, each a `torch.nn.Linear`.

    Example:
        >>> import torch, rondo
        >>> cell = rondo.DeepCell(3, 5, transition_sizes=(8,), shortcut=True, output_sizes=(6, 4))
        >>> y, h = rondo.Recurrent(cell)(torch.randn(2, 7, 3))
        >>> y.shape, h.shape
        (torch.Size([2, 7, 4]), torch.Size([2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        transition_sizes: Sequence[int] = (),
        shortcut: bool = False,
        output_sizes: Sequence[int] = (),
        nonlinearity: str = "tanh",
        output_nonlinearity: str = "identity",
    ) -> None:
        super().__init__(input_size, hidden_size)
        check_choice("nonlinearity", nonlinearity, ACTIVATIONS)
        check_choice("output_nonlinearity", output_nonlinearity, OUTPUT_ACTIVATIONS)
        if shortcut and not transition_sizes:
            raise ValueError("shortcut needs layers to lead past: give transition_sizes, got none")
        for name, sizes in (("transition_sizes", transition_sizes), ("output_sizes", output_sizes)):
            for size in sizes:
                check_size(f"every one of {name}", size)
        self.nonlinearity, self.output_nonlinearity = nonlinearity, output_nonlinearity
        first, *upper = widths = [*transition_sizes, hidden_size]
        self.from_input = nn.Linear(input_size, first)
        self.transition = nn.ModuleList([nn.Linear(hidden_size, first, bias=False)])
        self.transition.extend(map(nn.Linear, widths, upper))
        self.shortcuts = nn.ModuleList(
            nn.Linear(hidden_size, width, bias=False) for width in (upper if shortcut else ())
        )
        self.to_output = nn.ModuleList(map(nn.Linear, [hidden_size, *output_sizes], output_sizes))
        self.output_size = output_sizes[-1] if output_sizes else hidden_size

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the output and the new state."""
        activation = ACTIVATIONS[self.nonlinearity]
        first, *upper = self.transition
        z = activation(self.from_input(x) + first(h))
        for number, layer in enumerate(upper):
            a = layer(z)
            z = activation(a + self.shortcuts[number](h) if self.shortcuts else a)
        y = z
        for layer in self.to_output[:-1]:
            y = activation(layer(y))
        for layer in self.to_output[-1:]:
            y = OUTPUT_ACTIVATIONS[self.output_nonlinearity](layer(y))
        return y, z


class StackedCell(nn.Module):
    """Cells on top of each other as one cell: the stacked RNN.

    (y_1(t), s_1(t)) = cell_1(x(t), s_1(t-1));  (y_l(t), s_l(t)) = cell_l(y_(l-1)(t), s_l(t-1)); the
    output is y_L(t). With `shortcuts`, x(t) enters every cell, beside y_(l-1)(t), and the output is
    [y_1(t), ..., y_L(t)].

    Schmidhuber, 1992; Pascanu et al., 2014 (sRNN); shortcuts as in Graves, "Generating sequences
    with recurrent neural networks", 2013. One cell suits streams and
    wrappers such as :class:`rondo.ZoneoutCell`. Over whole sequences the cells are run one after
    the other, each in a loop of its own, as a :class:`rondo.Recurrent` for each cell would.

    Args:
        cells: The cells, the lowest first; the input of each as wide as what enters it.
        shortcuts: Whether x leads to every cell, and every cell to the output.

    Shape:
        x (B, I); state a tuple of the states of the cells; output (B, O) of the last, or of all.

    Example:
        >>> import torch, rondo
        >>> cell = rondo.StackedCell(
        ...     rondo.GRUCell(3, 5), rondo.ElmanCell(3 + 5, 4), shortcuts=True
        ... )
        >>> y, (h_1, h_2) = rondo.Recurrent(cell)(torch.randn(2, 7, 3))
        >>> y.shape, bool((y[:, -1] == torch.cat([h_1, h_2], -1)).all())
        (torch.Size([2, 7, 9]), True)
    """

    def __init__(self, *cells: nn.Module, shortcuts: bool = False) -> None:
        super().__init__()
        if not cells:
            raise ValueError("a stack needs at least one cell, got none")
        self.cells, self.shortcuts = nn.ModuleList(cells), shortcuts
        self.input_size = getattr(cells[0], "input_size", None)
        sizes: list[Any] = [getattr(cell, "output_size", None) for cell in cells]
        self.output_size = sum(sizes) if shortcuts and None not in sizes else sizes[-1]
        for number, (cell, below) in enumerate(zip(cells[1:], sizes, strict=False), 2):
            _check_width(number, cell, [below, self.input_size] if shortcuts else [below])

    def initial_state(self, batch_size: int) -> tuple[State, ...]:
        """The initial state of each cell."""
        return tuple(state_of_rows(cell, batch_size) for cell in self.cells)

    def forward(self, x: Tensor, state: tuple[State, ...]) -> tuple[Tensor, tuple[State, ...]]:
        """One step: the output and the new state of each cell."""
        outputs: list[Tensor] = []
        states = []
        for cell, old in zip(self.cells, state, strict=True):
            below = [x, *outputs[-1:]] if self.shortcuts else [*outputs[-1:]] or [x]
            y, new = cell(torch.cat(below, -1) if len(below) > 1 else below[0], old)
            outputs.append(y)
            states.append(new)
        return torch.cat(outputs, -1) if self.shortcuts else outputs[-1], tuple(states)


def _check_width(number: int, cell: nn.Module, entering: Sequence[Any]) -> None:
    """Fail where a cell of a stack does not fit what enters it, as far as that is known."""
    size = getattr(cell, "input_size", None)
    if size is not None and None not in entering and size != sum(entering):
        raise ValueError(
            f"cell {number} of the stack must have input_size {sum(entering)}, the width of what "
            f"enters it ({' + '.join(map(str, entering))}), got {size}"
        )
