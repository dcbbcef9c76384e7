"""From a plan to a kernel: what one time step does to memory, row by row.

In goes a :class:`Plan`, out comes a :class:`Kernel`: loops over the elements of a row, and products
of rows with matrices, in the order in which they run. Views become index arithmetic. Arithmetic is
written where it is read, into one loop for everything of the same size; only what must lie in
memory gets a place there: factors and results of products, sums within a row, joined values, what
the next step or somebody outside the loop reads, and costly values that several loops read.

Arithmetic that the plan puts before or after the loop, but which only passes values into the loop
or out of it, is done in the kernel too, where its arguments are at hand. Products stay outside.

Limits: all values are real numbers of one type, or truth values; the factor of a product
must be the same for all rows. Whatever is not covered is refused with the reason.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import Any

import torch

from rondo.compiler.graph import Node, Ref, Rows, Value, map_argument
from rondo.compiler.kernel import (
    Buffer,
    Compute,
    Kernel,
    Level,
    Load,
    Loop,
    Matrix,
    NotCoveredError,
    Product,
    Reduce,
    Store,
)
from rondo.compiler.memory import JOINS, PRODUCTS, REDUCTIONS, Memory, Position
from rondo.compiler.plan import Plan
from rondo.compiler.primitive import expand
from rondo.compiler.region import CONSTANTS, SPLITS, check_covered, region_of
from rondo.compiler.schedule import Draft, Schedule, Statement
from rondo.compiler.views import (
    RESHAPES,
    ROW,
    VIEWS,
    Index,
    Place,
    linear,
    row_dim,
    row_sizes,
    variable,
)

aten = torch.ops.aten

COSTLY: set[Any] = {
    *(aten.exp, aten.log, aten.log1p, aten.expm1, aten.tanh, aten.sigmoid, aten.gelu, aten.silu),
    *(aten.softplus, aten.erf, aten.pow, aten.sin, aten.cos, aten.div, aten.sqrt, aten.rsqrt),
}


STRUCTURE = {
    *(*VIEWS, *RESHAPES, *SPLITS, *CONSTANTS, *PRODUCTS, *REDUCTIONS, *JOINS, operator.getitem)
}
"""What a kernel does beside elementwise operations."""

MAX_ROW_NUMBERS = 4096
"""What lies on the stack of a thread must be no larger than this."""


def lower(plan: Plan, elementwise: Collection[Any]) -> Kernel:
    """Turn the loop of a plan into a kernel.

    Args:
        plan: The plan.
        elementwise: The elementwise operations that the renderer can spell.

    Raises:
        NotCoveredError: Where the loop does what a kernel cannot, with the operation named.
    """
    region = region_of(plan, elementwise)
    check_covered(plan, region)
    lowering = _Lowering(plan, region)
    for node in lowering.memory.nodes.values():
        if node.packet not in {*elementwise, *STRUCTURE}:
            raise NotCoveredError(f"{node.op_name} is an operation that no kernel does")
    return lowering.kernel()


class _Lowering:
    """Writes down the loops and products of a kernel, in the order of the nodes."""

    def __init__(self, plan: Plan, region: frozenset[str]) -> None:
        self.plan = plan
        self.region = region
        values: dict[str, Value | Node] = dict(plan.step.by_name)
        inside = [node for node in plan.step.nodes if node.name in region]
        nodes = {node.name: node for node in expand(inside, values)}
        self.memory = Memory(nodes, values, plan.step.state)
        self.schedule = Schedule(self.memory)
        self.matrices: list[Matrix] = []
        self.outputs: dict[str, str] = {}

    def kernel(self) -> Kernel:
        for value in self.plan.step.state:
            self.memory.new_buffer(value.name, "state")
        collected = self._collected()
        kept = self._kept(collected)
        for name, node in self.memory.nodes.items():
            if node.packet in PRODUCTS:
                self._product(node)
            elif name in kept:
                is_factor = self.memory.stored != self.memory.dtype and name in self._factors()
                self._keep(node, "output" if name in collected and not is_factor else "local")
            if name in collected:
                buffer = self.memory.buffers.get(name)
                if buffer is not None and buffer.place == "output":
                    self.outputs[name] = name
                else:
                    self._copy_out(name)
        for name in collected:
            if name not in self.memory.nodes:
                self._copy_out(name)
        self._next_state()
        return self._finish()

    # ---- what needs memory ----

    def _collected(self) -> dict[str, None]:
        """What the kernel gives to others: the nodes left outside, and the outputs."""
        states = {value.name for value in self.plan.step.state}
        ours = {*self.region, *states}
        wanted = [
            name
            for node in self.plan.step.nodes
            if node.name not in self.region and self.plan.stage_of(node.name) == "after"
            for name in node.reads
        ]
        wanted += self.plan.step.outputs
        return dict.fromkeys(self._actual(name) for name in wanted if name in ours)

    def _actual(self, name: str) -> str:
        """A value by the name that it has after the expansion."""
        if name in self.memory.nodes or name not in self.region:
            return name
        raise NotCoveredError(f"{name} is one of several results and is read outside the loop")

    def _kept(self, collected: Collection[str]) -> set[str]:
        """The nodes whose results must lie in memory."""
        kept = set()
        readers: dict[str, list[Node]] = {}
        for node in self.memory.nodes.values():
            for name in node.reads:
                readers.setdefault(name, []).append(node)
        for name, node in self.memory.nodes.items():
            if (
                node.packet in REDUCTIONS
                or node.packet in JOINS
                or (name in collected and self.memory.is_arithmetic(node))
                or (node.packet in COSTLY and self._read_by_loops(name, readers))
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

    def _factors(self) -> set[str]:
        """The nodes behind the rows of products."""
        products = [node for node in self.memory.nodes.values() if node.packet in PRODUCTS]
        found = set()
        for name in (name for node in products for name in node.reads):
            while name in self.memory.nodes:
                found.add(name)
                name = self.memory.nodes[name].reads[0] if self.memory.nodes[name].reads else ""
        return found

    def _read_by_loops(self, name: str, readers: dict[str, list[Node]]) -> bool:
        """Whether reductions, joins or products are among those who read a value."""
        seen, waiting, found = {name}, [name], 0
        direct = readers.get(name, [])
        while waiting:
            for node in readers.get(waiting.pop(), []):
                if node.name in seen:
                    continue
                seen.add(node.name)
                if node.packet in REDUCTIONS or node.packet in JOINS:
                    found += 1
                else:
                    waiting.append(node.name)
        return (bool(found) and len(direct) > 1) or found > 1

    # ---- statements ----

    def _keep(self, node: Node, place: str) -> None:
        """Write a node's result into memory of its own."""
        buffer = self.memory.new_buffer(node.name, place)
        if node.packet in REDUCTIONS:
            self._reduce(node, buffer)
        elif node.packet is aten.cat:
            self._join(node, buffer)
        elif node.packet is aten.slice_scatter:
            self._scatter(node, buffer)
        else:
            self._store(buffer.name, node.name)

    def _store(
        self, buffer: str, value: str, dim: int | None = None, start: int = 0, step: int = 1
    ) -> None:
        """Store all of a value; along `dim` its elements lie from `start` on, `step` apart."""
        place = self.memory.whole(value)
        target = tuple(
            index.moved(start, step) if number == dim and isinstance(index, Index) else index
            for number, index in enumerate(place)
        )
        index = linear(target, self.memory.buffers[buffer].sizes)
        sizes = row_sizes(self.memory.values[value].shape or ())
        self.schedule.place(Statement(buffer, index, value, place), sizes, 0)

    def _join(self, node: Node, buffer: Buffer) -> None:
        shape = node.shape or ()
        dim = node.argument(1, 0) % len(shape)
        start = 0
        for piece in node.args[0]:
            size = (self.memory.values[piece.name].shape or ())[dim]
            assert isinstance(size, int)
            self._store(buffer.name, piece.name, dim, start)
            start += size

    def _scatter(self, node: Node, buffer: Buffer) -> None:
        """`slice_scatter(x, part, dim, start, end, step)`: x, and over it the part."""
        x, piece = node.args[:2]
        shape = node.shape or ()
        dim = node.argument(2, 0) % len(shape)
        size = shape[dim]
        if not isinstance(size, int):
            raise NotCoveredError("slice_scatter over the rows")
        start = node.argument(3) or 0
        start = max(start + size, 0) if start < 0 else min(start, size)
        self._store(buffer.name, x.name)
        self._store(buffer.name, piece.name, dim, start, node.argument(5, 1))

    def _reduce(self, node: Node, buffer: Buffer) -> None:
        source = node.args[0].name
        shape = self.memory.values[source].shape or ()
        given = node.args[1] if len(node.args) > 1 else None
        dims = {dim % len(shape) for dim in (given or range(len(shape)))}
        order = [d for d, size in enumerate(shape) if isinstance(size, int) and d not in dims]
        num_kept = len(order)
        order += sorted(dims)
        place = tuple(
            ROW if isinstance(size, Rows) else variable(order.index(dim))
            for dim, size in enumerate(shape)
        )
        sizes = tuple(size for dim in order if isinstance(size := shape[dim], int))
        target = linear(tuple(variable(number) for number in range(num_kept)), sizes[:num_kept])
        statement = Statement(buffer.name, target, source, place, REDUCTIONS[node.packet])
        self.schedule.place(statement, sizes, len(dims))

    def _copy_out(self, name: str) -> None:
        """Give a value that lies elsewhere, or is a view, to those outside."""
        target = f"out_{name}"
        self.memory.new_buffer(target, "output", like=name)
        self.outputs[name] = target
        self._store(target, name)

    def _next_state(self) -> None:
        for state, source in zip(self.plan.step.state, self.plan.step.next_state, strict=True):
            if source == state.name:
                continue
            target = f"next_{state.name}"
            self.memory.new_buffer(target, "local", like=state.name)
            self._store(target, source)
            self.schedule.commits.append((state.name, target))

    # ---- products ----

    def _product(self, node: Node) -> None:
        rows, matrix, transposed = self._factors_of(node)
        shapes = {name: self.memory.values[name].shape or () for name in (rows, matrix)}
        several = node.packet is aten.bmm
        depth, width = row_sizes(shapes[matrix])[-2:]
        if transposed:
            depth, width = width, depth
        self.memory.new_buffer(node.name, "local")
        level = 0
        for batch in range(row_sizes(shapes[rows])[0] if several else 1):
            buffer, offset = self._factor_in_memory(node, rows, batch if several else None)
            level = max(level, self._level_after(buffer))
            key = Matrix(matrix, depth, width, batch if several else None, transposed)
            if key not in self.matrices:
                self.matrices.append(key)
            number = self.matrices.index(key)
            self.schedule.reach(level)
            self.schedule.products[level].append(
                Product(node.name, batch * width, buffer, offset, number)
            )
        self.memory.done[node.name] = (level + 1, -1)

    def _factors_of(self, node: Node) -> tuple[str, str, bool]:
        """The factor with rows, the matrix, and whether the matrix stands on the left."""
        left, right = (argument.name for argument in node.args[:2])
        shapes = {name: self.memory.values[name].shape or () for name in (left, right)}
        transposed = row_dim(shapes[left]) is None
        rows, matrix = (right, left) if transposed else (left, right)
        dim = row_dim(shapes[rows])
        if row_dim(shapes[matrix]) is not None or dim is None or matrix in self.memory.nodes:
            raise NotCoveredError(f"{node.op_name} of two values that differ from row to row")
        dtype, stored = self.memory.values[matrix].dtype, self.memory.stored
        if dtype != stored:
            raise NotCoveredError(f"the factor {matrix} is {dtype} in a loop of {stored}")
        if dim != len(shapes[rows]) - (1 if transposed else 2):
            raise NotCoveredError(f"{node.op_name} whose batch is the rows")
        return rows, matrix, transposed

    def _factor_in_memory(self, node: Node, rows: str, batch: int | None) -> tuple[str, int]:
        """The buffer in which the rows of a product lie, and where in a row they begin."""
        place = tuple(
            index if batch is None or dim != 0 else Index((), batch)
            for dim, index in enumerate(self.memory.whole(rows))
        )
        place = tuple(variable(0) if isinstance(i, Index) and i.coefficients else i for i in place)
        lying = self.memory.resolve(rows, place)
        if lying is None or lying[1].coefficients not in ((1,), ()):
            raise NotCoveredError(f"the factor {rows} of {node.op_name} is rearranged")
        buffer, index = lying
        if self.memory.buffers[buffer].dtype != self.memory.dtype:
            dtype = self.memory.buffers[buffer].dtype
            raise NotCoveredError(f"the factor {rows} of {node.op_name} lies in memory as {dtype}")
        return buffer, index.offset

    def _level_after(self, buffer: str) -> int:
        """The first level whose products can read a buffer."""
        return self.memory.done.get(buffer, (0, 0))[0]

    # ---- writing it down ----

    def _finish(self) -> Kernel:
        self.schedule.write_states_directly()
        levels = [
            Level(
                tuple(self._loop((number, i), draft) for i, draft in enumerate(drafts)),
                tuple(products),
            )
            for number, (drafts, products) in enumerate(
                zip(self.schedule.drafts, self.schedule.products, strict=True)
            )
        ]
        return Kernel(
            self.memory.dtype,
            self.memory.stored,
            self._placed_buffers(),
            tuple(self.matrices),
            tuple(levels),
            tuple(self.schedule.commits),
            tuple(node for node in self.plan.before if node.name not in self.region),
            tuple(node for node in self.plan.after if node.name not in self.region),
            self.outputs,
        )

    def _placed_buffers(self) -> dict[str, Buffer]:
        """The buffers, those that only the loops of one level use being of one row."""
        users: dict[str, set[int]] = {}
        for number, (drafts, products) in enumerate(
            zip(self.schedule.drafts, self.schedule.products, strict=True)
        ):
            for draft in drafts:
                for statement in draft.statements:
                    users.setdefault(statement.buffer, set()).add(number)
                    for buffer, _ in statement.reads:
                        users.setdefault(buffer, set()).add(number)
            for product in products:
                users.setdefault(product.left, set()).update((number, -1))
                users.setdefault(product.result, set()).update((number, -1))
        for _, target in self.schedule.commits:
            users.setdefault(target, set()).update((-1, -2))
        return {
            name: Buffer(name, "row", buffer.sizes, buffer.dtype)
            if buffer.place == "local"
            and buffer.size <= MAX_ROW_NUMBERS
            and len(users.get(name, set())) < 2
            else buffer
            for name, buffer in self.memory.buffers.items()
        }

    def _loop(self, position: Position, draft: Draft) -> Loop:
        body: list[Load | Compute | Store | Reduce] = []
        names: dict[tuple[str, Place], str] = {}
        for statement in draft.statements:
            value = self._value(body, names, statement.value, statement.place, position)
            if statement.kind == "store":
                body.append(Store(statement.buffer, statement.index, value))
            else:
                body.append(Reduce(statement.buffer, statement.index, value, statement.kind))
        return Loop(draft.sizes, draft.num_reduced, tuple(body))

    def _value(
        self,
        body: list[Load | Compute | Store | Reduce],
        names: dict[tuple[str, Place], str],
        name: str,
        place: Place,
        position: Position,
    ) -> str:
        """Write down how an element is computed, unless it is already; return its name."""
        key = (name, place)
        if key in names:
            return names[key]
        lying = None
        if (
            self.memory.done.get(name, (-1, -1)) < position
            or name not in self.memory.nodes
            or self.memory.nodes[name].packet in RESHAPES
        ):
            lying = self.memory.lying(name, place)
        if lying is not None:
            names[key] = f"v{len(names)}"
            body.append(Load(names[key], *lying, self.memory.buffers[lying[0]].dtype))
            return names[key]
        node = self.memory.nodes[name]
        operands = {
            operand: self._value(body, names, operand, at, position)
            for operand, at in self.memory.operands(name, place)
        }
        if len(operands) == 1 and not self.memory.is_arithmetic(node):
            names[key] = next(iter(operands.values()))
            return names[key]
        names[key] = f"v{len(names)}"
        dtype = self.memory.covered_dtype(name, node.dtype or self.memory.stored)
        body.append(Compute(names[key], node, self._numbers(node, operands), dtype))
        return names[key]

    def _numbers(self, node: Node, operands: dict[str, str]) -> tuple[Any, ...]:
        if node.packet in CONSTANTS:
            value = CONSTANTS[node.packet]
            if value is None:
                value = node.args[0] if node.packet is aten.scalar_tensor else node.args[1]
            if node.packet is aten.new_full:
                value = node.args[2]
            return (value,)

        def leaf(argument: Any) -> Any:
            return Ref(operands[argument.name]) if isinstance(argument, Ref) else argument

        return tuple(map_argument(leaf, argument) for argument in node.args)
