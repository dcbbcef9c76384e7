"""The three patterns of recurrent networks, as layers that are ready to run.

They differ in what the loop carries and in when there is an output: the lecture's three schemes,
figures 10.3 to 10.5 of Goodfellow, Bengio and Courville, "Deep learning", 2016.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rondo.cells import Edge, GraphCell, Node
from rondo.layers.final import FinalOutput
from rondo.layers.recurrent import Recurrent

Function = Callable[[Tensor], Tensor]


def state_to_state(
    input_size: int,
    hidden_size: int,
    output_size: int,
    *,
    state_function: Function = torch.tanh,
    output_function: Function | None = None,
) -> Recurrent:
    """The loop carries the hidden state, and there is an output at each step (Elman).

    h(t) = f(U x(t) + W h(t-1) + b); y(t) = g(V h(t) + c).

    Args:
        input_size: The width of x.
        hidden_size: The width of h.
        output_size: The width of y.
        state_function: The function f.
        output_function: The function g; None for y(t) = V h(t) + c.

    Example:
        >>> import torch
        >>> from rondo.layers import state_to_state
        >>> y, state = state_to_state(3, 5, 2)(torch.randn(4, 7, 3))
        >>> y.shape, state["h"].shape
        (torch.Size([4, 7, 2]), torch.Size([4, 5]))
    """
    return Recurrent(
        GraphCell(
            nodes={"h": Node(hidden_size, state_function), "y": Node(output_size, output_function)},
            edges={
                "U": Edge("x", "h", nn.Linear(input_size, hidden_size)),
                "W": Edge("h", "h", nn.Linear(hidden_size, hidden_size, bias=False), delay=1),
                "V": Edge("h", "y", nn.Linear(hidden_size, output_size)),
            },
            output="y",
            input_size=input_size,
        )
    )


def output_to_state(
    input_size: int,
    hidden_size: int,
    output_size: int,
    *,
    state_function: Function = torch.tanh,
    output_function: Function | None = None,
) -> Recurrent:
    """The loop carries the output alone (Jordan); it can do less than one through the state.

    h(t) = f(U x(t) + W y(t-1) + b); y(t) = g(V h(t) + c).

    Args:
        input_size: The width of x.
        hidden_size: The width of h.
        output_size: The width of y.
        state_function: The function f.
        output_function: The function g; None for y(t) = V h(t) + c.

    Example:
        >>> import torch
        >>> from rondo.layers import output_to_state
        >>> y, state = output_to_state(3, 5, 2)(torch.randn(4, 7, 3))
        >>> bool((state["y"] == y[:, -1]).all())
        True
    """
    return Recurrent(
        GraphCell(
            nodes={"h": Node(hidden_size, state_function), "y": Node(output_size, output_function)},
            edges={
                "U": Edge("x", "h", nn.Linear(input_size, hidden_size)),
                "W": Edge("y", "h", nn.Linear(output_size, hidden_size, bias=False), delay=1),
                "V": Edge("h", "y", nn.Linear(hidden_size, output_size)),
            },
            output="y",
            input_size=input_size,
        )
    )


def state_to_final_output(
    input_size: int,
    hidden_size: int,
    output_size: int,
    *,
    state_function: Function = torch.tanh,
) -> FinalOutput:
    """The loop carries the hidden state, and there is one output after the last step.

    h(t) = f(U x(t) + W h(t-1) + b); y = V h(T) + c.

    Args:
        input_size: The width of x.
        hidden_size: The width of h.
        output_size: The width of y.
        state_function: The function f.

    Example:
        >>> import torch
        >>> from rondo.layers import state_to_final_output
        >>> y, state = state_to_final_output(3, 5, 2)(torch.randn(4, 7, 3))
        >>> y.shape
        torch.Size([4, 2])
    """
    cell = GraphCell(
        nodes={"h": Node(hidden_size, state_function)},
        edges={
            "U": Edge("x", "h", nn.Linear(input_size, hidden_size)),
            "W": Edge("h", "h", nn.Linear(hidden_size, hidden_size, bias=False), delay=1),
        },
        output="h",
        input_size=input_size,
    )
    return FinalOutput(cell, nn.Linear(hidden_size, output_size))
