"""`RNN`, `LSTM` and `GRU` as in `torch.nn`, run by Rondo: drop-in replacements.

They are torch's own modules with another `forward`: arguments, parameters, `state_dict`, errors and
representation are torch's. What torch's do not do works too: sequences of no steps, jagged nested
tensors, `vmap`, per-sample gradients, forward-mode AD and double backward.

Beside torch's attributes they have one: `layer.checkpoint_every = "auto"`, or a number of steps,
trains long sequences in less memory and more time; see :class:`rondo.Recurrent`.

`torch.compile` refuses every subclass of torch's recurrent modules unless
`torch._dynamo.config.allow_rnn` is true; with that these compile to one graph, without a break.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence
from torch.utils._python_dispatch import _disable_current_modes

from rondo.cells import ElmanCell, GRUCell, LSTMCell
from rondo.compiler import apart
from rondo.compiler.lines import stack_level_of_user
from rondo.layers.checks import check_checkpoint_every, steps_between
from rondo.layers.compiled import Programs
from rondo.layers.drawn import draw_layer, layer_as_svg
from rondo.layers.sequence import Packing, check_jagged, dense, jagged, jagged_like
from rondo.layers.shortcut import key_of, recall, remember
from rondo.layers.weights import suffixes, weight_names

Hidden = tuple[Tensor, ...]

CheckpointEvery = int | Literal["auto"] | None

ENGINE = "auto"
"""What runs the loops; see :class:`rondo.Recurrent`."""


class RNN(nn.RNN):
    """`torch.nn.RNN`, run by Rondo.

    h(t) = φ(W_ih x(t) + b_ih + W_hh h(t-1) + b_hh), φ tanh or relu. Arguments, parameters and
    errors are those of `torch.nn.RNN`.

    Example:
        >>> import torch, rondo
        >>> y, h = rondo.RNN(3, 5, num_layers=2)(torch.randn(7, 2, 3))
        >>> y.shape, h.shape
        (torch.Size([7, 2, 5]), torch.Size([2, 2, 5]))
    """

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        """Run all layers over all steps; see `torch.nn.RNN`."""
        return _forward(self, input, hx)

    checkpoint_every: CheckpointEvery = None
    draw = draw_layer
    _repr_svg_ = layer_as_svg

    def __getstate__(self) -> dict[str, Any]:
        return _without_programs(super().__getstate__())

    def __setattr__(self, name: str, value: Any) -> None:
        _check_setting(self, name, value)
        super().__setattr__(name, value)


class LSTM(nn.LSTM):
    """`torch.nn.LSTM`, run by Rondo.

    i, f, g, o = W_ih x(t) + b_ih + W_hh h(t-1) + b_hh; c(t) = σ(f) c(t-1) + σ(i) tanh(g);
    h(t) = σ(o) tanh(c(t)), and W_hr h(t) with `proj_size`. Arguments, parameters and errors are
    those of `torch.nn.LSTM`.

    Example:
        >>> import torch, rondo
        >>> y, (h, c) = rondo.LSTM(3, 5, bidirectional=True)(torch.randn(7, 2, 3))
        >>> y.shape, c.shape
        (torch.Size([7, 2, 10]), torch.Size([2, 2, 5]))
    """

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Run all layers over all steps; see `torch.nn.LSTM`."""
        return _forward(self, input, hx)

    checkpoint_every: CheckpointEvery = None
    draw = draw_layer
    _repr_svg_ = layer_as_svg

    def __getstate__(self) -> dict[str, Any]:
        return _without_programs(super().__getstate__())

    def __setattr__(self, name: str, value: Any) -> None:
        _check_setting(self, name, value)
        super().__setattr__(name, value)


class GRU(nn.GRU):
    """`torch.nn.GRU`, run by Rondo.

    r, z = σ(W_ih x(t) + b_ih + W_hh h(t-1) + b_hh); n = tanh(W_in x(t) + b_in + r (W_hn h(t-1) +
    b_hn)); h(t) = (1 - z) n + z h(t-1). Arguments, parameters and errors are those of
    `torch.nn.GRU`.

    Example:
        >>> import torch, rondo
        >>> y, h = rondo.GRU(3, 5, batch_first=True)(torch.randn(2, 7, 3))
        >>> y.shape, h.shape
        (torch.Size([2, 7, 5]), torch.Size([1, 2, 5]))
    """

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        """Run all layers over all steps; see `torch.nn.GRU`."""
        return _forward(self, input, hx)

    checkpoint_every: CheckpointEvery = None
    draw = draw_layer
    _repr_svg_ = layer_as_svg

    def __getstate__(self) -> dict[str, Any]:
        return _without_programs(super().__getstate__())

    def __setattr__(self, name: str, value: Any) -> None:
        _check_setting(self, name, value)
        super().__setattr__(name, value)


