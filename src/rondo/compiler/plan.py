"""What must run step by step, and what need not.

In goes a :class:`RecurrentGraph`, out comes a :class:`Plan`: every node in one of four stages, with
the reason. One rule decides: *what lies on a cycle through a delay must run step by step; nothing
else must.* The same rule plans the forward and the backward graph; in the backward graph it puts
the gradient of every weight, a sum over the steps, into `after`, where it is one matrix product
over T*B rows.

Work leaves the loop only where that is proved to be legal (`rows.py`). Random numbers for the rows
of a step may leave it too: drawn for all T*B rows together, every row of every step has its own.
Prior art: CNTK finds loops as strongly connected components; Theano's scan and RETURNN push work
out of loops.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from rondo.compiler.cached import cached_property
from rondo.compiler.graph import Node, RecurrentGraph, StepGraph, is_getitem
from rondo.compiler.layouts import SHARED, SUMMED, Along, Layout, Mixed, OfOneStep
from rondo.compiler.row_table import UNIFORM
from rondo.compiler.rows import row_layouts
from rondo.drawing import Drawing

STAGES = ("constants", "before", "loop", "after")
RUNS = {
    "constants": "once",
    "before": "once, for all steps together",
    "loop": "step by step",
    "after": "once, for all steps together",
}


@dataclass(frozen=True)
class PlannedNode:
    """A node with its place and the reason for it."""

    node: Node
    stage: str
    reason: str
    runner: str | None = None  # who runs it, where that is known

    def __str__(self) -> str:
        runner = "" if self.runner is None else f"; {self.runner} runs it"
        return f"{self.node!s:<64}  # {self.reason}{runner}"


@dataclass(frozen=True)
class Plan:
    """A recurrent graph whose nodes are placed into constants, before, loop and after.

    Printing it shows every node with the reason for its place.
    """

    graph: RecurrentGraph
    nodes: tuple[PlannedNode, ...]

    @property
    def step(self) -> StepGraph:
        """The step that is planned."""
        return self.graph.step

    @cached_property
    def constants(self) -> tuple[Node, ...]:
        """What depends on parameters only: runs once."""
        return self._stage("constants")

    @cached_property
    def before(self) -> tuple[Node, ...]:
        """What depends on the input, not on the state: runs once for all steps."""
        return self._stage("before")

    @cached_property
    def loop(self) -> tuple[Node, ...]:
        """What lies on a loop: runs step by step."""
        return self._stage("loop")

    @cached_property
    def after(self) -> tuple[Node, ...]:
        """What depends on the state but does not reach the next one: runs once for all steps."""
        return self._stage("after")

    @cached_property
    def layouts(self) -> dict[str, Layout]:
        """How every value is related to the rows of the batch."""
        return row_layouts(self.step)

    @cached_property
    def mixes_rows(self) -> str | None:
        """Why rows of the batch may influence each other, or None if they never do."""
        of_rows = (*self.step.outputs, *self.step.next_state)
        for name in (*of_rows, *self.step.sums):
            layout = self.layouts[name]
            is_own_sum = name not in of_rows and isinstance(layout, OfOneStep)
            if isinstance(layout, Mixed) and not is_own_sum:
                return layout.reason
        for name in of_rows:
            if not isinstance(self.layouts[name], Along):
                return f"{name} does not have the rows of the batch"
        return None

    def stage_of(self, name: str) -> str:
        """The stage of a node by its name; an input's kind for an input."""
        return self._stages.get(name) or self._argument_kinds[name]

    @cached_property
    def _stages(self) -> dict[str, str]:
        return {planned.node.name: planned.stage for planned in self.nodes}

    @cached_property
    def _argument_kinds(self) -> dict[str, str]:
        kinds = {value.name: "constants" for value in self.step.parameters}
        kinds |= {value.name: "before" for value in self.step.inputs}
        return kinds | {value.name: "loop" for value in self.step.state}

    def _stage(self, stage: str) -> tuple[Node, ...]:
        return tuple(planned.node for planned in self.nodes if planned.stage == stage)

    def run_by(self, runner: Callable[[str], str | None]) -> Plan:
        """The plan, saying of every node by its name who runs it."""
        nodes = [replace(planned, runner=runner(planned.node.name)) for planned in self.nodes]
        return replace(self, nodes=tuple(nodes))

    def check(self) -> Plan:
        """Return the plan itself; fail where a stage reads what a later stage gives."""
        for planned in self.nodes:
            for name in planned.node.reads:
                earlier = STAGES.index(self.stage_of(name)) <= STAGES.index(planned.stage)
                assert earlier, f"{planned} reads {name}, which runs in {self.stage_of(name)}"
        return self

    def __str__(self) -> str:
        lines = [f"{kind}: {', '.join(map(str, values))}" for kind, values in self._inputs()]
        for stage in STAGES:
            lines.append(f"{stage} ({RUNS[stage]})")
            lines += [f"  {planned}" for planned in self.nodes if planned.stage == stage]
        lines.append(f"outputs: {', '.join(self.step.outputs) or 'none'}")
        lines += [str(loop) for loop in self.graph.loops]
        if self.step.sums:
            lines.append(f"summed over the steps: {', '.join(self.step.sums)}")
        return "\n".join(lines)

    def draw(self, path: str | Path | None = None) -> Drawing:
        """Draw the plan: the operations in the colours of their stages.

        A notebook shows the drawing; it is saved where a path is given, as the ending says.
        """
        from rondo.compiler.readable import picture_of

        drawing = Drawing(picture_of(self.graph, self))
        return drawing if path is None else drawing.save(path)

    def _repr_svg_(self) -> str:
        return self.draw().svg

    def _inputs(self) -> tuple[tuple[str, Iterable[object]], ...]:
        step = self.step
        return ("parameters", step.parameters), ("inputs", step.inputs), ("state", step.state)


