"""What a step returned: an output, and a state like the one that it got.

In goes what the cell's `forward` gave, out come the output and the tensors of the new state, in the
order of those that the step got, or an error that says what must be returned instead.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rondo.compiler.record import TraceError
from rondo.compiler.state import Form, flatten


def taken_apart(returned: Any, num_rows: int, form: Form) -> tuple[Tensor, list[Any], Form]:
    """The output, each new state, and the form that puts these together again.

    Args:
        returned: What a step gave.
        num_rows: The number of rows of x.
        form: The form of the state that it got.

    Raises:
        TraceError: Where it is something else than an output and a state like the given one.
    """
    if not (isinstance(returned, tuple) and len(returned) == 2):
        raise TraceError(
            f"must return (output, new_state), got {described(returned)}",
            "write `return h, h` where the output is the state",
        )
    output, new_state = returned
    if not isinstance(output, Tensor):
        raise TraceError(
            f"must return one tensor as its output, got {described(output)}",
            "what else is wanted of each step belongs into the state",
        )
    if output.ndim == 0 or output.shape[0] != num_rows:
        raise TraceError(
            f"must return an output (B, ...), got {described(output)}",
            "the output has one row for each row of x",
        )
    leaves, new_form = flatten(new_state)
    if not new_form.fits(form):
        raise TraceError(
            f"must return a state like the one that it got, {form}, got {new_form}",
            "return it in the form in which it came",
        )
    order = form.order_in(new_form)  # keys of a dict may come in another order
    is_same_order = order == sorted(order)
    return output, [leaves[place] for place in order], new_form if is_same_order else form


def described(value: Any) -> str:
    """A value in a message, with `B` for the rows."""
    if isinstance(value, Tensor):
        sizes = ["B", *map(str, value.shape[1:])] if value.ndim else []
        return f"{str(value.dtype).removeprefix('torch.')}[{', '.join(sizes)}]"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
