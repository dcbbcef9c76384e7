"""Products of rows with matrices: where the factors lie, and in which order they can be computed.

In go a product's node and the place for its result, out come the product and the matrix that it
reads, in the level of the schedule in which its factor is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from rondo.compiler.graph import Node
from rondo.compiler.kernel import Matrix, NotCoveredError, Product, short
from rondo.compiler.memory import Memory
from rondo.compiler.stores import Stores
from rondo.compiler.views import Index, row_dim, row_sizes, variable

aten = torch.ops.aten


@dataclass(frozen=True)
class Products:
    """Writes down the products of one stage of a kernel.

    Args:
        memory: Where the factors lie.
        stores: Writes values into memory.
        constants: What is computed once of parameters alone, by name.
        matrices: All matrices that the kernel reads; those of these products are added.
        exact: Whether a factor must keep all digits of the arithmetic.
    """

    memory: Memory
    stores: Stores
    constants: Mapping[str, Node]
    matrices: list[Matrix]
    exact: bool

    def write(self, node: Node, place: str) -> None:
        """Write the product of a node into memory of its own."""
        rows, matrix, transposed = self._factors_of(node)
        shapes = {name: self.memory.values[name].shape or () for name in (rows, matrix)}
        several = node.packet is aten.bmm
        depth, width = row_sizes(shapes[matrix])[-2:]
        if transposed:
            depth, width = width, depth
        self.memory.new_buffer(node.name, place)
        level = 0
        for batch in range(row_sizes(shapes[rows])[0] if several else 1):
            buffer, offset = self._factor_in_memory(node, rows, batch if several else None)
            level = max(level, self._level_after(buffer))
            tensor, turned = self._matrix(matrix)
            key = Matrix(tensor, depth, width, batch if several else None, transposed != turned)
            if key not in self.matrices:
                self.matrices.append(key)
            number = self.matrices.index(key)
            self.stores.schedule.reach(level)
            self.stores.schedule.products[level].append(
                Product(node.name, batch * width, buffer, offset, number)
            )
        self.memory.done[node.name] = (level + 1, -1)

    def _matrix(self, name: str) -> tuple[str, bool]:
        """The tensor in which a matrix lies, and whether it lies there transposed."""
        node = self.constants.get(name)
        is_turned = node is not None and node.packet is aten.t and len(node.shape or ()) == 2
        return (node.args[0].name, True) if node is not None and is_turned else (name, False)

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
            raise NotCoveredError(
                f"{node.op_name} multiplies by {short(dtype)} in a step of {short(stored)}",
                node.name,
            )
        if dim != len(shapes[rows]) - (1 if transposed else 2):
            raise NotCoveredError(f"{node.op_name} of a matrix for each row of the batch")
        return rows, matrix, transposed

    def _factor_in_memory(self, node: Node, rows: str, batch: int | None) -> tuple[str, int]:
        """The buffer in which the rows of a product lie, and where in a row they begin."""
        lying = self._row_in_memory(rows, batch)
        if lying is None:
            self.stores.keep_as_it_is(rows)
            lying = self._row_in_memory(rows, batch)
        assert lying is not None, f"{rows} was kept"
        dtype = self.memory.buffers[lying[0]].dtype
        if dtype != self.memory.dtype and (self.exact or dtype != self.memory.stored):
            raise NotCoveredError(
                f"{node.op_name} reads {short(dtype)} in a step of {short(self.memory.dtype)}",
                node.name,
            )
        return lying

    def _row_in_memory(self, rows: str, batch: int | None) -> tuple[str, int] | None:
        """Where a row lies, of one matrix of several; None where its numbers lie apart."""
        *_, depth = row_sizes(self.memory.values[rows].shape or ())
        whole = self.memory.whole(rows)
        place = whole if batch is None else (Index((), batch), *whole[1:])
        place = tuple(variable(0) if isinstance(i, Index) and i.coefficients else i for i in place)
        lying = self.memory.resolve(rows, place)
        if lying is None or (lying[1].coefficients != (1,) and depth > 1):
            return None
        return lying[0], lying[1].offset

    def _level_after(self, buffer: str) -> int:
        """The first level whose products can read a buffer."""
        return self.memory.done.get(buffer, (0, 0))[0]
