"""Programs that run one after the other, layer by layer, as two chains of kernels.

In go the programs of the layers and directions of a network and the sizes of a batch, out come a
chain for the forward pass and one for the backward pass. Between the passes lie all values that the
backward pass reads, in one block of memory. A chain is made only where kernels do all of a
network: nothing is left to torch, and all numbers are of one type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import torch
from torch import Tensor

from rondo.compiler.cached import cached_property
from rondo.compiler.call import Call, Slot
from rondo.compiler.chain import (
    WORKSPACE,
    Action,
    Chain,
    Copy,
    KernelRun,
    Place,
    Wavefront,
)
from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.engines import Engine
from rondo.compiler.in_place import pays_for_run, read_in_place
from rondo.compiler.kernel import Buffer
from rondo.compiler.program import Program
from rondo.compiler.reference import Steps
from rondo.compiler.run import strides_of
from rondo.compiler.views import row_sizes
from rondo.compiler.wavefront import Stagger, stagger_of

aten = torch.ops.aten

X, OUTPUT, BLOCK = 1, 2, 3
"""The bases of a chain after the workspace: the input, the output, what is kept; then come the
initial states, the last ones and the weights. In the backward pass the gradients follow."""

MOST_KEPT_BYTES = 4 << 20
"""What layers give each other may take so much of a workspace that is kept for the next run."""

RENAMES = (aten.view, aten._unsafe_view, aten.reshape)
"""What gives the same numbers in the same order, under another shape."""


class NotChainedError(Exception):
    """A network that kernels do not run alone, and why."""


@dataclass(frozen=True)
class Unit:
    """One direction of one layer.

    Args:
        program: What runs it.
        weights: Which of the network's weights are its program's parameters, in order.
        reverse: Whether it runs from the last step to the first.
    """

    program: Program
    weights: tuple[int, ...]
    reverse: bool = False


@dataclass(frozen=True)
class Network:
    """Layers of one or two directions on a batch of sequences of one length.

    Args:
        layers: The directions of each layer; a layer reads the outputs of all directions of the one
            before it, side by side.
        weights: Tensors like those that it will be run with.
        state_sizes: The size of a row of each tensor of the state.
        num_steps: The number of steps.
        num_rows: The number of rows.
        input_size: The size of a row of the input.
        dtype: The type of the input and the state.
        has_gradient: Whether a backward pass is to follow.
        wants_input: Whether that gives the gradient of the input.
        wants_state: Whether that gives the gradient of the initial state.
        workspaces: Workspaces of runs that ended.
    """

    layers: tuple[tuple[Unit, ...], ...]
    weights: tuple[Tensor, ...]
    state_sizes: tuple[int, ...]
    num_steps: int
    num_rows: int
    input_size: int
    dtype: torch.dtype
    has_gradient: bool
    wants_input: bool
    wants_state: bool
    workspaces: list[Tensor] = field(repr=False)

    @property
    def num_packed(self) -> int:
        """The rows of all steps."""
        return self.num_steps * self.num_rows

    @property
    def units(self) -> list[Unit]:
        """All directions of all layers, as their states lie."""
        return [unit for layer in self.layers for unit in layer]

    @property
    def output_row(self) -> tuple[int, ...]:
        """The shape of a row of what a direction puts out."""
        step = self.layers[0][0].program.graph.step
        return row_sizes(step.by_name[step.outputs[0]].shape or ())

    @property
    def output_size(self) -> int:
        """The size of a row of what a direction puts out."""
        return prod(self.output_row)

    @property
    def initial(self) -> int:
        """The base of the first initial state."""
        return BLOCK + 1

    @property
    def last(self) -> int:
        """The base of the first state at the end; in the backward pass, of its gradient."""
        return self.initial + len(self.state_sizes)

    @property
    def first_weight(self) -> int:
        """The base of the first weight."""
        return self.last + len(self.state_sizes)

    @property
    def gradient(self) -> int:
        """The base of the gradient of the output; those of the input and the weights follow."""
        return self.first_weight + len(self.weights)

    def states_at(self, base: int, unit: int) -> list[Place]:
        """Where the states of a unit lie, which are those of all units one after the other."""
        row_bytes = [self.num_rows * size * self.dtype.itemsize for size in self.state_sizes]
        return [Place(base + number, unit * size) for number, size in enumerate(row_bytes)]

    def make(self) -> None:
        """Make what runs the passes.

        Raises:
            NotChainedError: Where kernels do not do all of it.
        """
        for unit in self.units:
            _check_program(unit.program)
        assert self.forward
        assert not self.has_gradient or self.backward

    @cached_property
    def forward(self) -> Chain:
        """The forward pass; its bases are the input, ..., the weights."""
        passed = _Forward(self)
        return self._chain(passed.actions, self.gradient, passed.room)

    @cached_property
    def backward(self) -> Chain:
        """The backward pass; its bases are those of the forward pass, then the gradients."""
        passed = _Backward(self)
        return self._chain(passed.actions, self.gradient + 2 + len(self.weights), passed.sums)

    @cached_property
    def block_bytes(self) -> int:
        """The memory that is kept between the passes."""
        return _Forward(self).room.size if self.has_gradient else 0

    def _chain(self, actions: Sequence[Action], num_bases: int, room: _Room) -> Chain:
        """A chain; what kernels take for themselves lies behind what they give each other."""
        begin = room.size if room.base == WORKSPACE else 0
        moved, ends = zip(*(_moved(action, begin) for action in actions), strict=True)
        keeps = begin <= MOST_KEPT_BYTES
        return Chain(moved, num_bases, max(ends), self.workspaces, keeps=keeps)


def _moved(action: Action, begin: int) -> tuple[Action, int]:
    """An action whose kernels take their memory in a workspace from there on, and where it ends."""
    if isinstance(action, Copy):
        return action, begin
    if isinstance(action, KernelRun):
        end = begin + in_lines(action.sizes.workspace_bytes)
        return replace(action, workspace=Place(WORKSPACE, begin)), end
    runs = []
    for run in action.runs:
        runs.append(replace(run, workspace=Place(WORKSPACE, begin)))
        begin += in_lines(run.sizes.workspace_bytes)
    return replace(action, runs=tuple(runs)), begin


class _Room:
    """Memory that is handed out piece by piece, from an offset on."""

    def __init__(self, base: int, begin: int = 0) -> None:
        self.base, self.size = base, begin

    def take(self, num_bytes: int) -> Place:
        place = Place(self.base, self.size)
        self.size += in_lines(num_bytes)
        return place


def in_lines(num_bytes: int) -> int:
    """So many bytes in whole lines of the cache."""
    return -(-num_bytes // 64) * 64


class _Forward:
    """What the forward pass does."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.room = _Room(BLOCK if network.has_gradient else WORKSPACE)
        self.actions: list[Action] = []
        self.outputs: list[dict[str, Place]] = []  # of each unit, its outputs by name
        self.dtypes: list[dict[str, torch.dtype]] = []  # and their types
        self.inputs: list[Place] = []  # of each layer
        self.stagger = _stagger(network, backward=False)
        rows = Place(X)
        for number, layer in enumerate(network.layers):
            self.inputs.append(rows)
            rows = self._layer(layer, rows, is_last=number == len(network.layers) - 1)
        self.actions = _staggered(self.actions, self.stagger)

    def _layer(self, layer: Sequence[Unit], rows: Place, *, is_last: bool) -> Place:
        network, size = self.network, self.network.output_size * self.network.dtype.itemsize
        whole = Place(OUTPUT)
        if not is_last:
            whole = self.room.take(network.num_packed * size * len(layer))
        parts = [whole]
        if len(layer) > 1:
            parts = [self.room.take(network.num_packed * size) for _ in layer]
        for unit, part in zip(layer, parts, strict=True):
            self._unit(unit, rows, part)
        if len(layer) > 1:
            for number, part in enumerate(parts):
                to = whole._replace(offset=whole.offset + number * size)
                stride = len(layer) * size
                self.actions.append(Copy(to, part, size, network.num_packed, stride, size))
        return whole

    def _unit(self, unit: Unit, rows: Place, output: Place) -> None:
        network, program = self.network, unit.program
        _check(program.gradient is not None or not network.has_gradient, "no gradient")
        loop = _covered(_engine(network, unit, backward=False))
        step = loop.plan.step
        places = {step.inputs[0].name: rows, step.outputs[program.places[0]]: output}
        for slot in loop.slots:
            if slot.buffer.place == "output" and slot.output not in places:
                _check(slot.output is not None, "a value passes between torch and the kernel")
                assert slot.output is not None
                row_bytes = slot.buffer.size * slot.buffer.dtype.itemsize
                places[slot.output] = self.room.take(network.num_packed * row_bytes)
        states = network.states_at(network.last, len(self.outputs))
        steps = Steps((network.num_rows,) * network.num_steps, unit.reverse)
        dtypes = dict.fromkeys(places, network.dtype)
        dtypes |= {slot.output: slot.buffer.dtype for slot in loop.slots if slot.output}
        _check(
            dtypes[step.outputs[program.places[0]]] == network.dtype, "an output of another type"
        )
        runs = _KernelRuns(network, unit, loop, places, dtypes)
        self.actions.append(runs.run(steps, states, alone=self.stagger is not None))
        self.outputs.append(places)
        self.dtypes.append(dtypes)


