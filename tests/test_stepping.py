"""`Recurrent.step` and `Recurrent.stream`: one step at a time, by a kernel with packed weights."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

import rondo
from cases import CELLS, make_cell
from rondo.compiler.call import Call
from rondo.compiler.guarded import Guarded


def stream(layer: rondo.Recurrent, x: Tensor) -> Tensor:
    """The outputs of a stream x (B, T, I)."""
    state, outputs = None, []
    with torch.no_grad():
        for x_t in x.unbind(1):
            y, state = layer.step(x_t.contiguous(), state)
            outputs.append(y)
    return torch.stack(outputs, 1)


def uses_kernel(layer: rondo.Recurrent) -> bool:
    return layer._programs.stepping[1] is not None


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("name", CELLS)
def test_a_stream_gives_what_the_sequence_gives(name: str, batch_size: int) -> None:
    cell = make_cell(name, 3, 5, torch.float64)
    x = torch.randn(batch_size, 7, 3, dtype=torch.float64)
    layer = rondo.Recurrent(cell)
    expected, _ = rondo.Recurrent(cell, engine="reference")(x)
    torch.testing.assert_close(stream(layer, x), expected)


def scale_in_place(cell: rondo.GRUCell) -> None:
    with torch.no_grad():
        cell.weight_hh.mul_(0.5)


def replace_parameter(cell: rondo.GRUCell) -> None:
    cell.bias_hh = nn.Parameter(torch.randn(15))


def load(cell: rondo.GRUCell) -> None:
    cell.load_state_dict({name: 0.3 * value for name, value in cell.state_dict().items()})


def point_elsewhere(cell: rondo.GRUCell) -> None:
    cell.weight_ih.data = torch.randn(15, 3)


def write_through_data(cell: rondo.GRUCell) -> None:
    cell.weight_hh.data.copy_(torch.randn_like(cell.weight_hh) / 4)


def write_through_numpy(cell: rondo.GRUCell) -> None:
    cell.bias_ih.detach().numpy()[2] = 3


def negate_through_numpy(cell: rondo.GRUCell) -> None:
    cell.weight_ih.detach().numpy()[...] *= -1


def swap_rows(cell: rondo.GRUCell) -> None:
    rows = cell.weight_hh.detach().numpy()
    rows[[0, 9]] = rows[[9, 0]]


def step_of_a_fused_optimizer(cell: rondo.GRUCell) -> None:
    optimizer = torch.optim.Adam(cell.parameters(), lr=0.3, fused=True)
    cell(torch.randn(2, 3), torch.randn(2, 5))[0].sum().backward()
    optimizer.step()


def write_in_another_process(cell: rondo.GRUCell) -> None:
    cell.share_memory()
    before = cell.weight_hh.detach().clone()
    process = torch.multiprocessing.get_context("spawn").Process(
        target=write_through_data, args=(cell,)
    )
    process.start()
    process.join()
    assert not torch.equal(cell.weight_hh, before)


CHANGES = [
    *(scale_in_place, replace_parameter, load, point_elsewhere),
    *(write_through_data, write_through_numpy, negate_through_numpy, swap_rows),
    *(step_of_a_fused_optimizer, write_in_another_process),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_weights_is_noticed(change: Callable[[rondo.GRUCell], None]) -> None:
    cell = rondo.GRUCell(3, 5)
    layer, x = rondo.Recurrent(cell), torch.randn(1, 4, 3)
    before = stream(layer, x)
    assert uses_kernel(layer)
    change(cell)
    after = stream(layer, x)
    assert uses_kernel(layer)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, rondo.Recurrent(cell, engine="reference")(x)[0])


class Scaled(rondo.Cell):
    """A step with an attribute."""

    factor = 0.5

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.factor = 0.5

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = x + self.factor * h
        return h, h


def test_a_change_of_an_attribute_is_noticed() -> None:
    cell = Scaled()
    layer, x = rondo.Recurrent(cell), torch.ones(1, 2, 2)
    assert stream(layer, x)[0, -1, 0] == 1.5
    cell.factor = 2.0
    assert stream(layer, x)[0, -1, 0] == 3


def test_the_given_state_and_earlier_outputs_stay_as_they_are() -> None:
    layer, x = rondo.Recurrent(rondo.LSTMCell(3, 5)), torch.randn(1, 3)
    state = torch.ones(1, 5), torch.ones(1, 5)
    with torch.no_grad():
        y, (h, c) = layer.step(x, state)
        kept = [value.clone() for value in (y, h, c)]
        layer.step(2 * x, (h, c))
    assert uses_kernel(layer)
    assert all(bool((value == 1).all()) for value in state)
    for value, copy in zip((y, h, c), kept, strict=True):
        assert torch.equal(value, copy)


@pytest.mark.parametrize("form", ["transposed", "narrow", "conjugate half"])
def test_rows_that_lie_anywhere(form: str) -> None:
    cell = rondo.GRUCell(3, 5)
    layer = rondo.Recurrent(cell)
    x = {
        "transposed": torch.randn(3, 2).t(),
        "narrow": torch.randn(2, 8)[:, 2:5],
        "conjugate half": torch.randn(2, 3, dtype=torch.complex64).conj().imag,
    }[form]
    with torch.no_grad():
        y, _ = layer.step(x)
        torch.testing.assert_close(y, cell(x, torch.zeros(2, 5))[0])


def test_with_gradients_the_cell_runs_itself() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 5))
    y, _ = layer.step(torch.randn(2, 3))
    y.sum().backward()
    assert layer.cell.weight_ih.grad is not None
    assert not uses_kernel(layer)


def test_a_state_of_the_wrong_size_fails_as_in_the_cell() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 5))
    with torch.no_grad(), pytest.raises((RuntimeError, ValueError)):
        layer.step(torch.randn(2, 3), torch.zeros(2, 4))


def test_threads_may_share_a_layer() -> None:
    layer, x = rondo.Recurrent(rondo.GRUCell(3, 33)), torch.randn(8, 1, 20, 3)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda one: stream(layer, one), x))
    for y, one in zip(found, x, strict=True):
        torch.testing.assert_close(y, layer(one)[0])


def outputs_of(stream: rondo.Stream, x: Tensor) -> Tensor:
    """The outputs of a stream for x (B, T, I)."""
    return torch.stack([stream(x_t) for x_t in x.unbind(1)], 1)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("name", CELLS)
def test_a_stream_object_gives_what_the_sequence_gives(name: str, batch_size: int) -> None:
    cell = make_cell(name, 3, 5, torch.float64)
    x = torch.randn(batch_size, 7, 3, dtype=torch.float64)
    layer = rondo.Recurrent(cell)
    expected, last = rondo.Recurrent(cell, engine="reference")(x)
    stream = layer.stream()
    torch.testing.assert_close(outputs_of(stream, x), expected)
    torch.testing.assert_close(stream.state, last)


@pytest.mark.parametrize("change", CHANGES)
def test_a_stream_notices_a_change_of_the_weights(change: Callable[[rondo.GRUCell], None]) -> None:
    cell = rondo.GRUCell(3, 5)
    layer, x = rondo.Recurrent(cell), torch.randn(1, 6, 3)
    stream = layer.stream()
    outputs_of(stream, x[:, :3])
    state = stream.state
    change(cell)
    after = outputs_of(stream, x[:, 3:])
    assert stream._advancer is not None
    expected = rondo.Recurrent(cell, engine="reference")(x[:, 3:], state)[0]
    torch.testing.assert_close(after, expected)


def test_a_stream_goes_on_from_a_given_state_which_stays_as_it_is() -> None:
    layer, x = rondo.Recurrent(rondo.LSTMCell(3, 5)), torch.randn(2, 4, 3)
    state = torch.randn(2, 5), torch.randn(2, 5)
    kept = [leaf.clone() for leaf in state]
    stream = layer.stream(state)
    torch.testing.assert_close(outputs_of(stream, x), layer(x, state)[0])
    assert all(map(torch.equal, state, kept))
    taken = stream.state
    copies = [leaf.clone() for leaf in taken]
    stream(x[:, 0])
    assert all(map(torch.equal, taken, copies))


def test_rows_of_a_stream_begin_again() -> None:
    layer, x = rondo.Recurrent(rondo.LSTMCell(3, 5)), torch.randn(2, 6, 3)
    stream = layer.stream()
    assert stream.state is None
    stream.reset()  # nothing was begun
    first = outputs_of(stream, x[:, :3])
    stream.reset(torch.tensor([True, False]))
    second = outputs_of(stream, x[:, 3:])
    resets = torch.zeros(2, 6, dtype=torch.bool)
    resets[0, 3] = True
    expected, _ = layer(x, resets=resets)
    torch.testing.assert_close(torch.cat([first, second], 1), expected)
    stream.reset()
    torch.testing.assert_close(outputs_of(stream, x[:, 3:]), layer(x[:, 3:])[0])


def test_rows_to_reset_are_checked() -> None:
    stream = rondo.Recurrent(rondo.GRUCell(3, 5)).stream()
    stream(torch.randn(2, 3))
    with pytest.raises(TypeError, match=r"rows must be a tensor of bool, got torch\.int64"):
        stream.reset(torch.tensor([1, 0]))
    with pytest.raises(ValueError, match=re.escape("rows must be (B,) = (2,), got (3,)")):
        stream.reset(torch.ones(3, dtype=torch.bool))


def test_a_stream_takes_rows_that_lie_anywhere_and_keeps_no_gradient() -> None:
    layer, x = rondo.Recurrent(rondo.GRUCell(3, 5)), torch.randn(4, 3, 2, requires_grad=True)
    stream = layer.stream()
    y = torch.stack([stream(x_t.t()) for x_t in x], 1)
    assert not y.requires_grad
    torch.testing.assert_close(y, layer(x.permute(2, 0, 1))[0])


def test_a_stream_takes_another_batch_only_after_a_new_start() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 5))
    stream = layer.stream()
    stream(torch.randn(2, 3))
    with pytest.raises((RuntimeError, ValueError)):
        stream(torch.randn(3, 3))


class Branching(rondo.Cell):
    """A step that cannot be traced."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = x + h if x.sum() > 0 else x - h
        return h, h


