"""The passes of a network as actions of a chain: what runs, in which order, and on which memory.

In goes a network, out come the actions of its forward pass and those of its backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from rondo.compiler.chain import WORKSPACE, Action, Copy, KernelRun, Place, Wavefront
from rondo.compiler.covered import covered, require
from rondo.compiler.cpu import CompiledLoop
from rondo.compiler.engines import Engine
from rondo.compiler.kernel_runs import KernelRuns, total_of, turned_copies
from rondo.compiler.reference import Steps
from rondo.compiler.wavefront import Stagger, stagger_of

if TYPE_CHECKING:
    from rondo.compiler.network import Network, Unit

X, OUTPUT, BLOCK = 1, 2, 3
"""The bases of a chain after the workspace: the input, the output, what is kept; then come the
initial states, the last ones and the weights. In the backward pass the gradients follow."""


class Room:
    """Memory that is handed out piece by piece, from an offset on."""

    def __init__(self, base: int, begin: int = 0) -> None:
        self.base, self.size = base, begin

    def take(self, num_bytes: int) -> Place:
        """The next so many bytes."""
        place = Place(self.base, self.size)
        self.size += in_lines(num_bytes)
        return place


def in_lines(num_bytes: int) -> int:
    """So many bytes in whole lines of the cache."""
    return -(-num_bytes // 64) * 64


class Forward:
    """What the forward pass does."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.room = Room(BLOCK if network.has_gradient else WORKSPACE)
        self.actions: list[Action] = []
        self.outputs: list[dict[str, Place]] = []  # of each unit, its outputs by name
        self.dtypes: list[dict[str, torch.dtype]] = []  # and their types
        self.inputs: list[Place] = []  # of each layer
        self.stagger = stagger_for(network, backward=False)
        rows = Place(X)
        for number, layer in enumerate(network.layers):
            self.inputs.append(rows)
            rows = self._layer(layer, rows, is_last=number == len(network.layers) - 1)
        self.actions = staggered(self.actions, self.stagger)

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
        require(program.gradient is not None or not network.has_gradient, "no gradient")
        loop = covered(engine_of(network, unit, backward=False))
        step = loop.plan.step
        places = {step.inputs[0].name: rows, step.outputs[program.places[0]]: output}
        for slot in loop.slots:
            if slot.buffer.place == "output" and slot.output not in places:
                require(slot.output is not None, "a value passes between torch and the kernel")
                assert slot.output is not None
                row_bytes = slot.buffer.size * slot.buffer.dtype.itemsize
                places[slot.output] = self.room.take(network.num_packed * row_bytes)
        states = network.states_at(network.last, len(self.outputs))
        steps = Steps((network.num_rows,) * network.num_steps, unit.reverse)
        dtypes = dict.fromkeys(places, network.dtype)
        dtypes |= {slot.output: slot.buffer.dtype for slot in loop.slots if slot.output}
        require(
            dtypes[step.outputs[program.places[0]]] == network.dtype, "an output of another type"
        )
        runs = KernelRuns(network, unit, loop, places, dtypes)
        self.actions.append(runs.run(steps, states, alone=self.stagger is not None))
        self.outputs.append(places)
        self.dtypes.append(dtypes)


class Backward:
    """What the backward pass does, the last layer first."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.of_layer = Room(WORKSPACE)  # what a layer gives to the one before it
        self.layer_bytes = self._layer_bytes() if len(network.units) > 1 else 0
        self.sums = Room(WORKSPACE, 2 * self.layer_bytes)
        self.actions: list[Action] = []
        self.forward = Forward(network)
        self.stagger = stagger_for(network, backward=True)
        gradient, end = Place(network.gradient), len(network.units)
        for number in reversed(range(len(network.layers))):
            end -= len(network.layers[number])
            self.of_layer = Room(WORKSPACE, number % 2 * self.layer_bytes)
            gradient = self._layer(number, end, gradient)
        self.actions = staggered(self.actions, self.stagger)

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
        loop, given = covered(engine_of(network, unit, backward=True)), program.gradient
        made, forward = self.forward.outputs[number], program.forward.step
        initial = network.states_at(network.initial, number)
        places: dict[str, Place] = {}
        starts: dict[str, Place] = {}
        types = dict.fromkeys((*loop.input_names, *loop.plan.step.outputs), network.dtype)
        for name, (kind, which) in zip(loop.input_names, given.reads, strict=True):
            if kind == "input":
                places[name] = self.forward.inputs[layer]
            elif kind == "gradient":
                require(which == program.places[0], "a gradient of a value beside the output")
                places[name] = gradient
            elif kind == "saved":
                places[name] = made[str(which)]
                types[name] = self.forward.dtypes[number][str(which)]
            else:
                places[name] = made[forward.next_state[int(which)]]
                starts[name] = initial[int(which)]
        require(given.states == tuple(range(len(initial))), "a state without a gradient")
        require(len(loop.plan.step.outputs) <= 1, "a gradient of a value beside the input")
        places |= dict.fromkeys(loop.plan.step.outputs, of_input)
        totals, copies = self._totals(unit, loop)
        steps = Steps((network.num_rows,) * network.num_steps, not unit.reverse)
        states = network.states_at(network.last, number)
        runs = KernelRuns(network, unit, loop, places | totals, types, starts)
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
        require(len(wanted) == len(step.sums), "a gradient of a constant")
        totals: dict[str, Place] = {}
        copies: list[Copy] = []
        for number, name in zip(wanted, step.sums, strict=True):
            weight = unit.weights[number]
            to, total = Place(network.gradient + 2 + weight), total_of(loop, name)
            require(network.weights[weight].dtype == total.dtype, "a weight of another type")
            size, is_turned = network.weights[weight].nbytes, total.sizes != loop.shape(total.name)
            if total.name in totals or is_turned:
                source = totals.setdefault(total.name, self.sums.take(size))
                copies += (
                    turned_copies(to, source, total) if is_turned else [Copy(to, source, size)]
                )
            totals.setdefault(total.name, to)
        return totals, copies


def engine_of(network: Network, unit: Unit, *, backward: bool) -> Engine:
    """What runs a unit in a pass."""
    program = unit.program
    if backward:
        return program.run_backward
    return program.run_forward if network.has_gradient else program.run


def stagger_for(network: Network, *, backward: bool) -> Stagger | None:
    """How the layers of a network run staggered over time in a pass; None: one after the other."""
    if len(network.units) > len(network.layers):
        return None  # a layer that runs from the last step on waits for all of the one before it
    loops = [covered(engine_of(network, unit, backward=backward)) for unit in network.units]
    reverse = network.units[0].reverse is not backward
    return stagger_of(loops, network.num_steps, network.num_rows, reverse=reverse)


def staggered(actions: Sequence[Action], stagger: Stagger | None) -> list[Action]:
    """The same with all runs of kernels staggered; what is copied is no other layer's."""
    if stagger is None:
        return list(actions)
    runs = tuple(action for action in actions if isinstance(action, KernelRun))
    return [Wavefront(runs, stagger), *(one for one in actions if not isinstance(one, KernelRun))]