def plan(graph: RecurrentGraph) -> Plan:
    """Place every node of a recurrent graph into constants, before, loop or after."""
    step, layouts = graph.step, row_layouts(graph.step)
    fixed = _fixed_to_step(step, layouts)
    reached = {value.name: _descendants(step.nodes, {value.name}) for value in step.state}
    stepwise = _descendants(step.nodes, set(reached) | set(fixed))
    looped = _ancestors(step.nodes, set(step.next_state) | set(fixed))
    looped |= {node.name for node in step.nodes if is_getitem(node) and node.reads[0] in looped}
    from_input = _descendants(step.nodes, {value.name for value in step.inputs})

    def place(node: Node) -> tuple[str, str]:
        name, layout = node.name, layouts[node.name]
        if name in fixed:
            return "loop", fixed[name]
        if name in stepwise and name in looped:
            states = [state for state in reached if name in reached[state]]
            return (
                "loop",
                f"on the way from {' and '.join(states) or 'such a node'} to the next step",
            )
        if name in stepwise and layout == SUMMED:
            return "after", "summed over the steps: one sum over all T*B rows"
        if name in stepwise:
            return "after", "depends on the state but does not reach the next state"
        if name in from_input:
            return "before", "depends on the input, not on the state"
        if layout == SHARED:
            return "constants", "depends on parameters only"
        return "before", "depends on nothing, but has rows of its own at every step"

    nodes = tuple(PlannedNode(node, *place(node)) for node in step.nodes)
    return Plan(graph, _constants_where_read(nodes, (*step.outputs, *step.next_state))).check()


def _constants_where_read(
    nodes: tuple[PlannedNode, ...], ends: Collection[str]
) -> tuple[PlannedNode, ...]:
    """The nodes, those that make the same number for all rows being where it is first read."""
    first: dict[str, str] = dict.fromkeys(ends, "before")
    for planned in nodes:
        for name in planned.node.reads:
            first[name] = min(first.get(name, "after"), planned.stage, key=STAGES.index)

    def moved(planned: PlannedNode) -> PlannedNode:
        node, is_constant = planned.node, planned.node.packet in UNIFORM and not planned.node.reads
        if planned.stage != "before" or not is_constant or node.name not in first:
            return planned
        reason = "depends on nothing, and is made where it is read"
        return replace(planned, stage=first[node.name], reason=reason)

    return tuple(map(moved, nodes))


def _fixed_to_step(step: StepGraph, layouts: dict[str, Layout]) -> dict[str, str]:
    """The nodes that may not leave the loop, whatever they depend on, and why."""
    fixed = {}
    for node in step.nodes:
        layout = layouts[node.name]
        if isinstance(layout, Mixed):
            fixed[node.name] = layout.reason
    to_rows = _ancestors(step.nodes, {*step.outputs, *step.next_state, *fixed})
    for node in step.nodes:
        if node.name in to_rows and layouts[node.name] == SUMMED:
            fixed[node.name] = "sums over the rows of one step"
    return fixed


def _descendants(nodes: tuple[Node, ...], roots: set[str]) -> set[str]:
    found = set(roots)
    for node in nodes:
        if not found.isdisjoint(node.reads):
            found.add(node.name)
    return found


def _ancestors(nodes: tuple[Node, ...], ends: set[str]) -> set[str]:
    found = set(ends)
    for node in reversed(nodes):
        if node.name in found:
            found.update(node.reads)
    return found
