"""The cheapest values from which all that is needed follows.

In go values with their prices, and the values that each follows from; out comes the cheapest set to
buy. It is a minimum cut of a network in which each value is an edge as wide as its price: found as
a maximum flow (Dinic, "Algorithm for solution of a problem of maximum flow in networks with power
estimation", 1970). Of several cheapest sets it is that which lies nearest to what is needed.
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf

START, END = 0, 1


class Cut:
    """Values to buy or to make from others."""

    def __init__(self) -> None:
        self.edges: list[list[int]] = [[], []]  # of each node, those that begin there
        self.ends: list[int] = []  # of each edge; the edge after an even one leads back
        self.room: list[float] = []
        self.nodes: dict[str, int] = {}  # where a value's own edge begins; it ends at the next one

    def need(self, name: str) -> None:
        """Ask for a value."""
        self._join(self._node(name) + 1, END, inf)

    def offer(self, name: str, price: float, operands: Collection[str] | None) -> None:
        """Tell a value's price, and what it follows from: None where it must be bought."""
        node = self._node(name)
        self._join(node, node + 1, price)
        for operand in operands or ():
            self._join(self._node(operand) + 1, node, inf)
        if operands is None:
            self._join(START, node, inf)

    def least(self) -> set[str] | str:
        """The cheapest values to buy; or a value that is needed and not to be had at any price."""
        while (levels := self._levels())[END] >= 0:
            tried = [0] * len(self.edges)
            while path := self._path(levels, tried):
                width = min(self.room[edge] for edge in path)
                if width == inf:
                    last = self.ends[path[-1] ^ 1]
                    return next(name for name, node in self.nodes.items() if node + 1 == last)
                for edge in path:
                    self.room[edge] -= width
                    self.room[edge ^ 1] += width
        near = self._leads_to_end()
        return {name for name, node in self.nodes.items() if near[node + 1] and not near[node]}

    def _node(self, name: str) -> int:
        if name not in self.nodes:
            self.nodes[name] = len(self.edges)
            self.edges += [[], []]
        return self.nodes[name]

    def _join(self, begin: int, end: int, room: float) -> None:
        for node, other, width in ((begin, end, room), (end, begin, 0.0)):
            self.edges[node].append(len(self.ends))
            self.ends.append(other)
            self.room.append(width)

    def _levels(self) -> list[int]:
        """How many edges with room lead from the start to each node; -1 where none do."""
        levels, reached = [-1] * len(self.edges), [START]
        levels[START] = 0
        for node in reached:
            for edge in self.edges[node]:
                if self.room[edge] > 0 and levels[self.ends[edge]] < 0:
                    levels[self.ends[edge]] = levels[node] + 1
                    reached.append(self.ends[edge])
        return levels

    def _path(self, levels: list[int], tried: list[int]) -> list[int]:
        """A shortest way with room from the start to the end, or none."""
        path: list[int] = []
        node = START
        while node != END:
            edges = self.edges[node]
            while tried[node] < len(edges) and not self._leads_on(edges[tried[node]], node, levels):
                tried[node] += 1
            if tried[node] < len(edges):
                path.append(edges[tried[node]])
            elif path:
                path.pop()
                node = self.ends[path[-1]] if path else START
                tried[node] += 1
                continue
            else:
                return []
            node = self.ends[path[-1]]
        return path

    def _leads_on(self, edge: int, node: int, levels: list[int]) -> bool:
        return self.room[edge] > 0 and levels[self.ends[edge]] == levels[node] + 1

    def _leads_to_end(self) -> list[bool]:
        """Of each node, whether a way with room leads from it to the end."""
        leads, found = [False] * len(self.edges), [END]
        leads[END] = True
        for node in found:
            for edge in self.edges[node]:
                begin = self.ends[edge]
                if self.room[edge ^ 1] > 0 and not leads[begin]:
                    leads[begin] = True
                    found.append(begin)
        return leads
