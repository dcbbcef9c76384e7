"""Calls of a layer that were seen before, and when one is the same again.

In goes what runs a call, with the tensors that it was made for, out comes a function of others,
which says where they are not like those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from rondo.compiler.chained import Chained, run_chained
from rondo.compiler.covered import NotChainedError
from rondo.compiler.guarded import guards_of
from rondo.compiler.network import Network
from rondo.layers.sequence import dense

State = tuple[Tensor, ...]

MAX_REMEMBERED = 64
"""Kinds of calls of a layer that are remembered."""

MAX_TRIES = 16
"""How often calls of one kind are remembered anew, since something else of them has changed."""

MAX_ALIKE = 4
"""Calls of one kind that are remembered at a time, such as with weights that are frozen or not."""


class Remembered:
    """A call that was seen before.

    Args:
        chained: What runs it.
        tensors: The input, the state and the weights.
        turned: Whether the input comes batch first and must be laid out step after step.
        about: What else the layer has to know of it.
    """

    def __init__(
        self, chained: Chained, tensors: Sequence[Tensor], *, turned: bool, about: Any
    ) -> None:
        self.chained = chained
        self.turned = turned
        self.about = about
        self.guards = guards_of(tensors)

    def __call__(self, x: Tensor, state: State, weights: Sequence[Tensor]) -> State | None:
        """The output and the last state; None where this call is another one."""
        if not self.guards.check(x, *state, *weights):
            return None
        if self.turned:
            x = x.transpose(0, 1).contiguous()
            output, *last = run_chained(self.chained, x, state, weights)
            return output.transpose(0, 1), *last
        return run_chained(self.chained, x, state, weights)


class Memory:
    """The calls of a layer that were seen before."""

    def __init__(self) -> None:
        self.found: dict[Any, list[Remembered]] = {}
        self.seen: dict[Any, int] = {}
        self.workspaces: list[Tensor] = []

    def note(self, key: Any) -> bool:
        """Note a call that went the long way; returns whether it should be remembered."""
        if key not in self.seen and len(self.seen) >= MAX_REMEMBERED:
            self.seen.clear()
            self.found.clear()
        self.seen[key] = times = self.seen.get(key, 0) + 1
        return 1 < times <= MAX_TRIES

    def keep(self, key: Any, call: Remembered) -> None:
        """Keep a call, of which some of the same key may differ in what their guards look at."""
        self.found[key] = [call, *self.found.get(key, ())][:MAX_ALIKE]


class NoMemory(Memory):
    """Remembers nothing: every call goes the long way, where somebody looks on."""

    def note(self, key: Any) -> bool:
        """Returns that a call should not be remembered."""
        return False


def circumstances() -> tuple[Any, ...]:
    """What beside its arguments decides how a call goes."""
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    return grad, inference, torch.get_num_threads()


def is_unseen(x: Any) -> bool:
    """Whether an input is a plain tensor, and nobody looks on who is not in the guards."""
    if (
        type(x) is not Tensor
        or torch.compiler.is_compiling()
        or forward_ad._current_level >= 0
        or torch._C._len_torch_function_stack()
        or torch._C._is_tracing()
    ):
        return False
    hooks = torch._C._autograd._top_saved_tensors_default_hooks
    return not torch.is_grad_enabled() or hooks(True) is None


def are_plain(tensors: Sequence[Tensor | None]) -> bool:
    """Whether tensors are numbers in memory that nothing else looks at."""
    return not torch.is_autocast_enabled("cpu") and all(
        tensor is not None
        and type(tensor) in (Tensor, torch.nn.Parameter)
        and tensor.is_cpu
        and tensor.layout == torch.strided
        and not tensor.is_neg()
        and tensor.numel() > 0
        for tensor in tensors
    )


def remembered(
    network: Network,
    tensors: tuple[Tensor, State, Sequence[Tensor]],
    shapes: tuple[tuple[int, ...], ...],
    *,
    batch_first: bool,
    about: Any,
    is_loop: bool = False,
) -> Remembered:
    """What runs a network on tensors like these.

    Args:
        network: The network.
        tensors: The input, the state (none: zeros) and the weights.
        shapes: The shape of a row of the input, then of each tensor of the state.
        batch_first: Whether the batch comes first in the input.
        about: What else the layer has to know.
        is_loop: Whether the network is one loop, whose state has no dimension for layers.

    Raises:
        NotChainedError: Where kernels do not do all of it.
    """
    x, state, weights = tensors
    row, *state_rows = shapes
    turned = batch_first and min(network.num_steps, network.num_rows) > 1
    given = (*state, *weights) if turned else (x, *state, *weights)
    if not are_plain((x, *state, *weights)) or not all(t.is_contiguous() for t in given):
        raise NotChainedError("tensors in pieces")
    network.make()
    ahead = x.shape[: x.dim() - len(row)]
    *inner, last = network.output_row
    output = *(reversed(ahead) if turned else ahead), *inner, last * len(network.layers[0])
    rows = (network.num_rows,) if len(ahead) == 2 else ()
    units = () if is_loop else (len(network.units),)
    all_states = tuple((*units, *rows, *one) for one in state_rows)
    zeros = None
    if not state:
        zeros = tuple(torch.zeros(one, dtype=x.dtype, device="cpu") for one in all_states)
    batch_sizes = dense(network.num_rows, network.num_steps).batch_sizes
    chained = Chained(network, output, all_states, row, tuple(state_rows), zeros, batch_sizes)
    return Remembered(chained, (x, *state, *weights), turned=turned, about=about)