REPLACEMENTS: dict[type[nn.Module], type[nn.Module]] = {nn.RNN: RNN, nn.LSTM: LSTM, nn.GRU: GRU}
"""The modules of torch and what runs in their place."""

# ---- what the three have in common ----

Layer = RNN | LSTM | GRU


def _without_programs(state: dict[str, Any]) -> dict[str, Any]:
    state = dict(state)  # at once: another thread may be at the layer's first call
    state.pop("_rondo", None)
    return state


def _check_setting(layer: Layer, name: str, value: Any) -> None:
    """Check Rondo's own setting; say that torch's quantization will pass over a drop-in."""
    if name == "checkpoint_every":
        check_checkpoint_every(value)
    if name == "qconfig":
        kind = _kind(layer)
        warnings.warn(
            f"torch.ao.quantization knows torch.nn.{kind} alone: rondo.{kind} stays in floating "
            "point. To quantize it, call rondo.restore(model) before, which puts torch's own "
            "classes back",
            stacklevel=stack_level_of_user(),
        )


def _forward(layer: Layer, input: Any, hx: Any) -> Any:
    """What `torch.nn`'s forward does, by the shortest way that there is."""
    found = key_of(layer, input, hx, ENGINE)
    if found is None:
        return _long_way(layer, input, hx)
    key, state = found
    results = recall(layer, key, input, state)
    if results is None:
        returned = _long_way(layer, input, hx)
        remember(layer, key, input, state)
        return returned
    return results[0], (results[1] if len(results) == 2 else results[1:])


def _long_way(layer: Layer, input: Any, hx: Any) -> Any:
    """What `torch.nn`'s forward does, checks and errors included."""
    if isinstance(input, PackedSequence):
        return _forward_packed(layer, input, hx)
    if input.is_nested:
        return _forward_nested(layer, input, hx)
    name, batch_dim = _kind(layer), 0 if layer.batch_first else 1
    if input.dim() not in (2, 3):
        tensor = " tensor" if name == "RNN" else ""
        raise ValueError(
            f"{name}: Expected input to be 2D or 3D, got {input.dim()}D{tensor} instead"
        )
    is_batched = input.dim() == 3
    _check_hidden_dims(layer, hx, is_batched)
    hidden = None if hx is None else _as_tuple(hx)
    if not is_batched:
        input = input.unsqueeze(batch_dim)
        hidden = None if hidden is None else tuple(h.unsqueeze(1) for h in hidden)
    batch_size = input.shape[batch_dim]
    hidden = _zeros(layer, input, batch_size) if hidden is None else hidden
    layer.check_forward_args(input, _as_given(layer, hidden), None)
    steps_first = input.transpose(0, 1) if layer.batch_first else input
    num_steps = steps_first.shape[0]  # len() would fix it in an exported program
    packing = dense(batch_size, num_steps)
    rows, hidden = _run_layers(layer, steps_first.flatten(0, 1), hidden, packing)
    output = rows.unflatten(0, (num_steps, batch_size))
    output = output.transpose(0, 1) if layer.batch_first else output
    if not is_batched:
        output, hidden = output.squeeze(batch_dim), tuple(h.squeeze(1) for h in hidden)
    return output, _as_given(layer, hidden)


def _forward_packed(layer: Layer, input: PackedSequence, hx: Any) -> Any:
    rows, batch_sizes, order, back = input
    if hx is None:
        hidden = _zeros(layer, rows, int(batch_sizes[0]))
    else:
        hidden = _as_tuple(layer.permute_hidden(hx, order))
    layer.check_forward_args(rows, _as_given(layer, hidden), batch_sizes)
    rows, hidden = _run_layers(layer, rows, hidden, Packing(batch_sizes))
    last = layer.permute_hidden(_as_given(layer, hidden), back)
    return PackedSequence(rows, batch_sizes, order, back), last


def _forward_nested(layer: Layer, input: Tensor, hx: Any) -> Any:
    check_jagged(input, layer.batch_first)
    _check_hidden_dims(layer, hx, is_batched=True)
    rows, packing = input.values(), jagged(input)
    hidden = _zeros(layer, rows, input.shape[0]) if hx is None else _as_tuple(hx)
    layer.check_forward_args(input, _as_given(layer, hidden), None)
    output, hidden = _run_layers(layer, packing.gather(rows), hidden, packing)
    return jagged_like(input, packing.scatter(output, len(rows))), _as_given(layer, hidden)