def test_a_stream_of_the_reference_engine_runs_the_cell_itself() -> None:
    layer, x = rondo.Recurrent(Branching(3, 3), engine="reference"), torch.randn(2, 5, 3)
    stream, h = layer.stream(), torch.zeros(2, 3)
    for x_t in x.unbind(1):
        y, h = layer.cell(x_t, h)
        torch.testing.assert_close(stream(x_t), y)
    assert stream._advancer is None


def test_rows_that_lie_anywhere_need_no_new_kernel() -> None:
    stream = rondo.Recurrent(rondo.GRUCell(3, 5)).stream()
    for x in torch.randn(4, 3, 2):
        stream(x.t())
    kept = stream._advancer
    assert kept is not None
    stream(torch.randn(3, 2).t())
    stream.reset(torch.tensor([True, False]))
    stream(torch.randn(3, 2).t())
    assert stream._advancer is kept


class Normed(rondo.Cell):
    """A step of which the weights are made from others once."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.V, self.g = nn.Parameter(torch.randn(3, 3)), nn.Parameter(torch.ones(3, 1))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = (x + nn.functional.linear(h, self.g * self.V / self.V.norm(dim=1, keepdim=True))).tanh()
        return h, h


def double_the_scale(cell: Normed) -> None:
    cell.g.detach().numpy()[...] *= 2


def transpose(cell: Normed) -> None:
    cell.V.data = cell.V.data.t()


@pytest.mark.parametrize("change", [double_the_scale, transpose])
def test_a_change_of_what_weights_are_made_from_is_noticed(
    change: Callable[[Normed], None],
) -> None:
    layer, x = rondo.Recurrent(Normed()), torch.randn(1, 4, 3)
    running = layer.stream()
    before = outputs_of(running, x)
    change(layer.cell)
    running.reset()
    after = outputs_of(running, x)
    assert running._advancer is not None
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, rondo.Recurrent(layer.cell, engine="reference")(x)[0])


def test_a_stream_that_began_under_inference_mode_goes_on_without_it() -> None:
    layer, x = rondo.Recurrent(rondo.LSTMCell(3, 5)), torch.randn(2, 6, 3)
    running = layer.stream()
    with torch.inference_mode():
        first = outputs_of(running, x[:, :3])
    running.reset(torch.tensor([True, False]))
    layer.cell.weight_hh.data *= 1  # packs nothing again
    second = outputs_of(running, x[:, 3:])
    resets = torch.zeros(2, 6, dtype=torch.bool)
    resets[0, 3] = True
    torch.testing.assert_close(torch.cat([first, second], 1), layer(x, resets=resets)[0])


def kinds_of_changes(number: int) -> list[bytes]:
    """Other contents of as many bytes as `number`: what is easily taken for the same."""
    held = bytes((7 * i * i + 3 * i) % 251 for i in range(number))
    found = [held]
    for bit in range(8 * number):
        found.append(flipped(held, bit))
        found.append(flipped(flipped(held, bit), (bit + 64) % (8 * number)))
    for size in (4, 8, 64, 256):  # numbers, pairs of them, rows
        parts = [held[i : i + size] for i in range(0, number - size + 1, size)]
        for i in range(len(parts)):
            for j in range(i):
                swapped = list(parts)
                swapped[i], swapped[j] = swapped[j], swapped[i]
                found.append(b"".join(swapped) + held[len(parts) * size :])
    found.append(bytes(value ^ (0x80 if i % 4 == 3 else 0) for i, value in enumerate(held)))
    return found


def flipped(held: bytes, bit: int) -> bytes:
    changed = bytearray(held)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("number", [4, 300, 700])
def test_a_fingerprint_tells_all_contents_apart(number: int) -> None:
    """No two of thousands of contents that differ in little have the same one."""
    contents = set(kinds_of_changes(number))
    fingerprints = set()
    memory = torch.empty(number, dtype=torch.uint8)
    for held in contents:
        memory.numpy()[:] = bytearray(held)
        fingerprints.add(Guarded([memory], ctypes.CDLL(None).abort, Call()).kept[3].raw)
    assert len(fingerprints) == len(contents)


def test_memory_of_two_tensors_is_kept_apart() -> None:
    """One more zero in the first and one less in the second is a change."""
    first, second = torch.zeros(64), torch.zeros(64)
    guarded = Guarded([first, second], ctypes.CDLL(None).getpid, Call())
    assert guarded.run_unless_changed()
    first[63] = 1
    assert not guarded.run_unless_changed()
    first[63], second[0] = 0, 1
    assert not guarded.run_unless_changed()
    second[0] = 0
    assert guarded.run_unless_changed()


class Within(rondo.Cell):
    """A step with modules of its own."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.W, self.act = nn.Linear(3, 3, bias=False), nn.Tanh()

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.act(x + self.W(h))
        return h, h


