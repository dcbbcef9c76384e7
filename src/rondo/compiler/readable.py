"""A step as people draw it: few nodes, weights on the edges, loops with a delay.

In goes a recurrent graph, perhaps with its plan; out comes a :class:`Picture`. A product with a
weight becomes the label of an edge, a sum becomes edges that meet, views and transpositions
vanish, and the parts of a split are edges from one node. Where a plan is shown, what runs in
another stage than its reader stays a node of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from rondo.compiler.graph import Node, RecurrentGraph, Ref, is_getitem
from rondo.compiler.plan import RUNS, STAGES, Plan
from rondo.compiler.spelling import (
    PARTS,
    PRODUCTS,
    SUMS,
    UNSEEN,
    op_label,
    part_label,
    weight_label,
)
from rondo.drawing import Arrow, Mark, Picture

aten = torch.ops.aten

ARITHMETIC = UNSEEN | SUMS | PRODUCTS | {aten.mul, aten.native_layer_norm}
"""What a part may pass through and still be called after the value that is made of it."""


@dataclass(frozen=True)
class Term:
    """One summand of a value: the node that it comes from, and what is written on the way."""

    source: str
    label: str = ""
    is_product: bool = False


Terms = tuple[Term, ...]


def picture_of(graph: RecurrentGraph, plan: Plan | None = None) -> Picture:
    """The picture of a step with its loops; coloured by stage where a plan is given."""
    return _Reader(graph, plan).read()


@dataclass
class _Reader:
    """Reads a step from its first node to its last."""

    graph: RecurrentGraph
    plan: Plan | None
    marks: dict[str, Mark] = field(default_factory=dict)
    arrows: list[tuple[Term, str]] = field(default_factory=list)
    terms: dict[str, Terms] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)  # parameters and what is made of them
    same: dict[str, str] = field(default_factory=dict)  # views, and what they are views of
    readers: dict[str, list[str]] = field(default_factory=dict)  # the nodes that read each value

    def read(self) -> Picture:
        step = self.graph.step
        self.weights = {value.name: value.name for value in step.parameters}
        for value in step.inputs:
            self.marks[value.name] = Mark(
                value.name, self.labels.get(value.name, value.name), "input", is_timed=True
            )
            self.terms[value.name] = (Term(value.name),)
        for value in step.state:
            self.terms[value.name] = (Term(_state(value.name)),)
        self.uses = self._count_uses()
        for node in step.nodes:
            for name in node.reads:
                self.readers.setdefault(name, []).append(node.name)
        for node in step.nodes:
            self._read_node(node)
        for index, name in enumerate(step.outputs):
            self._add_end(name, "output", self._output_label(index, name))
        for name in step.sums:
            self._add_end(name, "sum", name)
        return self._closed()

    @property
    def labels(self) -> Mapping[str, str]:
        """What the cell calls its values."""
        return self.graph.labels

    def _count_uses(self) -> Counter[str]:
        step = self.graph.step
        uses = Counter((*step.outputs, *step.next_state, *step.sums))
        for node in reversed(step.nodes):
            if node.packet in UNSEEN and node.reads:
                self.same[node.name] = node.reads[0]
                uses[node.reads[0]] += uses[node.name]
            else:
                uses.update(node.reads)
        return uses

    # ---- one node ----

    def _read_node(self, node: Node) -> None:
        if node.reads and all(name in self.weights for name in node.reads):
            self._read_constant(node)
        elif node.packet in UNSEEN and node.reads:
            self.terms[node.name] = self.terms[node.reads[0]]
        elif is_getitem(node) or node.packet in PARTS:
            self._read_part(node)
        elif node.packet in PRODUCTS and (factors := self._factors_of(node)) is not None:
            self._read_product(node, *factors)
        elif node.packet in SUMS and len(node.reads) == 2 and not node.kwargs:
            self._read_sum(node)
        elif node.packet is aten.mul and (scaled := self._scaled(node)) is not None:
            self.terms[node.name] = (Term(self._node_of(scaled[0]), scaled[1], True),)
        elif node.packet is aten.neg:
            self.terms[node.name] = (Term(self._node_of(node.reads[0]), "−", True),)
        else:
            self._add_operation(node)

    def _read_constant(self, node: Node) -> None:
        """What depends on parameters only is seen where a plan shows it as work of its own."""
        if node.packet in UNSEEN:
            self.weights[node.name] = self.weights[node.reads[0]]
        elif self.plan is None:
            own = self.labels.get(node.name)
            of = ", ".join(dict.fromkeys(self.weights[name] for name in node.reads))
            if is_getitem(node) or node.packet in PARTS:
                whole = of + part_label(node)
            else:
                whole = of if of.startswith("f(") else f"f({of})"
            self.weights[node.name] = own or whole
        else:
            self._add_operation(node)

    def _read_part(self, node: Node) -> None:
        whole = node.reads[0]
        source = self._node_of(whole)
        label = self.labels.get(node.name, "")
        part = re.fullmatch(r"(\w+)(\[\d+\])", label)
        if part:
            label = self._made_of(node.name) or part[2]
            mark = self.marks.get(source)
            if mark is not None and not mark.caption and mark.kind == "operation":
                self.marks[source] = replace(mark, caption=part[1])
        elif not label and not self._gives_one(whole):
            label = self._made_of(node.name) or part_label(node)
        self.terms[node.name] = (Term(source, label),)

    def _made_of(self, name: str) -> str:
        """What the cell calls the value that alone is made of a part: the gate r of from_x[0]."""
        while self.uses[name] == 1 and (readers := self.readers.get(name)):
            node = self.graph.step.by_name[name := readers[0]]
            label = self.labels.get(name, "")
            if label and not label.endswith("]"):
                return label
            if not (isinstance(node, Node) and node.packet in ARITHMETIC):
                return ""
        return ""

    def _gives_one(self, name: str) -> bool:
        """Whether an operation with several results is one of which the first alone matters."""
        node = self.graph.step.by_name.get(name)
        return isinstance(node, Node) and node.shape is None and node.packet not in PARTS

    def _factors_of(self, node: Node) -> tuple[str, str] | None:
        """The value and the weight of a product; None where it is none of one with the other."""
        first, second = (ref.name for ref in node.args[-2:])
        if node.kwargs or (first in self.weights) == (second in self.weights):
            return None
        return (second, first) if first in self.weights else (first, second)

    def _read_product(self, node: Node, data: str, weight: str) -> None:
        """A product with a weight, and what is added to it."""
        added = [ref.name for ref in node.args[:-2]]
        biases = [self.weights[name] for name in added if name in self.weights]
        label = weight_label(self.weights[weight], biases)
        terms = [term for name in added if name not in self.weights
                 for term in self._terms_for(name, node.name)]  # fmt: skip
        self.terms[node.name] = (*terms, Term(self._node_of(data), label, is_product=True))

    def _read_sum(self, node: Node) -> None:
        terms: list[Term] = []
        sign = "−" if node.packet is aten.sub else ""
        for position, name in enumerate(node.reads):
            if name in self.weights:
                continue
            found = self._terms_for(name, node.name)
            if position == 1 and sign:
                found = tuple(replace(t, label=f"{sign} {t.label}".strip()) for t in found)
            terms += found
        for bias in (self.weights[name] for name in node.reads if name in self.weights):
            last = terms[-1]
            terms[-1] = replace(last, label=f"{last.label} + {bias}".strip(), is_product=True)
        self.terms[node.name] = tuple(terms)

    def _scaled(self, node: Node) -> tuple[str, str] | None:
        """The value and the label, where a value is multiplied by a weight or a number."""
        a, b = node.args[:2]
        for data, factor in ((a, b), (b, a)):
            if isinstance(data, Ref) and data.name not in self.weights:
                if isinstance(factor, Ref) and factor.name in self.weights:
                    return data.name, f"⊙ {self.weights[factor.name]}"
                if isinstance(factor, int | float):
                    return data.name, f"× {factor:g}"
        return None

    def _add_operation(self, node: Node) -> None:
        """A node of its own, with an edge from each value that it reads."""
        id = f"op {node.name}"
        self._add_mark(id, node.name, op_label(node))
        values = [name for name in node.reads if name not in self.weights]
        for name in dict.fromkeys(node.reads):
            if name not in self.weights:
                terms = self._terms_for(name, node.name)
                if len(terms) > 1 and len(values) > 1:  # a sum that is one value of several
                    terms = (Term(self._node_of(name)),)
                self.arrows += [(term, id) for term in terms]
            elif "norm" not in node.op_name or self._stage(node.name) == "constants":
                self.arrows.append((Term(self._parameter(self.weights[name])), id))
        self.terms[node.name] = (Term(id),)

    def _parameter(self, name: str) -> str:
        id = f"parameter {name}"
        self.marks.setdefault(id, Mark(id, name, "parameter"))
        return id

    # ---- values as edges, or as a node where that is clearer ----

    def _terms_for(self, name: str, reader: str) -> Terms:
        """A value as edges to its reader; it becomes a node where others read it too."""
        first = self._first(name)
        terms = self.terms[first]
        is_plain = len(terms) == 1 and not terms[0].is_product
        is_shared = self.uses[first] > 1 or self._stage(first) != self._stage(reader)
        return (Term(self._node_of(name)),) if is_shared and not is_plain else terms

    def _first(self, name: str) -> str:
        while name in self.same:
            name = self.same[name]
        return name

    def _node_of(self, name: str) -> str:
        """The node of a value; a sum gets one where it has none."""
        name = self._first(name)
        if name in self.weights:
            return self._parameter(self.weights[name])
        terms = self.terms[name]
        if len(terms) == 1 and not terms[0].label:
            return terms[0].source
        label = "Σ" if any(term.is_product for term in terms) else "+"
        if len(terms) == 1 and not terms[0].is_product:
            label = terms[0].label.strip("[]")
        elif len(terms) == 1 and terms[0].label[0] in "⊙×−":
            label, text = terms[0].label[0].replace("⊙", "×"), terms[0].label[1:].strip()
            terms = (replace(terms[0], label=text),)
        id = f"meet {name}"
        self._add_mark(id, name, label)
        self.arrows += [(term, id) for term in terms]
        self.terms[name] = (Term(id),)
        return id

    def _add_mark(self, id: str, name: str, label: str) -> None:
        caption = self.labels.get(name, "")
        caption = "" if caption == label or caption.endswith("]") else caption
        self.marks[id] = Mark(id, label, "operation", caption, self._stage(name))

    def _stage(self, name: str) -> str | None:
        return None if self.plan is None else self.plan.stage_of(name)

    # ---- ends and loops ----

    def _add_end(self, name: str, kind: str, label: str) -> None:
        id = f"{kind} {name}"
        if id in self.marks:
            return
        is_weight = self._first(name) in self.weights
        terms = (Term(self._node_of(name)),) if is_weight else self._terms_for(name, name)
        is_work = len(terms) > 1 or bool(terms[0].label)
        stage = self._stage(name) if is_work else None
        self.marks[id] = Mark(id, label, kind, stage=stage, is_timed=kind == "output")
        self.arrows += [(term, id) for term in terms]

    def _output_label(self, index: int, name: str) -> str:
        """The letter y; the name of a gradient, or of a state that is wanted too."""
        if index == 0 and not name.startswith("grad_"):
            return "y"
        return self.labels.get(name, name)

    def _closed(self) -> Picture:
        """The picture, with edges from the nodes of the next states in place of the states."""
        sources = {value.name: self._state_source(value.name) for value in self.graph.step.state}
        arrows = []
        for term, target in self.arrows:
            if not term.source.startswith("state "):
                arrows.append(Arrow(term.source, target, term.label))
                continue
            source, delay, name = sources[term.source.removeprefix("state ")]
            stage = None if self.plan is None else "loop"
            arrows.append(Arrow(source, target, term.label, delay, name, stage))
        for mark in self.marks.values():
            if mark.kind == "state":
                arrows.append(Arrow(mark.id, mark.id, delay=1, carries=mark.label))
        return Picture(tuple(self.marks.values()), tuple(arrows), self._legend()).check()

    def _state_source(self, state: str) -> tuple[str, int, str]:
        """The node whose value a state is, after how many steps, and the name of that."""
        step = self.graph.step
        nexts = dict(zip((value.name for value in step.state), step.next_state, strict=True))
        delay, name = 1, state
        while self._first(nexts[name]) in nexts:
            name, delay = self._first(nexts[name]), delay + 1
            if delay > len(nexts):
                id, name = f"kept {name}", self.labels.get(name, name)
                self.marks.setdefault(id, Mark(id, name, "state"))
                return id, 1, name
        source = self._node_of(nexts[name])
        mark = self.marks[source]
        if mark.kind == "operation" and mark.caption not in ("", "y"):  # y is the output's name
            return source, delay, mark.caption
        if mark.kind == "operation":
            self.marks[source] = replace(mark, caption=name)
        return source, delay, mark.label if mark.kind == "input" else name

    def _legend(self) -> tuple[tuple[str, str], ...]:
        if self.plan is None:
            return ()
        counts = Counter(planned.stage for planned in self.plan.nodes)
        return tuple(
            (
                stage,
                f"{stage}: {counts[stage]} operation{'s' * (counts[stage] != 1)}, {RUNS[stage]}",
            )
            for stage in STAGES
        )


def _state(name: str) -> str:
    return f"state {name}"
