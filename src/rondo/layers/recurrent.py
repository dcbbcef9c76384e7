"""`Recurrent`: a cell run over all steps of a batch of sequences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rondo.cells import initial_state
from rondo.compiler import (
    Engine,
    EngineName,
    KernelEngine,
    Parallel,
    Plan,
    Program,
    RecurrentGraph,
    Solution,
    UnrolledGraph,
    is_parallel,
    unroll,
)
from rondo.compiler.attributes import Surroundings, surroundings
from rondo.compiler.names import LazyNames, saved_names
from rondo.compiler.state import flatten, map_state
from rondo.layers.checks import (
    check_checkpoint_every,
    check_engine,
    check_state,
    steps_between,
)
from rondo.layers.compiled import Programs
from rondo.layers.drawn import draw_layer, layer_as_svg
from rondo.layers.loop_shortcut import Seen, key_of, recall, remember
from rondo.layers.making import Fallback
from rondo.layers.names import names_of, state_form
from rondo.layers.sequence import (
    Packing,
    check_jagged,
    check_lengths,
    check_resets,
    dense,
    jagged,
    jagged_like,
    ragged,
)
from rondo.layers.single_steps import step
from rondo.layers.stream import Stream


class Recurrent(nn.Module):
    """A loop: one cell, run step by step over sequences.

    (y(t), s(t)) = cell(x(t), s(t-1)) for t = 1 ... T. Every row of the batch is a sequence of its
    own; padding and the other rows never change its result.

    The cell is compiled at the first call for each kind of input (dtype, device, sizes, training
    or not, what needs a gradient): its step is recorded, what need not run step by step is taken
    out of the loop, and the backward pass is planned in the same way. Once, the result is compared
    with a plain loop over the cell (:func:`rondo.check` does so at any time). A changed attribute
    of the cell is noticed, and so is a changed global variable that its functions read.

    `torch.compile(layer, fullgraph=True)` and `torch.export.export(layer, ...)` make one graph for
    any number of rows and steps. It holds the name of the compiled cell alone: to run a saved one
    in another process, make a layer with the same cell there before `torch.export.load`, and call
    it once on the same kind of input, with or without gradients as when it was exported.

    Args:
        cell: Any module whose `forward(x, state)` returns `(output, new_state)`.
        batch_first: Whether sequences are (B, T, ...), rather than (T, B, ...).
        reverse: Whether to run from the last step of each row to its first.
        engine: What runs the loop: "cpu", a kernel compiled for the cell; "cuda", the same on a
            GPU, by Triton, in float32, bfloat16 or float16; "reference", torch operations;
            "plain", the cell as it is, step by step, whatever it does; "auto", a kernel where one
            can be had, otherwise the reference engine or the plain loop, with a warning that says
            why; "parallel", all steps at once, forward and backward: a scan where the loop is
            linear in the state, elsewhere Newton's method, whose settings :class:`rondo.Newton`
            has; `solution` tells how the last call went. Under `vmap`, `torch.func` and
            forward-mode AD the plain loop runs.
        checkpoint_every: For long sequences: keep for the backward pass the state of every so many
            steps and compute the rest again, instead of keeping all that it reads. "auto" is
            twice the square root of T, rounded up: memory beside x and y then grows as that root.
            Default None: keep everything. Under `vmap`, `torch.func` and forward-mode AD everything
            is kept all the same.

    Shape:
        x (B, T, ...); y (B, T, ...) with the cell's output; state as the cell's, (B, ...).

    Example:
        >>> import torch, rondo
        >>> layer = rondo.Recurrent(rondo.GRUCell(3, 5))
        >>> y, h = layer(torch.randn(2, 7, 3), lengths=torch.tensor([7, 4]))
        >>> bool((y[1, 4:] == 0).all() and (y[1, 3] == h[1]).all())
        True
    """

    def __init__(
        self,
        cell: nn.Module,
        *,
        batch_first: bool = True,
        reverse: bool = False,
        engine: EngineName = "auto",
        checkpoint_every: int | Literal["auto"] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(cell, nn.Module):
            raise TypeError(
                "cell must be a module whose forward(x, state) returns (output, new_state), got "
                f"{cell!r}; give an instance, not a class"
            )
        self.cell = cell
        self.batch_first = batch_first
        self.reverse = reverse
        check_engine(engine)
        self.engine = engine
        check_checkpoint_every(checkpoint_every)
        self.checkpoint_every = checkpoint_every
        self._programs = Programs()

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: Any = None,
        *,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
        return_states: bool = False,
    ) -> tuple[Any, ...]:
        """Run the cell over all steps.

        Args:
            x: Sequences (B, T, ...), a `PackedSequence`, or a jagged nested tensor (B, j, ...).
            state: The state before the first step, (B, ...); default the cell's initial state.
            lengths: (B,) the steps of each row, 0 to T; a row past its length keeps its last state
                and gives zeros. Default T for all.
            resets: (B, T) bool: where true, the state is again the one before the first step: the
                given `state`, where one is given. For sequences cut into pieces see
                :func:`rondo.training.tbptt`.
            return_states: Whether to return the states of all steps too.

        Returns:
            The output of all steps (B, T, ...), in the form of x where that is packed or nested;
            the state after the last step of each row; with `return_states` the states after all
            steps, each tensor of the state laid out like the output.

        Raises:
            ValueError: Where shapes do not fit, or ragged sequences meet a cell that mixes rows.
            TypeError: Where something is not a tensor of the right kind.

        Example:
            >>> import torch, rondo
            >>> layer = rondo.Recurrent(rondo.LSTMCell(3, 5))
            >>> y, (h_n, c_n), (h, c) = layer(torch.randn(2, 7, 3), return_states=True)
            >>> c.shape, bool((c[:, -1] == c_n).all())
            (torch.Size([2, 7, 5]), True)
        """
        is_whole = lengths is None and resets is None and not return_states
        seen = key_of(self, x, state) if is_whole else None
        if seen is not None:
            found = recall(self, seen, x)
            if not isinstance(found, Seen):
                return found
            state = found.state
        held = None if seen is None else seen.held
        given = self._given(x, lengths, resets)
        returned, state = self._long_way(given, state, held, return_states=return_states)
        if seen is not None:
            remember(self, seen, x, state)
        return returned

    def _long_way(
        self,
        given: _Given,
        state: Any,
        held: Surroundings | None,
        *,
        return_states: bool,
    ) -> tuple[tuple[Any, ...], Any]:
        """What `forward` returns, with all checks, and the state that it began with."""
        example = given.rows.new_zeros(given.batch_size, *given.rows.shape[1:])
        state = initial_state(self.cell, example) if state is None else state
        check_state(flatten(state)[0], given.batch_size)
        if torch.compiler.is_dynamo_compiling():
            self._read_cell(example, state)
        y, last, states = self._programs.run(
            self.cell,
            given.rows,
            state,
            given.packing,
            engine=self.engine,
            resets=given.resets,
            reverse=self.reverse,
            checkpoint_every=steps_between(
                self.checkpoint_every, given.packing.batch_sizes.shape[0]
            ),
            return_states=return_states,
            known=held,
        )
        y = given.unpack(y)
        more = (map_state(given.unpack, states),) if return_states else ()
        return (y, last, *more), state

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One step, for streams: x (B, ...) and the state so far; the output and the new state.

        Without gradients a kernel runs it whose weights stay packed from step to step; a change of
        a parameter or an attribute of the cell is noticed. With gradients, or where there is no
        kernel, the cell runs itself.

        Example:
            >>> import torch, rondo
            >>> layer, state = rondo.Recurrent(rondo.GRUCell(3, 5)), None
            >>> with torch.no_grad():
            ...     for x in torch.randn(4, 1, 3):
            ...         y, state = layer.step(x, state)
            >>> y.shape
            torch.Size([1, 5])
        """
        state = initial_state(self.cell, x) if state is None else state
        if self.engine not in ("reference", "plain") and not torch.compiler.is_compiling():
            found = step(self._programs, self.cell, x, state, self._stepping_engine)
            if found is not None:
                return found
        return cast(tuple[Tensor, Any], self.cell(x, state))

    def stream(self, state: Any = None) -> Stream:
        """A sequence that arrives one step at a time, from a state on: faster than `step`.

        Args:
            state: The state before the first step, (B, ...); default the cell's initial state.

        Example:
            >>> import torch, rondo
            >>> stream = rondo.Recurrent(rondo.GRUCell(3, 5)).stream()
            >>> for x in torch.randn(4, 1, 3):
            ...     y = stream(x)
            >>> y.shape, stream.state.shape
            (torch.Size([1, 5]), torch.Size([1, 5]))
        """
        return Stream(self, state)

    @property
    def graph(self) -> RecurrentGraph:
        """The cell as a graph with loops."""
        return self.plan.graph

    @property
    def plan(self) -> Plan:
        """What of the forward pass runs step by step, what does not, why, and who runs it."""
        program = self._program()
        plan = _explained(program.plan, program.run)
        return _named(plan, LazyNames(lambda: names_of(self.cell, plan.step)))

    @property
    def backward_plan(self) -> Plan:
        """What of the backward pass runs step by step, what does not, why, and who runs it."""
        program = self._program()
        if program.gradient is None:
            raise ValueError("this cell has no planned backward pass: no gradient was wanted")
        plan = _explained(program.backward, program.run_backward)
        step = program.gradient.forward.step
        inputs = [value.name for value in plan.step.inputs]
        names = self.graph.labels
        return _named(plan, LazyNames(lambda: saved_names(step, names, inputs)))

    def unroll(self, num_steps: int) -> UnrolledGraph:
        """The layer without its loop, as an executable graph of T steps.

        It holds the cell's own parameters, and takes x (B, T, ...), then each tensor of the state;
        it returns the output and the state, as the layer does.

        Example:
            >>> import torch, rondo
            >>> layer = rondo.Recurrent(rondo.LSTMCell(3, 5))
            >>> x, h, c = torch.randn(2, 4, 3), torch.zeros(2, 5), torch.zeros(2, 5)
            >>> y, (h_n, c_n) = layer.unroll(4)(x, h, c)
            >>> torch.allclose(y, layer(x)[0], atol=1e-6)
            True
        """
        program = self._program()
        own = [*surroundings(self.cell).tensors.values(), *program.captured]
        parameters = {
            value.name: tensor
            for value, tensor in zip(program.graph.step.parameters, own, strict=True)
        }
        graph = self.graph  # of a call with return_states it has further outputs
        return unroll(
            replace(graph, step=replace(graph.step, outputs=graph.step.outputs[:1])),
            num_steps,
            parameters=parameters,
            form=state_form(self.cell, program.graph.step),
            reverse=self.reverse,
        )

    draw = draw_layer
    _repr_svg_ = layer_as_svg

    @property
    def source(self) -> str:
        """The kernel that runs the loop of the forward pass: C, or on a GPU Triton's language.

        Raises:
            ValueError: Where another engine runs it, with the reason.
        """
        engine = self._program().run
        if isinstance(engine, KernelEngine):
            return engine.source
        if isinstance(engine, Parallel):
            raise ValueError("there is no kernel, the parallel engine solves the loop")
        reason = getattr(engine, "reason", None) or f"engine is {self.engine!r}"
        raise ValueError(f"there is no kernel, the reference engine runs this cell: {reason}")

    def extra_repr(self) -> str:
        """What differs from the defaults, as torch prints it."""
        parts = [] if self.batch_first else ["batch_first=False"]
        parts += ["reverse=True"] if self.reverse else []
        parts += [] if self.engine == "auto" else [f"engine={self.engine!r}"]
        every = self.checkpoint_every
        return ", ".join(parts if every is None else [*parts, f"checkpoint_every={every!r}"])

    @property
    def solution(self) -> Solution | None:
        """How the parallel engine solved the last forward pass; None before one."""
        return self._solution("run_forward", "run")

    @property
    def backward_solution(self) -> Solution | None:
        """How the parallel engine solved the last backward pass; None before one."""
        return self._solution("run_backward")

    # ---- running ----

    def _solution(self, *names: str) -> Solution | None:
        """The last solution of the engines with these names in the newest program that has one."""
        for program in reversed(self._programs.by_kind.values()):
            if isinstance(program, Fallback):
                continue
            for engine in (vars(program).get(name) for name in names):  # those that were run
                if isinstance(engine, Parallel) and engine.solution is not None:
                    return engine.solution
        return None

    @property
    def _stepping_engine(self) -> EngineName:
        """The engine for one step, where nothing is to be solved."""
        return "auto" if is_parallel(self.engine) else self.engine

    def _given(self, x: Any, lengths: Tensor | None, resets: Tensor | None) -> _Given:
        """Sequences in any form as packed rows."""
        if isinstance(x, PackedSequence):
            _check_alone("a PackedSequence", lengths, resets)
            return _Given(
                x.data,
                Packing(x.batch_sizes, order=x.sorted_indices),
                int(x.batch_sizes[0]),
                None,
                lambda rows: x._replace(data=rows),
            )
        if not isinstance(x, Tensor) or x.ndim < 2:
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"x must be sequences (B, T, ...) or a PackedSequence, got {got}")
        if x.is_nested:
            _check_alone("a nested tensor", lengths, resets)
            check_jagged(x, self.batch_first)
            packing = jagged(x)
            return _Given(
                packing.gather(x.values()),
                packing,
                x.shape[0],
                None,
                lambda rows: jagged_like(x, packing.scatter(rows, len(x.values()))),
            )
        return self._given_padded(x, lengths, resets)

    def _given_padded(self, x: Tensor, lengths: Tensor | None, resets: Tensor | None) -> _Given:
        x = x if self.batch_first else x.transpose(0, 1)
        batch_size, num_steps = x.shape[:2]
        packing = dense(batch_size, num_steps)
        if lengths is not None:
            check_lengths(lengths, batch_size, num_steps)
            packing = ragged(lengths.to(x.device), num_steps)
        if resets is not None:
            check_resets(resets, batch_size, num_steps)
            resets = packing.pack(resets.to(x.device))

        def unpack(rows: Tensor) -> Tensor:
            padded = packing.pad(rows, batch_size, num_steps)
            return padded if self.batch_first else padded.transpose(0, 1)

        return _Given(packing.pack(x), packing, batch_size, resets, unpack)

    def _read_cell(self, x: Tensor, state: Any) -> None:
        """Have `torch.compile` see what the step reads, so that it notices where that changes.

        The cell is compiled apart from the graph of torch's, which drops this call: nobody uses
        its result.
        """
        one_x, one_state = map_state(lambda t: t.new_zeros(1, *t.shape[1:]), (x, state))
        self.cell(one_x, one_state)

    def _program(self) -> Program:
        """The program of the last new kind of input, or one for zeros of the cell's input size."""
        if not self._programs.by_kind:
            size = getattr(self.cell, "input_size", None)
            if not isinstance(size, int):
                raise ValueError(
                    "the graph is known after the first call; call the layer once, or give the "
                    "cell an attribute input_size"
                )
            like = next(self.cell.parameters(), torch.zeros((), device="cpu"))
            sizes = (1, 0, size) if self.batch_first else (0, 1, size)
            with torch.enable_grad():
                self(like.new_zeros(sizes, requires_grad=True))
        program = next(reversed(self._programs.by_kind.values()), None)
        if program is None:
            raise ValueError("there is no graph: engine='plain' runs the cell as it is")
        if isinstance(program, Fallback):
            raise ValueError(f"there is no graph of {type(self.cell).__name__}: {program.reason}")
        return program


def _explained(plan: Plan, engine: Engine) -> Plan:
    """The plan, saying who runs what where a kernel runs a part."""
    return engine.explained() if isinstance(engine, KernelEngine) else plan


def _named(plan: Plan, labels: Mapping[str, str]) -> Plan:
    """The plan with the cell's words for its values, for pictures."""
    return replace(plan, graph=replace(plan.graph, labels=labels))


class _Given(NamedTuple):
    """Sequences as packed rows, and the way back to the form in which they came."""

    rows: Tensor
    packing: Packing
    batch_size: int
    resets: Tensor | None
    unpack: Callable[[Tensor], Any]


def _check_alone(what: str, lengths: Tensor | None, resets: Tensor | None) -> None:
    if lengths is not None or resets is not None:
        raise ValueError(f"{what} has its own lengths and takes no lengths or resets")