class _Backward:
    """What the backward pass does, the last layer first."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.of_layer = _Room(WORKSPACE)  # what a layer gives to the one before it
        self.layer_bytes = self._layer_bytes() if len(network.units) > 1 else 0
        self.sums = _Room(WORKSPACE, 2 * self.layer_bytes)
        self.actions: list[Action] = []
        self.forward = _Forward(network)
        self.stagger = _stagger(network, backward=True)
        gradient, end = Place(network.gradient), len(network.units)
        for number in reversed(range(len(network.layers))):
            end -= len(network.layers[number])
            self.of_layer = _Room(WORKSPACE, number % 2 * self.layer_bytes)
            gradient = self._layer(number, end, gradient)
        self.actions = _staggered(self.actions, self.stagger)

    def _layer_bytes(self) -> int:
        """The most that a layer takes."""
        network, num_directions = self.network, len(self.network.layers[0])
        row, itemsize = network.output_size, network.dtype.itemsize
        widest = max(network.input_size, row * num_directions)
        num_parts = num_directions if num_directions > 1 else 0
        part = in_lines(network.num_packed * row * itemsize)
        return num_parts * part + num_directions * in_lines(network.num_packed * widest * itemsize)

    def _layer(self, number: int, first_unit: int, gradient: Place) -> Place:
        """Run a layer back; where the gradient of its input lies."""
        network, layer = self.network, self.network.layers[number]
        size = network.output_size * network.dtype.itemsize
        input_size = len(layer) * size if number else network.input_size * network.dtype.itemsize
        is_wanted = bool(number) or network.wants_input
        found: list[Place] = []
        for direction, unit in enumerate(layer):
            part = gradient
            if len(layer) > 1:
                part = self.of_layer.take(network.num_packed * size)
                source = gradient._replace(offset=gradient.offset + direction * size)
                stride = len(layer) * size
                self.actions.append(Copy(part, source, size, network.num_packed, size, stride))
            of_input = Place(network.gradient + 1)
            if number or direction:
                of_input = self.of_layer.take(network.num_packed * input_size)
            self._unit(unit, number, first_unit + direction, part, of_input)
            found.append(of_input)
        for other in found[1:] if is_wanted else ():
            total, itemsize = network.num_packed * input_size, network.dtype.itemsize
            self.actions.append(Copy(found[0], other, total, added_bytes=itemsize))
        return found[0]

    def _unit(self, unit: Unit, layer: int, number: int, gradient: Place, of_input: Place) -> None:
        network, program = self.network, unit.program
        assert program.gradient is not None
        loop, given = _covered(_engine(network, unit, backward=True)), program.gradient
        made, forward = self.forward.outputs[number], program.forward.step
        initial = network.states_at(network.initial, number)
        places: dict[str, Place] = {}
        starts: dict[str, Place] = {}
        types = dict.fromkeys((*loop.input_names, *loop.plan.step.outputs), network.dtype)
        for name, (kind, which) in zip(loop.input_names, given.reads, strict=True):
            if kind == "input":
                places[name] = self.forward.inputs[layer]
            elif kind == "gradient":
                _check(which == program.places[0], "a gradient of a value beside the output")
                places[name] = gradient
            elif kind == "saved":
                places[name] = made[str(which)]
                types[name] = self.forward.dtypes[number][str(which)]
            else:
                places[name] = made[forward.next_state[int(which)]]
                starts[name] = initial[int(which)]
        _check(given.states == tuple(range(len(initial))), "a state without a gradient")
        _check(len(loop.plan.step.outputs) <= 1, "a gradient of a value beside the input")
        places |= dict.fromkeys(loop.plan.step.outputs, of_input)
        totals, copies = self._totals(unit, loop)
        steps = Steps((network.num_rows,) * network.num_steps, not unit.reverse)
        states = network.states_at(network.last, number)
        runs = _KernelRuns(network, unit, loop, places | totals, types, starts)
        run = runs.run(
            steps,
            states,
            previous_reverse=unit.reverse,
            state_unread=not network.wants_state,
            alone=self.stagger is not None,
        )
        self.actions += [run, *copies]

    def _totals(self, unit: Unit, loop: CompiledLoop) -> tuple[dict[str, Place], list[Copy]]:
        """Where the kernel puts the gradients of weights, and what is copied from there."""
        network, step, program = self.network, loop.plan.step, unit.program
        wanted = [number for number, is_wanted in enumerate(program.wanted) if is_wanted]
        _check(len(wanted) == len(step.sums), "a gradient of a constant")
        totals: dict[str, Place] = {}
        copies: list[Copy] = []
        for number, name in zip(wanted, step.sums, strict=True):
            weight = unit.weights[number]
            to, total = Place(network.gradient + 2 + weight), _total_of(loop, name)
            _check(network.weights[weight].dtype == total.dtype, "a weight of another type")
            size, is_turned = network.weights[weight].nbytes, total.sizes != loop.shape(total.name)
            if total.name in totals or is_turned:
                source = totals.setdefault(total.name, self.sums.take(size))
                copies += _turned(to, source, total) if is_turned else [Copy(to, source, size)]
            totals.setdefault(total.name, to)
        return totals, copies


def _engine(network: Network, unit: Unit, *, backward: bool) -> Engine:
    """What runs a unit in a pass."""
    program = unit.program
    if backward:
        return program.run_backward
    return program.run_forward if network.has_gradient else program.run


def _stagger(network: Network, *, backward: bool) -> Stagger | None:
    """How the layers of a network run staggered over time in a pass; None: one after the other."""
    if len(network.units) > len(network.layers):
        return None  # a layer that runs from the last step on waits for all of the one before it
    loops = [_covered(_engine(network, unit, backward=backward)) for unit in network.units]
    reverse = network.units[0].reverse is not backward
    return stagger_of(loops, network.num_steps, network.num_rows, reverse=reverse)


def _staggered(actions: Sequence[Action], stagger: Stagger | None) -> list[Action]:
    """The same with all runs of kernels staggered; what is copied is no other layer's."""
    if stagger is None:
        return list(actions)
    runs = tuple(action for action in actions if isinstance(action, KernelRun))
    return [Wavefront(runs, stagger), *(one for one in actions if not isinstance(one, KernelRun))]


