"""Cells as people write them, drawn by hypothesis: each is the code of a module and how it is run.

In go the lines of `drawn_pieces`, out comes a :class:`Recipe`. It prints as the code of its cell,
its `repr` makes it again, and `check` holds a layer to the plain loop over a second build of it.
"""

from __future__ import annotations

import functools
import keyword
import linecache
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from textwrap import indent
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.utils.checkpoint
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import prune

import drawn_pieces
import rondo
from drawn_pieces import Piece, StateForm, short_repr
from plain_loop import (
    Results,
    Sequences,
    check_equal,
    check_in_budget,
    default_dtype,
    engine_of,
    is_refusal,
    moved_state,
    run_layer,
    run_plain,
    without_rows,
)

WORDS = {
    "torch": torch,
    "nn": nn,
    "F": F,
    "prune": prune,
    "np": np,
    "Tensor": Tensor,
    "functools": functools,
    "dataclass": dataclass,
    "NamedTuple": NamedTuple,
    "SimpleNamespace": SimpleNamespace,
    "ScaleGradient": drawn_pieces.ScaleGradient,
    "Spike": drawn_pieces.Spike,
    "SplitSign": drawn_pieces.SplitSign,
    "HeldPair": drawn_pieces.HeldPair,
}
"""What the code of a drawn cell may name."""


@dataclass(frozen=True, repr=False)
class Call:
    """One call of a layer.

    Args:
        batch_size: B.
        num_steps: T.
        lengths: The steps of each row, or None for T.
        resets: The (row, step) pairs before which the state is reset, or None.
        gives_state: Whether the state is given, rather than the cell's own.
        grad: Whether gradients are recorded.
        autocast: Whether it runs under autocast to bfloat16.
        strided: Whether x lies in memory with its steps first.
    """

    batch_size: int = 3
    num_steps: int = 4
    lengths: tuple[int, ...] | None = None
    resets: tuple[tuple[int, int], ...] | None = None
    gives_state: bool = True
    grad: bool = True
    autocast: bool = False
    strided: bool = False

    __repr__ = short_repr

    @property
    def is_ragged(self) -> bool:
        return self.lengths is not None and min(self.lengths, default=0) < self.num_steps