def other_activation(cell: Within) -> None:
    cell.act = nn.Sigmoid()


def other_module(cell: Within) -> None:
    cell.W = nn.Linear(3, 3, bias=False)


def first_bias(cell: Within) -> None:
    cell.W.bias = nn.Parameter(torch.ones(3))


def turned_weights(cell: Within) -> None:
    cell.W.weight.data = cell.W.weight.data.t()


def moved_weights(cell: Within) -> None:
    weight = cell.W.weight.detach()
    cell.share_memory()
    cell.W.weight.data.mul_(-2)
    assert weight.data_ptr() == cell.W.weight.data_ptr()  # so aliases do not tell


def fewer_modules(cell: Within) -> None:
    cell.W.register_parameter("weight", None)
    cell.W = nn.Linear(3, 3)


@pytest.mark.parametrize(
    "change",
    [other_activation, other_module, first_bias, turned_weights, moved_weights, fewer_modules],
)
def test_a_stream_notices_other_parts_of_its_cell(change: Callable[[Within], None]) -> None:
    layer, x = rondo.Recurrent(Within()), torch.randn(1, 8, 3)
    running = layer.stream()
    outputs_of(running, x[:, :4])
    assert running._again is not None
    state = running.state
    change(layer.cell)
    after = outputs_of(running, x[:, 4:])
    expected = rondo.Recurrent(layer.cell, engine="reference")(x[:, 4:], state)[0]
    torch.testing.assert_close(after, expected)