def _turned(to: Place, source: Place, total: Buffer) -> list[Copy]:
    """Copies of the columns of a matrix, which are rows elsewhere."""
    height, width = total.sizes
    size = total.dtype.itemsize
    return [
        Copy(
            to._replace(offset=to.offset + row * size),
            source._replace(offset=source.offset + row * width * size),
            size,
            width,
            height * size,
            size,
        )
        for row in range(height)
    ]


@dataclass(frozen=True)
class _KernelRuns:
    """What a kernel of a unit is told."""

    network: Network
    unit: Unit
    loop: CompiledLoop
    places: Mapping[str, Place]
    dtypes: Mapping[str, torch.dtype]
    starts: Mapping[str, Place] = field(default_factory=dict)

    def run(
        self,
        steps: Steps,
        states: Sequence[Place],
        *,
        previous_reverse: bool = False,
        state_unread: bool = False,
        alone: bool = False,
    ) -> KernelRun:
        """A run over all steps, perhaps by a thread alone."""
        loop, kernel = self.loop, self.loop.kernel
        named = self._weights()
        matrices = [named[matrix.tensor] for matrix in kernel.matrices]
        tensors = [
            self.network.weights[place.base - self.network.first_weight] for place in matrices
        ]
        now = iter(states)
        places = [
            next(now) if slot.buffer.place == "state" else self._place(slot, named)
            for slot in loop.slots
        ]
        sizes = loop.sizes_of(steps, self.network.num_rows, 1 if alone else None)
        call = Call.from_buffer_copy(sizes.call)
        call.num_steps, call.begins, call.ends = len(steps.batch_sizes), 1, 1
        call.state_unread = state_unread
        call.reverse, call.previous_reverse = steps.reverse, previous_reverse
        if pays_for_run(loop, tensors, steps.num_rows):
            read_in_place(call, loop, steps.num_rows)
        strides = [
            stride
            for tensor, matrix in zip(tensors, kernel.matrices, strict=True)
            for stride in strides_of(tensor, matrix.transposed)
        ]
        starts = [self.starts[slot.buffer.name] for slot in loop.slots if _is_previous(slot)]
        return KernelRun(
            loop.binary.rondo_run,
            call,
            sizes,
            tuple(strides),
            (*places, *states, *matrices),
            tuple(place for place in starts for _ in range(2)),
        )

    def _weights(self) -> dict[str, Place]:
        """Where the weights of the unit lie, by name."""
        first, step = self.network.first_weight, self.loop.plan.step
        pairs = zip(step.parameters, self.unit.weights, strict=True)
        return {value.name: Place(first + number) for value, number in pairs}

    def _place(self, slot: Slot, weights: Mapping[str, Place]) -> Place:
        buffer = slot.buffer
        if buffer.place == "shared":
            _check(buffer.name in weights, "a value that is computed once")
            tensor = self.network.weights[weights[buffer.name].base - self.network.first_weight]
            _check(tensor.is_contiguous() and tensor.dtype == buffer.dtype, "a weight in pieces")
            return weights[buffer.name]
        name = buffer.name if slot.output is None else slot.output
        _check(name in self.places and not slot.dim, f"{name}, which lies elsewhere")
        _check(_is_previous(slot) or name not in self.starts, "a state of another type")
        _check(self.dtypes.get(name, buffer.dtype) == buffer.dtype, "a value of another type")
        return self.places[name]


