"""From a plan to a kernel: what time steps do to memory, row by row.

In goes a :class:`Plan`, out comes a :class:`Kernel`: loops over the elements of a row, and products
of rows with matrices, in the order in which they run. Views become index arithmetic. Arithmetic is
written where it is read, into one loop for everything of the same size; only what must lie in
memory gets a place there: factors and results of products, sums within a row, joined values, what
the next step or somebody outside reads, and costly values that several loops read.

A kernel has three stages (`region.py`): what is done before the steps of a chunk, the steps, and
what is done after them. Each is written down on its own; what a later one reads lies in memory.

Limits: all values are real numbers of one type, or truth values; the factor of a product
must be the same for all rows. Whatever is not covered in the loop is refused with the reason; what
is not covered around it is left to torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from rondo.compiler.bodies import loop_of, placed_buffers
from rondo.compiler.expansion import Expansion
from rondo.compiler.factors import Products
from rondo.compiler.graph import Node, Value
from rondo.compiler.integers import check_integers
from rondo.compiler.kernel import (
    Buffer,
    Kernel,
    Level,
    Matrix,
    NotCoveredError,
    Sum,
    Target,
    short,
)
from rondo.compiler.memory import Memory, stored_dtype
from rondo.compiler.plan import Plan
from rondo.compiler.primitive import expand, renamed
from rondo.compiler.region import (
    COSTLY,
    JOINS,
    PRODUCTS,
    REDUCTIONS,
    STRUCTURE,
    Region,
    check_covered,
    region_of,
    sum_factors,
)
from rondo.compiler.schedule import Schedule
from rondo.compiler.stores import Stores
from rondo.compiler.views import (
    RESHAPES,
    row_sizes,
)

aten = torch.ops.aten

NARROW = 16
"""A sum of products with so few columns is computed transposed."""

WHO = ((True, True), (True, False), (False, True), (False, False))
"""Whether the kernel does what comes before the loop, and what comes after it: what is tried."""


def lower(plan: Plan, target: Target, previous: Collection[str] = ()) -> Kernel:
    """Turn a plan into a kernel.

    Args:
        plan: The plan.
        target: What the renderer can write down.
        previous: The inputs that are states which steps begin with.

    Raises:
        NotCoveredError: Where the loop does what a kernel cannot, with the operation named.
    """
    reason = None
    for opening, closing in WHO if target.around else WHO[-1:]:
        region = region_of(plan, target.elementwise, opening=opening, closing=closing)
        check_covered(plan, region)
        try:
            kernel = _Lowering(plan, region, target, previous).kernel()
        except NotCoveredError as error:
            if not opening and not closing:
                raise
            reason = reason or str(error)
        else:
            return replace(kernel, reason=reason).check()
    raise AssertionError("every way was tried")


@dataclass(frozen=True)
class _Stage:
    """A stage of a kernel.

    Args:
        name: "opening", "loop" or "closing".
        nodes: What it does.
        local: The place of values that it keeps for itself.
    """

    name: str
    nodes: tuple[Node, ...]
    local: str


class _Lowering:
    """Writes down the loops and products of a kernel, in the order of the nodes."""

    def __init__(
        self,
        plan: Plan,
        region: Region,
        target: Target,
        previous: Collection[str],
    ) -> None:
        self.plan = plan
        self.region = region
        self.target = target
        values: dict[str, Value | Node] = dict(plan.step.by_name)
        stored = stored_dtype(plan.step.state, target.computed)
        expansion = Expansion(set(values), stored)
        opening, loop, closing = (
            expand(nodes, values, expansion)
            for nodes in (region.opening, region.loop, region.closing)
        )
        self.names = expansion.names  # what stands for a value that is gone, or lies elsewhere
        step = plan.step
        given = {value.name for value in (*step.parameters, *step.inputs)}
        given |= {node.name for node in (*plan.constants, *region.before)}
        self.memory = Memory(values, step.state, given, previous, stored, target.computed[stored])
        for node in (*opening, *loop, *closing):
            if node.packet not in {*target.elementwise, *STRUCTURE}:
                reason = f"{node.op_name} is an operation that no kernel does"
                raise NotCoveredError(reason, node.name)
        check_integers((*region.opening, *region.loop, *region.closing), plan.step.by_name)
        opening, loop = self._with_addends_in_loop(opening, loop, closing)
        self.stages = (
            _Stage("opening", opening, "chunk"),
            _Stage("loop", loop, "local"),
            _Stage("closing", closing, "chunk"),
        )
        self.matrices: list[Matrix] = []
        self.outputs: dict[str, str] = {}

    def kernel(self) -> Kernel:
        for value in self.plan.step.state:
            self.memory.new_buffer(value.name, "state")
        constants = {node.name: node for node in self.plan.constants}
        levels: list[tuple[Level, ...]] = []
        commits: list[tuple[str, str]] = []
        for number, stage in enumerate(self.stages):
            self.stage = replace(
                stage, nodes=tuple(renamed(node, self.names) for node in stage.nodes)
            )
            self.schedule = Schedule(self.memory)
            self.stores = Stores(self.memory, self.schedule, stage.local)
            self.products = Products(
                self.memory, self.stores, constants, self.matrices, self.target.exact_factors
            )
            self._write_stage(number)
            levels.append(self._levels())
            commits += self.schedule.commits
        self.memory.begin({})
        sums = tuple(self._sum(node) for node in self.region.sums)
        opening, loop, closing = levels
        return Kernel(
            dtype=self.memory.dtype,
            stored=self.memory.stored,
            buffers=placed_buffers(self.memory.buffers, levels, sums, commits),
            matrices=tuple(self.matrices),
            opening=opening,
            levels=loop,
            closing=closing,
            sums=sums,
            commits=tuple(commits),
            before=self.region.before,
            after=self.region.after,
            totals=self.region.totals,
            outputs=self.outputs,
        )

    def _write_stage(self, number: int) -> None:
        self.memory.begin({node.name: node for node in self.stage.nodes})
        collected = self._collected(number)
        kept = self._kept(collected)
        exact = self._exact()
        next_state = [self._now(name) for name in self.plan.step.next_state]
        for name, node in self.memory.nodes.items():
            if node.packet in PRODUCTS:
                is_local = self.stage.name == "loop"
                self.products.write(node, "local" if is_local else collected.get(name, "chunk"))
            elif node.packet in RESHAPES and not self.memory.lies_straight(node.reads[0]):
                self.stores.keep_as_it_is(node.reads[0])
            elif name in kept:
                place = collected.get(name, self.stage.local)
                self.stores.keep(node, self.stage.local if name in exact else place)
            if name in collected:
                buffer = self.memory.buffers.get(name)
                if buffer is None or buffer.place != collected[name]:
                    self._copy_out(name, collected[name])
        for name, place in collected.items():
            if name not in self.memory.nodes:
                self._copy_out(name, place)
        for name in self._wanted_outside():
            actual = self._now(name)
            if actual in self.memory.buffers and self.memory.buffers[actual].place == "output":
                self.outputs[name] = actual
        if self.stage.name == "loop":
            self._set_next_state(next_state)

    # ---- what needs memory ----

    def _with_addends_in_loop(
        self, opening: Sequence[Node], loop: Sequence[Node], closing: Sequence[Node]
    ) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
        """What is added to a product is added where the loop reads it."""
        read = {name for node in closing for name in node.reads} | set(self._wanted_outside())
        read |= {name for node in self.region.sums for name in self._factors_of_sum(node)}
        read |= set(self.plan.step.next_state)
        kept: list[Node] = []
        moved: list[Node] = []
        for node in reversed(opening):
            if node.name not in read and self.memory.is_arithmetic(node):
                moved.append(node)
            else:
                kept.append(node)
                read.update(node.reads)
        return tuple(kept[::-1]), (*moved[::-1], *loop)

    def _wanted_outside(self) -> list[str]:
        """The values that torch or the caller reads."""
        read = [name for node in self.region.after for name in node.reads]
        return [*read, *self.plan.step.outputs]

    def _factors_of_sum(self, node: Node) -> tuple[str, ...]:
        return sum_factors(node, self.plan.step.by_name) or ()

    def _collected(self, number: int) -> dict[str, str]:
        """The values of a stage that others read, and the place where they are to lie."""
        ours = {node.name for node in self.stage.nodes}
        later = [
            name for stage in self.stages[number + 1 :] for n in stage.nodes for name in n.reads
        ]
        later += [name for node in self.region.sums for name in self._factors_of_sum(node)]
        if self.stage.name == "loop":
            ours.update(value.name for value in self.plan.step.state)
        if self.stage.name == "opening":
            later += self.plan.step.next_state
        places = dict.fromkeys(map(self._now, later), "chunk")
        places |= dict.fromkeys(map(self._now, self._wanted_outside()), "output")
        return {name: place for name, place in places.items() if name in ours}

    def _now(self, name: str) -> str:
        """What stands for a value now."""
        while name in self.names:
            name = self.names[name]
        return name

    def _kept(self, collected: Collection[str]) -> set[str]:
        """The nodes whose results must lie in memory."""
        kept = set()
        readers: dict[str, list[Node]] = {}
        for node in self.memory.nodes.values():
            for name in node.reads:
                readers.setdefault(name, []).append(node)
        loops = self._loops_behind(readers)
        for name, node in self.memory.nodes.items():
            num_loops, num_readers = len(loops[name]), len(readers.get(name, []))
            read_by_loops = num_loops > 1 or (num_loops == 1 and num_readers > 1)
            if (
                node.packet in REDUCTIONS
                or node.packet in JOINS
                or (name in collected and self.memory.is_arithmetic(node))
                or (node.packet in COSTLY and read_by_loops)
            ):
                kept.add(name)
            if node.packet in RESHAPES and self._is_copy(node.reads[0]):
                kept.add(node.reads[0])
            elif node.packet in PRODUCTS or node.packet in RESHAPES:
                sources = node.reads if node.packet in PRODUCTS else node.reads[:1]
                kept.update(filter(None, map(self.memory.source, sources)))
        return kept

    def _is_copy(self, name: str) -> bool:
        """Whether a value is made contiguous, as torch does before a view that needs it."""
        node = self.memory.nodes.get(name)
        return node is not None and node.packet is aten.clone

    def _exact(self) -> set[str]:
        """The nodes behind the rows of products, if these keep more digits than are stored."""
        if not self.target.exact_factors or self.memory.stored == self.memory.dtype:
            return set()
        products = [node for node in self.memory.nodes.values() if node.packet in PRODUCTS]
        found = set()
        for name in (name for node in products for name in node.reads):
            while name in self.memory.nodes:
                found.add(name)
                name = self.memory.nodes[name].reads[0] if self.memory.nodes[name].reads else ""
        return found

    def _loops_behind(self, readers: dict[str, list[Node]]) -> dict[str, set[str]]:
        """For each node some of the reductions and joins that read it: all, or at least two."""
        found: dict[str, set[str]] = {}
        for name in reversed(self.memory.nodes):
            found[name] = behind = set()
            for node in readers.get(name, []):
                is_loop = node.packet in REDUCTIONS or node.packet in JOINS
                behind |= {node.name} if is_loop else found[node.name]
                if len(behind) > 1:
                    break
        return found

    def _copy_out(self, name: str, place: str) -> None:
        """Give a value that lies elsewhere, or is a view, to those who read it later."""
        target = self.memory.fresh(f"out_{name}")
        buffer = self.memory.new_buffer(target, place, like=name)
        self.stores.store(target, name)
        value = self.memory.values[name]
        dtype = torch.bool if value.dtype == torch.bool else buffer.dtype
        self.memory.values[target] = Value(target, value.shape or (), dtype)
        self.names[name] = target

    def _set_next_state(self, sources: Iterable[str]) -> None:
        for state, source in zip(self.plan.step.state, sources, strict=True):
            if source == state.name and self.target.in_place:
                continue
            target = self.memory.fresh(f"next_{state.name}")
            self.memory.new_buffer(target, "local", like=state.name)
            self.stores.store(target, source)
            self.schedule.commits.append((state.name, target))

    # ---- writing it down ----

    def _levels(self) -> tuple[Level, ...]:
        """The levels of a stage."""
        if self.target.in_place:
            self.schedule.write_states_directly()
        return tuple(
            Level(
                tuple(loop_of(self.memory, (number, i), draft) for i, draft in enumerate(drafts)),
                tuple(products),
            )
            for number, (drafts, products) in enumerate(
                zip(self.schedule.drafts, self.schedule.products, strict=True)
            )
        )

    def _sum(self, node: Node) -> Sum:
        """A sum over the rows of all steps."""
        factors = [self._rows_in_memory(name) for name in self._factors_of_sum(node)]
        widths = [width for _, _, width in factors]
        if len(factors) == 2 and widths[1] < min(NARROW, widths[0]):
            factors.reverse()
        (right, right_offset, width) = factors[-1]
        left, left_offset, height = factors[0] if len(factors) == 2 else (None, 0, 1)
        self.memory.buffers[node.name] = Buffer(
            node.name, "total", (height, width), self.memory.dtype
        )
        return Sum(node.name, left, left_offset, right, right_offset)

    def _rows_in_memory(self, name: str) -> tuple[str, int, int]:
        """The buffer in which the rows of a value lie, where they begin, and their width."""
        name = self._now(name)
        lying = self.memory.resolve(name, self.memory.whole(name))
        assert lying is not None, f"{name} does not lie in memory"
        buffer, index = lying
        if self.memory.buffers[buffer].dtype != self.memory.dtype:
            kept = short(self.memory.buffers[buffer].dtype)
            raise NotCoveredError(
                f"a gradient is a sum of {kept} in a step of {short(self.memory.dtype)}", name
            )
        return buffer, index.offset, row_sizes(self.memory.values[name].shape or ())[0]