class Counter(rondo.Cell):
    """A step that adds up what it gets."""

    def __init__(self) -> None:
        super().__init__(2, 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return h + x, h + x


def test_threads_that_share_a_stream_take_turns() -> None:
    running, x = rondo.Recurrent(Counter()).stream(), torch.ones(1, 2)
    outputs_of(running, torch.ones(1, 4, 2))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: running(x)[0, 0].item(), range(2000)))
    assert sorted(found) == [float(number) for number in range(5, 2005)]


# ---- weights that are read where they were given ----


@pytest.mark.parametrize("batch_size", [1, 8, 9])
def test_few_weights_are_read_in_place_for_fewer_rows(batch_size: int) -> None:
    layer, x = rondo.Recurrent(rondo.GRUCell(3, 5)), torch.randn(batch_size, 4, 3)
    running = layer.stream()
    found = outputs_of(running, x)
    assert reads_in_place(running) == (batch_size <= 8)
    torch.testing.assert_close(found, layer(x)[0])


def reads_in_place(stream: rondo.Stream) -> bool:
    assert stream._advancer is not None
    return stream._advancer.packed.is_in_place


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 7, 16, 17])
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_many_weights_are_read_in_place_for_few_rows(
    name: str, batch_size: int, dtype: torch.dtype
) -> None:
    cell = make_cell(name, 3, 237, dtype)
    layer, x = rondo.Recurrent(cell), torch.randn(batch_size, 4, 3, dtype=dtype)
    running = layer.stream()
    outputs_of(running, x)
    for change in (write_through_data, write_through_numpy):
        change(cell)
        running.reset()
        found = outputs_of(running, x)
        assert reads_in_place(running) == (batch_size <= 16)
        torch.testing.assert_close(found, rondo.Recurrent(cell, engine="reference")(x)[0])


class TwoWeights(rondo.Cell):
    """A matrix that lies the other way round, or one that is made of a parameter."""

    def __init__(self, *, is_made: bool) -> None:
        super().__init__(240, 240)
        self.W, self.is_made = nn.Parameter(torch.randn(240, 240, dtype=torch.float64)), is_made

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(x + (nn.functional.linear(h, 0.1 * self.W) if self.is_made else h @ self.W))
        return h, h


@pytest.mark.parametrize("is_made", [False, True])
def test_weights_that_are_made_of_others_are_packed_however_few_the_rows(is_made: bool) -> None:
    layer = rondo.Recurrent(TwoWeights(is_made=is_made))
    x = torch.randn(1, 3, 240, dtype=torch.float64)
    running = layer.stream()
    outputs_of(running, x)
    assert reads_in_place(running) == (not is_made)
    layer.cell.W.data.neg_()
    running.reset()
    expected = rondo.Recurrent(layer.cell, engine="reference")(x)[0]
    torch.testing.assert_close(outputs_of(running, x), expected)
