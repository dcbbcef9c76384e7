"""What every cell has in common: one time step and the sizes of its state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

StateSize = int | tuple[int, ...] | dict[str, int]
State = Tensor | tuple["State", ...] | dict[str, "State"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}
"""φ of a hidden layer."""

OUTPUT_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda a: a,
    "sigmoid": torch.sigmoid,
    "softmax": lambda a: torch.softmax(a, -1),
    "tanh": torch.tanh,
}
"""g of an output layer."""


class Cell(nn.Module):
    """One time step of a recurrent network.

    A cell is any module whose `forward(x, state)` returns `(output, new_state)` and that has a
    `state_size`; this class adds what the cells of this package share. The state has the form
    of `state_size`: a tensor, a tuple or a dict of tensors (B, size).

    Args:
        input_size: The width of the input x.
        hidden_size: The width of the output.
        state_size: The width of the state, or a tuple or dict of widths; default `hidden_size`.

    Example:
        >>> import torch, rondo
        >>> class Leaky(rondo.Cell):
        ...     def __init__(self, input_size, hidden_size):
        ...         super().__init__(input_size, hidden_size)
        ...         self.U = torch.nn.Linear(input_size, hidden_size)
        ...     def forward(self, x, h):
        ...         h = 0.9 * h + 0.1 * torch.tanh(self.U(x))
        ...         return h, h
        >>> y, h = rondo.Recurrent(Leaky(3, 5))(torch.zeros(2, 7, 3))
        >>> y.shape, h.shape
        (torch.Size([2, 7, 5]), torch.Size([2, 5]))
    """

    def __init__(
        self, input_size: int, hidden_size: int, state_size: StateSize | None = None
    ) -> None:
        super().__init__()
        check_size("input_size", input_size)
        check_size("hidden_size", hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = hidden_size
        self.state_size = hidden_size if state_size is None else state_size

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-k, k), k = 1 / sqrt(hidden_size), as `torch.nn` does.

        Modules within the cell start by their own rule.
        """
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters(recurse=False):
            nn.init.uniform_(parameter, -bound, bound)
        for module in list(self.modules())[1:]:
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()

    def extra_repr(self) -> str:
        """The sizes, as torch prints them."""
        return f"{self.input_size}, {self.hidden_size}"

    def _add_weights(self, num_gates: int, *, bias: bool, recurrent_bias: bool) -> None:
        """The parameters in torch's names and layout; `bias_hh` only where it is asked for."""
        rows = num_gates * self.hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, self.input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, self.output_size))
        self.bias_ih = nn.Parameter(torch.empty(rows)) if bias else None
        self.bias_hh = nn.Parameter(torch.empty(rows)) if bias and recurrent_bias else None
        self.reset_parameters()


def check_size(name: str, size: object) -> None:
    """Fail where a width is none."""
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {size!r}")


def check_choice(name: str, value: object, choices: Mapping[str, object]) -> None:
    """Fail where an option of a cell is not one of its choices."""
    if value not in choices:
        known = " or ".join(map(repr, choices))
        raise ValueError(f"{name} must be {known}, got {value!r}")


def check_share(name: str, value: object) -> None:
    """Fail where a share or probability does not lie in [0, 1)."""
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and less than 1, got {value!r}")


def state_of_rows(cell: nn.Module, batch_size: int) -> State:
    """The state before the first step, of the dtype and device of the cell's parameters."""
    like = next(cell.parameters(), torch.zeros((), device="cpu"))
    return initial_state(cell, like.new_zeros(batch_size, 1))


def initial_state(cell: nn.Module, x: Tensor) -> State:
    """The state before the first step, for the rows of x (B, ...).

    It is what the cell's own `initial_state_for(x)` gives, for states whose sizes follow the input;
    else its `initial_state(batch_size)`; else zeros of `state_size`.

    Raises:
        TypeError: Where the cell has neither.
    """
    own = getattr(cell, "initial_state_for", None)
    if callable(own):
        return own(x)
    own = getattr(cell, "initial_state", None)
    if callable(own):
        return own(x.shape[0])
    size, dtype = getattr(cell, "state_size", None), x.dtype
    if not (x.is_floating_point() or x.is_complex()):  # numbers of words, say
        dtype = next((p.dtype for p in cell.parameters()), torch.get_default_dtype())

    def zeros(width: int) -> Tensor:
        return x.new_zeros(x.shape[0], width, dtype=dtype)

    if isinstance(size, int):
        return zeros(size)
    if isinstance(size, tuple) and all(isinstance(width, int) for width in size):
        return tuple(zeros(width) for width in size)
    if isinstance(size, dict) and all(isinstance(width, int) for width in size.values()):
        return {name: zeros(width) for name, width in size.items()}
    raise TypeError(
        f"{type(cell).__name__} has no initial state: give it a state_size (a whole number, or a "
        f"tuple or dict of them) or a method initial_state(batch_size); got state_size = {size!r}"
    )