@dataclass(frozen=True, repr=False)
class Recipe:
    """A cell, and how it is run.

    Args:
        state: The form of its state.
        parts: The core, then what changes z.
        end: How h follows from z.
        output: What comes out.
        names: The names that it gives its parts, in turn.
        hidden_size: H.
        calls: How the layer is called, one after the other.
        change: The number of the part whose change comes before the second call.
        engine: The engine that is asked for.
        reverse: Whether rows run backwards.
        checkpoint_every: As the layer takes it.
        dtype: "float64" or "float32".
        seed: Of all numbers.
    """

    state: StateForm
    parts: tuple[Piece, ...]
    end: str
    output: Piece
    names: tuple[str, ...]
    hidden_size: int = 4
    calls: tuple[Call, ...] = (Call(),)
    change: int | None = None
    engine: str = "auto"
    reverse: bool = False
    checkpoint_every: int | None = None
    dtype: str = "float64"
    seed: int = 0

    __repr__ = short_repr

    def __str__(self) -> str:
        """The code of the cell, how it is run, and what makes the recipe again."""
        told = ("engine", "reverse", "checkpoint_every", "dtype", "seed", "change_line")
        options = [f"{name}: {getattr(self, name)}" for name in told]
        return lines([self.code, *options, *map(str, self.calls), repr(self)])

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All parts with their names put in."""
        all_parts = [Piece(self.state.read, self.state.setup), *self.parts, self.output]
        return tuple(self._named(i, part) for i, part in enumerate(all_parts))

    @property
    def code(self) -> str:
        """A function that makes the cell and the outside tensors that it reads."""
        state = self._state()
        read, *parts, output = self.pieces
        before = lines([state.before, *(part.before for part in self.pieces)])
        setup = lines(["super().__init__()", *(part.setup for part in self.pieces)])
        step = lines(
            [read.step, *(part.step for part in parts), self._put(0, self.end), state.update]
        )
        step = lines([step, f"return {output.step}, {state.write}"])
        outside = [pair for part in self.pieces for pair in part.outside]
        methods = lines([state.methods, "def __init__(self):", indent(setup, "    ")])
        methods = lines([methods, "def forward(self, x, state):", indent(step, "    ")])
        body = lines([before, "class Drawn(nn.Module):", indent(methods, "    ")])
        held = ", ".join(f'"{name}": {where}' for name, where in outside)
        return lines(
            ["def make(draw):", indent(lines([body, f"return Drawn(), {{{held}}}"]), "    ")]
        )

    @property
    def change_line(self) -> str:
        """What changes the cell between two calls."""
        return "" if self.change is None else self.pieces[1 + self.change].change

    @property
    def rows(self) -> str:
        """What a row depends on; see `drawn_pieces.Rows`."""
        found = {part.rows for part in self.parts}
        return next((rows for rows in ("mixed", "whole") if rows in found), "alone")

    @property
    def is_no_graph(self) -> bool:
        """Whether no graph holds all that the step does."""
        return any(part.is_no_graph for part in self.parts)

    def may_be_refused(self, call: Call) -> bool:
        """Whether there can be a reason: an engine by name, or rows that are to run alone."""
        is_whole = call.lengths is None and call.resets is None and self.checkpoint_every is None
        return self.engine != "auto" or (self.rows != "alone" and not is_whole)

    def build(self, dtype: torch.dtype) -> tuple[Any, dict[str, Tensor]]:
        """The cell and the outside tensors that it reads; the same numbers at every call."""
        generator = torch.Generator().manual_seed(self.seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float32).to(dtype)

        scope: dict[str, Any] = dict(WORDS)
        exec(compile(self.code, self._file(), "exec"), scope)
        with default_dtype(dtype):
            cell, outside = scope["make"](draw)
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.data.copy_(0.7 * draw(*parameter.shape))
        return cell, outside

    def _file(self) -> str:
        """The name under which the code is found, by tracebacks and by messages with a line."""
        name = f"<drawn {zlib.crc32(self.code.encode())}>"
        linecache.cache[name] = (len(self.code), None, self.code.splitlines(True), name)
        return name

    def _state(self) -> StateForm:
        form = self.state
        put = {name: self._put(0, getattr(form, name)) for name in vars(form)}
        return StateForm(**put)

    def _named(self, number: int, part: Piece) -> Piece:
        texts = {
            name: self._put(number, getattr(part, name))
            for name in ("step", "setup", "before", "change")
        }
        return replace(part, **texts)

    def _put(self, number: int, text: str) -> str:
        """The lines with the names and sizes of this recipe."""
        H = self.hidden_size
        order = [*range(1, H, 2), *range(0, H, 2)]
        sizes = {"$ORDER": str(order), "$HALF": str(H // 2), "$H": str(H)}
        for word, value in sizes.items():
            text = text.replace(word, value)
        for word, name in zip(("p", "q"), self.names[2 * number :], strict=False):
            text = with_name(text, word, name)
        return text


def lines(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)


def with_name(text: str, word: str, name: str) -> str:
    """Lines that call an attribute by a name, whatever it is."""
    if not name.isidentifier() or keyword.iskeyword(name):
        text = re.sub(rf"(self|cell)\.\${word} = (.*)", rf'setattr(\1, "{name}", \2)', text)
        text = re.sub(
            rf"(self|cell)\.\${word} ([+*])= (.*)",
            rf'setattr(\1, "{name}", getattr(\1, "{name}") \2 (\3))',
            text,
        )
        text = re.sub(rf"(self|cell)\.\${word}\b", rf'getattr(\1, "{name}")', text)
    return text.replace(f"${word}", name)


# ---- drawing ----


@st.composite
def calls(draw: st.DrawFn, recipe: Recipe) -> Call:
    """How the layer of a cell is called."""
    least = 1 if recipe.is_no_graph or recipe.rows != "alone" else 0
    B = draw(st.integers(least, 5).map(lambda n: (3, 1, 2, 4, 5, 0)[n - least]))
    T = draw(st.sampled_from([4, 1, 2, 3, 5, *([] if least else [0])]))
    lengths = resets = None
    if draw(st.integers(0, 2)) == 2:
        lengths = tuple(draw(st.lists(st.integers(0, T), min_size=B, max_size=B)))
        lengths = (T, *lengths[1:]) if recipe.rows == "whole" else lengths
    if draw(st.integers(0, 2)) == 2:
        places = st.tuples(st.integers(0, max(B - 1, 0)), st.integers(0, max(T - 1, 0)))
        resets = tuple(draw(st.lists(places, max_size=3))) if B * T else ()
    is_low = recipe.dtype == "float32" and draw(st.booleans())
    gives_state, grad = draw(st.booleans()), draw(st.integers(0, 3)) < 3
    return Call(B, T, lengths, resets, gives_state, grad, is_low, draw(st.booleans()))


@st.composite
def recipes(draw: st.DrawFn, engines: tuple[str, ...] = ("auto", "auto", "reference")) -> Recipe:
    """A cell, and how it is run."""
    state = draw(st.sampled_from(drawn_pieces.STATES))
    has_state = state is not drawn_pieces.STATES[-1]
    cores = [*drawn_pieces.CORES, *([drawn_pieces.EMBEDDING] if has_state else [])]
    parts = [draw(st.sampled_from(cores))]
    parts += draw(st.lists(st.sampled_from(drawn_pieces.EVERYDAY), max_size=4, unique=True))
    if draw(st.integers(0, 3)) == 3:
        parts.insert(draw(st.integers(1, len(parts))), draw(st.sampled_from(drawn_pieces.SELDOM)))
    output = draw(st.sampled_from(drawn_pieces.OUTPUTS))
    names = draw(st.permutations(drawn_pieces.NAMES))
    jumps = any(part.jumps for part in (*parts, output))
    recipe = Recipe(
        state=state,
        parts=tuple(parts),
        end=draw(st.sampled_from(drawn_pieces.ENDS)),
        output=output,
        names=tuple(names[: 2 * len(parts) + 4]),
        hidden_size=draw(st.sampled_from([4, 6])),
        engine=draw(st.sampled_from(engines)),
        reverse=draw(st.booleans()),
        checkpoint_every=draw(st.sampled_from([None, None, None, 1, 2])),
        dtype="float64" if jumps else draw(st.sampled_from(["float64", "float64", "float32"])),
        seed=draw(st.integers(0, 99)),
    )
    return draw(with_calls(recipe))


@st.composite
def with_calls(draw: st.DrawFn, recipe: Recipe) -> Recipe:
    """The same with one call or two, and a change between them."""
    drawn = [draw(calls(recipe)) for _ in range(1 + draw(st.booleans()))]
    changing = [number for number, part in enumerate(recipe.parts) if part.change]
    change = draw(st.sampled_from(changing)) if changing and len(drawn) == 2 else None
    return replace(recipe, calls=tuple(drawn), change=change)


# ---- holding a layer to the plain loop ----


class Built(NamedTuple):
    """A cell of a recipe, and its outside tensors."""

    cell: Any
    outside: dict[str, Tensor]
    dtype: torch.dtype


def sequences(recipe: Recipe, call: Call, number: int, built: Built) -> Sequences:
    """What a call gives to a layer, for a cell of some dtype."""
    generator = torch.Generator().manual_seed(1000 * recipe.seed + number)
    B, T = call.batch_size, call.num_steps
    if drawn_pieces.EMBEDDING in recipe.parts:
        x = torch.randint(0, 7, (T, B), generator=generator)
    else:
        x = torch.randn(T, B, 3, generator=generator, dtype=torch.float32).to(built.dtype)
    x = x.transpose(0, 1) if call.strided else x.transpose(0, 1).contiguous()
    lengths = None if call.lengths is None else torch.tensor(call.lengths, dtype=torch.int64)
    resets = None
    if call.resets is not None:
        resets = torch.zeros(B, T, dtype=torch.bool)
        for row, step in call.resets:
            resets[row, step] = True
    x = x.requires_grad_(call.grad and x.is_floating_point())
    given = Sequences(x, None, lengths, resets, built.outside)
    x = given.filled(0).x
    state = moved_state(built.cell, x, generator, call.grad) if call.gives_state else None
    return replace(given, x=x, state=state)


def expected(recipe: Recipe, call: Call, number: int, built: Built) -> Results:
    """What the plain loop gives."""
    full = replace(call, batch_size=2, lengths=None, resets=None) if call.batch_size == 0 else call
    with torch.set_grad_enabled(call.grad):
        results = run_plain(
            built.cell,
            sequences(recipe, full, number, built),
            reverse=recipe.reverse,
            by_rows=recipe.rows == "alone" or (recipe.rows == "mixed" and call.is_ragged),
            autocast=call.autocast and built.dtype == torch.float32,
        )
    return without_rows(results) if call.batch_size == 0 else results


def check(recipe: Recipe) -> list[str]:
    """How each call went: the engines that ran, or "refused: ...".

    Raises:
        AssertionError: Where a call gave what the plain loop does not give, or failed otherwise.
    """
    dtype = getattr(torch, recipe.dtype)
    own, plain = (Built(*recipe.build(dtype), dtype) for _ in range(2))
    exact = Built(*recipe.build(torch.float64), torch.float64)
    options = {"reverse": recipe.reverse, "checkpoint_every": recipe.checkpoint_every}
    layer = rondo.Recurrent(own.cell, engine=recipe.engine, **options)
    outcomes: list[str] = []
    for number, call in enumerate(recipe.calls):
        if number:
            for built in (own, plain, exact):
                exec(recipe.change_line, {**WORDS, "cell": built.cell})
        right = expected(recipe, call, number, exact)
        try:
            near = right if dtype == torch.float64 else expected(recipe, call, number, plain)
        except (RuntimeError, TypeError):  # numpy has no bfloat16
            assert call.autocast, recipe
            outcomes.append("not run: torch itself fails under autocast")
            continue
        outcomes.append(
            _outcome(recipe, call, layer, sequences(recipe, call, number, own), near, right)
        )
        if outcomes[-1].startswith("refused"):
            break
    return outcomes


def _outcome(
    recipe: Recipe,
    call: Call,
    layer: rondo.Recurrent,
    given: Sequences,
    plain: Results,
    exact: Results,
) -> str:
    try:
        with torch.set_grad_enabled(call.grad):
            got = run_layer(layer, given, autocast=call.autocast)
    except Exception as error:
        if is_refusal(error) and recipe.may_be_refused(call):
            return f"refused: {error}"
        how = "refused without need" if is_refusal(error) else type(error).__name__
        raise AssertionError(f"{how}: {error}\n{call}\n{recipe}") from error
    try:
        if recipe.dtype == "float64":
            check_equal(got, exact)
        else:
            check_in_budget(got, plain, exact, least=2**-5 if call.autocast else 2**-18)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{call}\n{recipe}") from error
    return " and ".join(engine_of(layer))