def _check_program(program: Program) -> None:
    """Fail where more must be known of a call than its sizes."""
    _check(not program.captured and program.library is None, "a loop without a kernel of its own")
    _check(not program.guards and not program.asks_rows, "a step that asks how many rows there are")
    _check(all(program.read), "a weight that is not read")
    if program.gradient is not None:
        _check(program.own_gradient is None, "a step with a gradient of its own")
        _check(all(program.gradient.differentiable), "a result without a gradient")


def _covered(engine: Engine) -> CompiledLoop:
    """A kernel that does all of a pass itself, on memory that it is given."""
    if not isinstance(engine, CompiledLoop):
        raise NotChainedError("an engine without a kernel")
    kernel = engine.kernel
    _check(kernel.stored == kernel.dtype, "numbers of two types")
    by_torch = kernel.before or kernel.after or engine.copied or engine.constants
    _check(not by_torch, "a part that torch computes")
    _check(len(engine.plan.step.state) == len(kernel.at("state")), "a state that is not kept")
    return engine


def _total_of(loop: CompiledLoop, name: str) -> Buffer:
    """The buffer of a kernel in which a sum lies that a plan gives."""
    totals = {buffer.name: buffer for buffer in loop.kernel.at("total")}
    nodes = {node.name: node for node in loop.kernel.totals}
    while name not in totals:
        node = nodes.get(name)
        _check(node is not None and node.packet in RENAMES, "a sum of which torch makes another")
        assert node is not None
        name = node.reads[0]
    return totals[name]


def _is_previous(slot: Slot) -> bool:
    return slot.buffer.place == "previous"


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise NotChainedError(otherwise)