def _kind(layer: Layer) -> str:
    return "LSTM" if isinstance(layer, nn.LSTM) else "GRU" if isinstance(layer, nn.GRU) else "RNN"


def _as_tuple(hx: Any) -> Hidden:
    return tuple(hx) if isinstance(hx, tuple | list) else (hx,)


def _as_given(layer: Layer, hidden: Hidden) -> Any:
    return hidden if isinstance(layer, nn.LSTM) else hidden[0]


def _check_hidden_dims(layer: Layer, hx: Any, is_batched: bool) -> None:
    if hx is None:
        return
    kind, wanted = ("batched 3-D", 3) if is_batched else ("unbatched 2-D", 2)
    dims = [h.dim() for h in _as_tuple(hx)]
    if all(dim == wanted for dim in dims):
        return
    if isinstance(layer, nn.LSTM):
        raise RuntimeError(
            f"For {kind} input, hx and cx should also be {wanted}-D but got "
            f"({dims[0]}-D, {dims[1]}-D) tensors"
        )
    raise RuntimeError(f"For {kind} input, hx should also be {wanted}-D but got {dims[0]}-D tensor")


def _zeros(layer: Layer, like: Tensor, batch_size: int) -> Hidden:
    num_states = layer.num_layers * (2 if layer.bidirectional else 1)
    sizes = [layer.proj_size or layer.hidden_size]
    sizes += [layer.hidden_size] if isinstance(layer, nn.LSTM) else []
    return tuple(like.new_zeros(num_states, batch_size, size) for size in sizes)


def _run_layers(
    layer: Layer, rows: Tensor, hidden: Hidden, packing: Packing
) -> tuple[Tensor, Hidden]:
    """All layers and directions over packed rows."""
    cell, programs = cell_and_programs(layer)
    every = steps_between(layer.checkpoint_every, packing.batch_sizes.shape[0])
    last: list[list[Tensor]] = []
    for number, endings in enumerate(suffixes(layer)):
        if number > 0 and layer.dropout > 0:
            rows = dropout(rows, layer.dropout, layer.training)
        outputs = []
        for ending in endings:
            tensors = _tensors(layer, ending)
            state = tuple(h[len(last)] for h in hidden)
            output, new, _ = programs.run(
                cell,
                rows,
                state if len(state) > 1 else state[0],
                packing,
                tensors=tensors,
                engine=ENGINE,
                reverse=ending.endswith("_reverse"),
                checkpoint_every=every,
            )
            outputs.append(output)
            last.append(list(_as_tuple(new)))
        rows = torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]
    return rows, tuple(
        torch.stack(states) if len(states) > 1 else states[0].unsqueeze(0)
        for states in zip(*last, strict=True)
    )


def _tensors(layer: Layer, suffix: str) -> dict[str, Tensor]:
    """The weights of one layer and direction, by the names that they have in the cell."""
    return {name: getattr(layer, own) for name, own in weight_names(layer, suffix).items()}


def cell_and_programs(layer: Layer) -> tuple[nn.Module, Programs]:
    """The cell of a layer and what it was compiled to, made at the first use."""
    if torch.compiler.is_dynamo_compiling():
        from rondo.layers.constant import constant

        constant(_make_cell, layer)
    else:
        _make_cell(layer)
    found: tuple[nn.Module, Programs] = layer.__dict__["_rondo"]
    return found


def _make_cell(layer: Layer) -> bool:
    """Give a layer its cell, without memory for weights: each run gets those of the layer."""
    if "_rondo" not in layer.__dict__:  # not an attribute of the module: `accelerate` adds none
        made = apart(lambda: _new_cell(layer)), Programs(cell_stays=True)
        layer.__dict__.setdefault("_rondo", made)  # what another thread made first stays
    return True


def _new_cell(layer: Layer) -> nn.Module:
    with _disable_current_modes(), torch.inference_mode(False), torch.device("meta"):
        return _cell(layer)


def _cell(layer: Layer) -> nn.Module:
    sizes = 1, layer.hidden_size  # the input's size differs from layer to layer
    if isinstance(layer, nn.LSTM):
        return LSTMCell(
            *sizes, bias=layer.bias, recurrent_bias=layer.bias, proj_size=layer.proj_size
        )
    if isinstance(layer, nn.GRU):
        return GRUCell(*sizes, bias=layer.bias)
    return ElmanCell(
        *sizes, bias=layer.bias, recurrent_bias=layer.bias, nonlinearity=layer.nonlinearity
    )
