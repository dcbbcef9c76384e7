"""Run the nodes of a graph with torch operations.

This is the meaning of a graph: each node calls its operation on the values of the nodes that it
reads. What follows the batch size gets the number of rows at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rondo.compiler.graph import Node, Ref, Rows, map_argument

Environment = dict[str, Any]


def evaluate(nodes: Iterable[Node], values: Environment, num_rows: int) -> Environment:
    """Run nodes in order, adding their results to `values`.

    Args:
        nodes: What to run, each after those it reads.
        values: The values by name that the nodes may read; results are added in place.
        num_rows: What `B` stands for.
    """
    resolve = _resolver(values, num_rows)
    for node in nodes:
        arguments = [resolve(argument) for argument in node.args]
        keywords = {key: resolve(argument) for key, argument in node.kwargs}
        values[node.name] = node.op(*arguments, **keywords)
    return values


def _resolver(values: Environment, num_rows: int) -> Callable[[Any], Any]:
    def leaf(argument: Any) -> Any:
        if isinstance(argument, Ref):
            return values[argument.name]
        return argument.factor * num_rows if isinstance(argument, Rows) else argument

    def resolve(argument: Any) -> Any:
        if isinstance(argument, tuple):
            return list(map_argument(leaf, argument))
        return leaf(argument)

    return resolve
