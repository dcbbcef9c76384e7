"""Users call their tensors what they like: kernels call theirs otherwise."""

from __future__ import annotations

import keyword
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rondo
from rondo.compiler.c_operators import C_TARGET
from rondo.compiler.expansion import Expansion, Term
from rondo.compiler.gpu.render import names_in_source
from rondo.compiler.graph import Node, Ref, Value
from rondo.compiler.identifiers import identifiers, with_names
from rondo.compiler.kernel import Kernel
from rondo.compiler.lower import lower
from test_conformance import run_layer, run_plain

SIZE = 3

MADE = [
    *("next_h", "next_state", "out_h", "out_add", "addmm_product", "softmax_max", "softmax_sum"),
    *("native_layer_norm_mean", "native_layer_norm_normal", "layer_norm_sum", "mean_sum", "h_1"),
]
"""What the compiler calls values that it makes."""

WRITTEN = [
    *("h_all", "h_at", "h_row", "h_rows", "h_states", "h_start", "h_now", "matrix_0", "v0", "j0"),
    *(
        "r",
        "c",
        "i",
        "T",
        "B",
        "x",
        "t",
        "room",
        "rows",
        "row",
        "first",
        "packed",
        "chunk",
        "total",
    ),
    *("add", "pack", "step", "turn", "kept", "program", "known", "is_live", "counter"),
]
"""What kernels call what they work with, or the beginning of that."""

RESERVED = [
    *("int", "for", "while", "long", "restrict", "static", "real", "whole", "LIBM", "INFINITY"),
    *("memcpy", "exp", "exp_", "tanh_", "fabs", "lambda", "None", "tl", "triton", "exec", "load"),
]
"""Words of C, of Python and of what kernels include."""

ODD = [
    "0",
    "1_weight",
    "a b",
    "a-b",
    "a_b",
    "*/",
    "//",
    "ä",
    "\N{GREEK SMALL LETTER ALPHA}",
    "_",
    "__",
]
"""What is no word in C."""

NAMES = [*MADE, *WRITTEN, *RESERVED, *ODD]
STATES = ["h", "next_h", "out_h", "rows", "add", "chunk", "for", "double", "x", "T"]


class Named(rondo.Cell):
    """One tensor of every name, each multiplied with one of the states, which have names too."""

    def __init__(self) -> None:
        super().__init__(SIZE, SIZE, dict.fromkeys(STATES, SIZE))
        self.order = NAMES
        for number, name in enumerate(NAMES):
            value = torch.randn((SIZE, SIZE) if number % 8 == 0 else SIZE) / 4
            self.register_parameter(name, nn.Parameter(value))
        self.net = nn.Sequential(nn.Linear(SIZE, SIZE), nn.LayerNorm(SIZE), nn.Softmax(-1))

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        new = {name: 0.5 * value for name, value in state.items()}
        for number, name in enumerate(self.order):
            weight, key = self._parameters[name], STATES[number % len(STATES)]
            read = state[key] @ weight if weight.ndim == 2 else state[key] * weight
            new[key] = new[key] + read.tanh()
        new["h"] = new["h"] + self.net(x + state["h"])
        return new["h"] * state["out_h"], new


def case() -> dict[str, Any]:
    x = torch.randn(2, 3, SIZE, requires_grad=True)
    state = {name: torch.randn(2, SIZE, requires_grad=True) for name in STATES}
    lengths, resets = torch.tensor([3, 3]), torch.zeros(2, 3, dtype=torch.bool)
    return {"cell": Named(), "x": x, "state": state, "lengths": lengths, "resets": resets}


@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
@pytest.mark.parametrize("engine", ["cpu", "cuda"])
def test_tensors_may_have_any_names(engine: str, request: pytest.FixtureRequest) -> None:
    if engine == "cuda":
        pytest.importorskip("triton")
        request.getfixturevalue("made_on_gpu")
    given = case()
    got = run_layer(rondo.Recurrent(given["cell"], engine=engine), given, "dense")
    for key, value in run_plain(given, False).items():
        torch.testing.assert_close(got[key], value, rtol=1e-4, atol=1e-5, msg=key)


# ---- names in a source ----


def kernel_of(cell: nn.Module) -> Kernel:
    return lower(rondo.Recurrent(cell, engine="reference").plan, C_TARGET)


def test_names_in_a_source_are_words_and_differ() -> None:
    kernel = kernel_of(Named())
    names = names_in_source(kernel)
    assert set(names) >= {*STATES, "a b", "ä"}
    assert len({*names.values()}) == len(names)
    for name in names.values():
        assert name.isascii()
        assert name.isidentifier()
        assert not keyword.iskeyword(f"{name}_at")


def test_names_that_can_stay_do() -> None:
    for cell in (rondo.LSTMCell(3, 5), rondo.LayerNormGRUCell(3, 5)):
        names = names_in_source(kernel_of(cell))
        assert all(name == new for name, new in names.items())


def test_what_has_good_names_keeps_them() -> None:
    kernel = kernel_of(Named())
    renamed = with_names(kernel, names_in_source(kernel)).check()
    names = names_in_source(renamed)
    assert [*names] == [*names.values()]
    assert with_names(renamed, names) == renamed


def test_a_name_makes_no_word_that_means_something() -> None:
    kernel = kernel_of(rondo.ElmanCell(3, 5))
    words = frozenset({"h_all", "h_1_at"})
    names = identifiers(kernel, words, lambda buffer: ("_all", "_at"))
    assert names["h"] == "h_2"
    assert identifiers(kernel, words, lambda buffer: ("_row",))["h"] == "h"


def test_values_that_are_made_have_names_of_their_own() -> None:
    node = Node("h", torch.ops.aten.exp.default, (Ref("x"),), (), (2,), torch.float32)
    expansion = Expansion({"h", "x", "h_exp"}, torch.float32)
    x: Term = expansion.term(node, Ref("x"), {"x": Value("x", (2,), torch.float32)})
    made = x.call(torch.ops.aten.exp.default)
    assert made.ref == Ref("h_exp_1")
    assert made.named("power").ref == Ref("h_power")
    assert x.call(torch.ops.aten.exp.default).named("power").ref == Ref("h_power_1")
    expansion.stand_in(node, x.call(torch.ops.aten.exp.default), 2)
    assert [node.name for node in expansion.nodes] == ["h_power", "h_power_1", "h"]
