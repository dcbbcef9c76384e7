"""The equations of the cells, written a second time in NumPy, gate by gate."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import rondo
from rondo.cells import initial_state
from rondo.cells.lstm_variants import GATES
from rondo.cells.named import NAMED_CELLS, num_parameters

I, H, O = 3, 5, 4  # noqa: E741
Arrays = dict[str, np.ndarray]
Equations = Callable[[Arrays, np.ndarray, Any], tuple[np.ndarray, Any]]


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def softmax(a: np.ndarray) -> np.ndarray:
    return np.exp(a) / np.exp(a).sum(-1, keepdims=True)


def rows(matrix: np.ndarray, gate: int, size: int = H) -> np.ndarray:
    """The rows of one gate."""
    return matrix[gate * size : (gate + 1) * size]


def net(w: Arrays, x: np.ndarray, h: np.ndarray, gate: int) -> np.ndarray:
    """U x + W h + b of one gate."""
    a = x @ rows(w["weight_ih"], gate).T + h @ rows(w["weight_hh"], gate).T
    return a + rows(w["bias_ih"], gate) if "bias_ih" in w else a


# ---- Elman and its relatives ----


def jordan(w: Arrays, x: np.ndarray, context: np.ndarray) -> tuple[np.ndarray, Any]:
    h = np.tanh(x @ w["weight_ih"].T + context @ w["weight_hh"].T + w["bias_ih"])
    y = sigmoid(h @ w["weight_ho"].T + w["bias_ho"])
    return y, 0.3 * context + y


def jordan_linear(w: Arrays, x: np.ndarray, context: np.ndarray) -> tuple[np.ndarray, Any]:
    h = np.maximum(x @ w["weight_ih"].T + context @ w["weight_hh"].T + w["bias_ih"], 0)
    a = h @ w["weight_ho"].T + w["bias_ho"]
    return softmax(a), a


def indrnn(w: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, Any]:
    h = np.maximum(x @ w["weight_ih"].T + w["weight_hh"] * h + w["bias_ih"], 0)
    return h, h


# ---- depth ----


def deep(shortcut: bool) -> Equations:
    def step(w: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, Any]:
        z = np.tanh(
            x @ w["from_input.weight"].T + w["from_input.bias"] + h @ w["transition.0.weight"].T
        )
        for layer in (1, 2):
            a = z @ w[f"transition.{layer}.weight"].T + w[f"transition.{layer}.bias"]
            a = a + h @ w[f"shortcuts.{layer - 1}.weight"].T if shortcut else a
            z = np.tanh(a)
        q = np.tanh(z @ w["to_output.0.weight"].T + w["to_output.0.bias"])
        return softmax(q @ w["to_output.1.weight"].T + w["to_output.1.bias"]), z

    return step


def stack(shortcuts: bool) -> Equations:
    def step(w: Arrays, x: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        lower, upper = (
            {k.removeprefix(f"cells.{n}."): v for k, v in w.items() if k.startswith(f"cells.{n}.")}
            for n in (0, 1)
        )
        h_1 = np.tanh(net(lower, x, state[0], 0))
        below = np.concatenate([x, h_1], -1) if shortcuts else h_1
        h_2 = np.tanh(below @ upper["weight_ih"].T + state[1] @ upper["weight_hh"].T
                      + upper["bias_ih"])  # fmt: skip
        return np.concatenate([h_1, h_2], -1) if shortcuts else h_2, (h_1, h_2)

    return step


# ---- LSTMs ----


def peephole_lstm(w: Arrays, x: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    h, c = state
    p_i, p_f, p_o = w["weight_ch"]
    i = sigmoid(net(w, x, h, 0) + p_i * c)
    f = sigmoid(net(w, x, h, 1) + p_f * c)
    c = f * c + i * np.tanh(net(w, x, h, 2))
    h = sigmoid(net(w, x, h, 3) + p_o * c) * np.tanh(c)
    return h, (h, c)


def lstm_1997(w: Arrays, x: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    h, c = state
    c = c + sigmoid(net(w, x, h, 0)) * (4 * sigmoid(net(w, x, h, 1)) - 2)
    h = sigmoid(net(w, x, h, 2)) * (2 * sigmoid(c) - 1)
    return h, (h, c)


def greff(variant: str) -> Equations:
    place = {gate: number for number, gate in enumerate(GATES[variant])}

    def step(w: Arrays, x: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        h, c, *before = state

        def gate(name: str, c: np.ndarray) -> np.ndarray:
            a = net(w, x, h, place[name])
            if variant != "NP":
                a = a + w[f"peephole_{name}"] * c
            if variant == "FGR":
                block = rows(w["weight_gates"], "ifo".index(name))
                for number, gate_before in enumerate(before):
                    a = a + gate_before @ block[:, number * H : (number + 1) * H].T
            return sigmoid(a)

        i = np.ones_like(c) if variant == "NIG" else gate("i", c)
        f = np.ones_like(c) if variant == "NFG" else 1 - i if variant == "CIFG" else gate("f", c)
        z = net(w, x, h, place["g"])
        c = f * c + i * (z if variant == "NIAF" else np.tanh(z))
        o = np.ones_like(c) if variant == "NOG" else gate("o", c)
        h = o * (c if variant == "NOAF" else np.tanh(c))
        return h, (h, c, i, f, o) if variant == "FGR" else (h, c)

    return step


# ---- GRUs ----


def gru(reset: str, update: str) -> Equations:
    def step(w: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, Any]:
        u = [x @ rows(w["weight_ih"], gate).T + rows(w["bias_ih"], gate) for gate in range(3)]
        v = [h @ rows(w["weight_hh"], gate).T for gate in range(3)]
        if reset == "after":
            v = [a + rows(w["bias_hh"], gate) for gate, a in enumerate(v)]
        r, z = sigmoid(u[0] + v[0]), sigmoid(u[1] + v[1])
        inner = r * v[2] if reset == "after" else (r * h) @ rows(w["weight_hh"], 2).T
        n = np.tanh(u[2] + inner)
        h = z * h + (1 - z) * n if update == "old" else (1 - z) * h + z * n
        return h, h

    return step


def mgu(w: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, Any]:
    f = sigmoid(net(w, x, h, 0))
    n = np.tanh(net(w, x, f * h, 1))
    h = (1 - f) * h + f * n
    return h, h


# ---- linear ones ----


def min_gru(w: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, Any]:
    z, n = (x @ rows(w["weight_ih"], gate).T + rows(w["bias_ih"], gate) for gate in (0, 1))
    h = (1 - sigmoid(z)) * h + sigmoid(z) * n
    return h, h


def min_lstm(w: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, Any]:
    f, i, n = (x @ rows(w["weight_ih"], gate).T + rows(w["bias_ih"], gate) for gate in range(3))
    total = sigmoid(f) + sigmoid(i)
    h = sigmoid(f) / total * h + sigmoid(i) / total * n
    return h, h


def lru(w: Arrays, x: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    eigenvalues = np.exp(-np.exp(w["nu_log"]) + 1j * np.exp(w["theta_log"]))
    to_state = rows(w["weight_ih"], 0) + 1j * rows(w["weight_ih"], 1)
    to_output = w["weight_ho"][:, :H] + 1j * w["weight_ho"][:, H:]
    s = eigenvalues * (state[0] + 1j * state[1]) + np.exp(w["gamma_log"]) * (x @ to_state.T)
    return (s @ to_output.T).real + x @ w["weight_io"].T, (s.real, s.imag)


# ---- layer norm ----


def norm(w: Arrays, name: str, a: np.ndarray) -> np.ndarray:
    centred = a - a.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * w[f"{name}.weight"] + w.get(f"{name}.bias", 0)


def norm_elman(w: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, Any]:
    h = np.tanh(norm(w, "norm", net(w, x, h, 0)))
    return h, h


def norm_lstm(w: Arrays, x: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    h, c = state
    a = norm(w, "norm_x", x @ w["weight_ih"].T) + norm(w, "norm_h", h @ w["weight_hh"].T)
    i, f, g, o = (a[:, gate * H : (gate + 1) * H] for gate in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(norm(w, "norm_c", c))
    return h, (h, c)


def norm_gru(w: Arrays, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, Any]:
    u, v = norm(w, "norm_x", x @ w["weight_ih"].T), norm(w, "norm_h", h @ w["weight_hh"].T)
    r = sigmoid(u[:, :H] + v[:, :H])
    z = sigmoid(u[:, H : 2 * H] + v[:, H : 2 * H])
    n = np.tanh(u[:, 2 * H :] + r * v[:, 2 * H :])
    h = z * h + (1 - z) * n
    return h, h


CASES: dict[str, tuple[nn.Module, Equations]] = {
    "jordan": (rondo.JordanCell(I, H, O, decay=0.3), jordan),
    "jordan, linear feedback": (
        rondo.JordanCell(
            I, H, O, nonlinearity="relu", output_nonlinearity="softmax", feedback="linear"
        ),
        jordan_linear,
    ),
    "indrnn": (rondo.IndRNNCell(I, H), indrnn),
    **{
        f"deep, shortcut {shortcut}": (
            rondo.DeepCell(
                I, H, transition_sizes=(7, 6), shortcut=shortcut, output_sizes=(8, O),
                output_nonlinearity="softmax",
            ),
            deep(shortcut),
        )
        for shortcut in (False, True)
    },
    "stack": (rondo.StackedCell(rondo.ElmanCell(I, H), rondo.ElmanCell(H, O)), stack(False)),
    "stack, shortcuts": (
        rondo.StackedCell(rondo.ElmanCell(I, H), rondo.ElmanCell(I + H, O), shortcuts=True),
        stack(True),
    ),
    "lstm, peepholes": (rondo.LSTMCell(I, H, peepholes=True), peephole_lstm),
    "lstm of 1997": (rondo.LSTM1997Cell(I, H), lstm_1997),
    **{name: (rondo.LSTMVariantCell(I, H, variant=name), greff(name)) for name in GATES},
    **{
        f"gru, {reset}, {update}": (
            rondo.GRUCell(I, H, reset=reset, update=update),
            gru(reset, update),
        )
        for reset in ("after", "before")
        for update in ("old", "new")
    },
    "mgu": (rondo.MGUCell(I, H), mgu),
    "minGRU": (rondo.MinGRUCell(I, H), min_gru),
    "minLSTM": (rondo.MinLSTMCell(I, H), min_lstm),
    "lru": (rondo.LRUCell(I, H, O), lru),
    "layer norm, elman": (rondo.LayerNormElmanCell(I, H), norm_elman),
    "layer norm, lstm": (rondo.LayerNormLSTMCell(I, H), norm_lstm),
    "layer norm, gru": (rondo.LayerNormGRUCell(I, H), norm_gru),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_step_is_what_the_equations_say(name: str) -> None:
    cell, equations = CASES[name]
    cell = cell.double()
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in cell.parameters():  # so that every gain and bias matters
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(2, I, dtype=torch.float64)
    state = pytree.tree_map(torch.randn_like, initial_state(cell, x))
    with torch.no_grad():
        y, new = cell(x, state)
    weights = {key: value.detach().numpy() for key, value in cell.named_parameters()}
    expected = equations(weights, x.numpy(), pytree.tree_map(Tensor.numpy, state))
    found, wanted = pytree.tree_leaves((y, new)), pytree.tree_leaves(expected)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-12, atol=1e-13)


# ---- what the equations do not say ----


@pytest.mark.parametrize("num_heads", [1, 2, 3])
def test_the_stabiliser_of_the_slstm_changes_no_result(num_heads: int) -> None:
    """The paper's unstabilised equations, from zeros."""
    cell = rondo.SLSTMCell(I, 6, num_heads=num_heads).double()
    x = 2 * torch.randn(2, 7, I, dtype=torch.float64)
    y, _ = rondo.Recurrent(cell, engine="reference")(x)
    size = 6 // num_heads
    from_x, from_h = torch.zeros(4, 6, I).double(), torch.zeros(4, 6, 6).double()
    for gate in range(4):
        from_x[gate] = cell.weight_ih[gate * 6 : gate * 6 + 6]
        for head in range(num_heads):
            place = slice(head * size, head * size + size)
            block = cell.weight_hh[head, :, gate * size : gate * size + size]
            from_h[gate, place, place] = block.T
    h = c = n = torch.zeros(2, 6).double()
    for t in range(7):
        i, f, g, o = (
            x[:, t] @ from_x[gate].T + h @ from_h[gate].T + cell.bias_ih[gate * 6 : gate * 6 + 6]
            for gate in range(4)
        )
        c = torch.sigmoid(f) * c + torch.exp(i) * torch.tanh(g)
        n = torch.sigmoid(f) * n + torch.exp(i)
        h = torch.sigmoid(o) * c / n
        torch.testing.assert_close(y[:, t], h)


def test_the_slstm_stands_large_numbers() -> None:
    x = torch.full((1, 5, I), 1e4, requires_grad=True)
    y, _ = rondo.Recurrent(rondo.SLSTMCell(I, H))(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("variant", GATES)
def test_the_number_of_parameters_of_the_lstm_variants(variant: str) -> None:
    """Greff et al. count 4 (I H + H² + H) + 3 H for the vanilla cell."""
    full, gate = 4 * (I * H + H * H + H) + 3 * H, I * H + H * H + 2 * H
    less = {"NP": 3 * H, "NIG": gate, "NFG": gate, "NOG": gate, "CIFG": gate, "FGR": -9 * H * H}
    found = num_parameters(rondo.LSTMVariantCell(I, H, variant=variant))
    assert found == full - less.get(variant, 0)


def test_the_lstm_of_1997_may_cut_the_gradient() -> None:
    """Back in time through c alone, and the same numbers forward."""
    whole, cut = (rondo.LSTM1997Cell(I, H, truncate=truncate) for truncate in (False, True))
    cut.load_state_dict(whole.state_dict())
    x = torch.randn(2, 6, I)
    results = []
    for cell in (whole, cut):
        state = (torch.randn(2, H, requires_grad=True), torch.randn(2, H, requires_grad=True))
        torch.manual_seed(0)
        with torch.no_grad():
            state[0].normal_()
            state[1].normal_()
        y, _ = rondo.Recurrent(cell)(x, state)
        results.append((y, *torch.autograd.grad(y.square().sum(), state)))
    torch.testing.assert_close(results[0][0], results[1][0])
    assert results[0][1].abs().min() > 0
    assert (results[1][1] == 0).all()
    assert results[1][2].abs().min() > 0


def test_the_forget_bias() -> None:
    cell = rondo.LSTMCell(I, H, recurrent_bias=True, forget_bias=1.5)
    assert (cell.bias_ih[H : 2 * H] == 1.5).all()
    assert (cell.bias_hh[H : 2 * H] == 0).all()
    assert cell.bias_ih[:H].abs().max() < 1
    assert cell.bias_ih[:H].abs().min() > 0


def test_parts_of_a_cell_start_by_their_own_rule() -> None:
    cell = rondo.LayerNormElmanCell(I, H)
    assert (cell.norm.weight == 1).all()
    with torch.no_grad():
        cell.norm.weight.zero_()
    cell.reset_parameters()
    assert (cell.norm.weight == 1).all()


def test_the_lru_starts_on_the_ring() -> None:
    cell = rondo.LRUCell(I, 200, min_radius=0.4, max_radius=0.9, max_angle=1.0)
    radius = torch.exp(-torch.exp(cell.nu_log))
    assert radius.min() > 0.39
    assert radius.max() < 0.91
    assert 0.85 < (torch.exp(cell.gamma_log) ** 2 + radius**2).mean() < 1.15
    assert torch.exp(cell.theta_log).max() <= 1.0


def test_a_jordan_cell_taught_by_its_own_outputs_runs_as_when_free() -> None:
    free = rondo.JordanCell(I, H, O, decay=0.5)
    forced = rondo.JordanCell(I, H, O, decay=0.5, teacher_forcing=True)
    forced.load_state_dict(free.state_dict())
    x = torch.randn(2, 6, I)
    y, context = rondo.Recurrent(free)(x)
    again, context_again = rondo.Recurrent(forced)(torch.cat([x, y], -1))
    torch.testing.assert_close(again, y)
    torch.testing.assert_close(context_again, context)


def test_a_taught_jordan_cell_has_no_product_in_its_loop() -> None:
    cell = rondo.JordanCell(I, H, O, decay=0.5, teacher_forcing=True)
    layer = rondo.Recurrent(cell)
    layer(torch.randn(2, 4, I + O))
    assert {node.op_name for node in layer.plan.loop} == {"mul", "add"}


@pytest.mark.parametrize(
    ("cell", "stage"),
    [
        (rondo.MinGRUCell(I, H), "before"),
        (rondo.MinLSTMCell(I, H), "before"),
        (rondo.LRUCell(I, H), "after"),
        (rondo.DeepCell(I, H, output_sizes=(6, 3)), "after"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_products_that_need_not_be_in_the_loop_are_not(cell: rondo.Cell, stage: str) -> None:
    plan = rondo.Recurrent(cell).plan
    outside = [node.op_name for node in getattr(plan, stage)]
    assert "mm" in outside or "addmm" in outside
    inside = [node.op_name for node in plan.loop if "mm" in node.op_name]
    assert len(inside) == (1 if isinstance(cell, rondo.DeepCell) else 0)


# ---- the page of the cells ----

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs" / "cells.md", ROOT / "benchmarks" / "results" / "cell_speed.md"
NO_CELL = {"Cell", "GraphCell"}
"""What cells are made with."""

CELLS_OF_MAPS = {"ConvGRUCell"}
"""Cells whose state is a map; the page tells of them below the table of those of vectors."""


def table_of(path: Path) -> list[dict[str, str]]:
    """The table of cells of a page in Markdown, each row by the titles of the columns."""
    lines = re.findall(r"^\| (?:cell \||`).*$", path.read_text(), flags=re.MULTILINE)
    rows = [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def name_in(row: dict[str, str]) -> str:
    """The name of a cell, which is that of its picture."""
    found = re.fullmatch(r"\[`(.+)`\]\(images/cells/\1\.svg\)", row["picture"])
    assert found, row["picture"]
    return found[1]


TABLE = table_of(PAGE)


def test_the_page_has_every_cell() -> None:
    assert sorted(map(name_in, TABLE)) == sorted(NAMED_CELLS)
    classes = {name for row in TABLE for name in re.findall(r"\w+Cell", row["cell"])}
    cells = {name for name in rondo.cells.__all__ if name.endswith("Cell")} - NO_CELL
    assert classes == cells - CELLS_OF_MAPS
    assert all(f"\n`{name}(" in PAGE.read_text() for name in CELLS_OF_MAPS)


@pytest.mark.parametrize("row", TABLE, ids=name_in)
def test_the_page_tells_what_is_true_of_a_cell(row: dict[str, str]) -> None:
    made = []
    for make in (NAMED_CELLS[name_in(row)], lambda i, h: eval(row["cell"].strip("`"), names(i, h))):
        torch.manual_seed(0)
        made.append(make(128, 128))
    named, written = made
    torch.testing.assert_close(named.state_dict(), written.state_dict(), rtol=0, atol=0)
    graphs = {str(rondo.Recurrent(cell, engine="reference").graph) for cell in made}
    assert len(graphs) == 1
    assert num_parameters(named) == int(row["parameters"])
    assert row["equation"]
    assert row["source"]
    assert row["engine"] in ("cpu", "reference")
    assert (PAGE.parent / "images" / "cells" / f"{name_in(row)}.svg").exists()


def names(input_size: int, hidden_size: int) -> dict[str, Any]:
    """What the expressions of the page are made of."""
    return {**vars(rondo.cells), "I": input_size, "H": hidden_size}


def ratios_in(results: Path) -> dict[str, tuple[str, str]]:
    """The medians of the ratios that were measured, by the name of the cell."""
    return {
        row["cell"].strip("`"): (
            row["forward, ratio"].split("**")[1],
            row["both ways, ratio"].split("**")[1],
        )
        for row in table_of(results)
    }


def test_the_page_has_the_speeds_that_were_measured() -> None:
    shown = {name_in(row): (row["forward"], row["forward and backward"]) for row in TABLE}
    measured = ratios_in(RESULTS)
    assert shown == measured


def test_the_script_writes_what_it_measures_where_it_is_read(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "cell_speed.py"
    options = ["--rounds", "1", "--output", str(tmp_path), "--cells", "min-gru"]
    subprocess.run([sys.executable, str(script), *options], check=True, capture_output=True)
    ((name, (forward, both)),) = ratios_in(tmp_path / RESULTS.name).items()
    expected = [
        row | {"engine": "cpu", "forward": forward, "forward and backward": both}
        if name_in(row) == name
        else row
        for row in TABLE
    ]
    assert name == "min-gru"
    assert table_of(tmp_path / PAGE.name) == expected


WRONG_CELLS: dict[str, tuple[Callable[[], Any], str]] = {
    "feedback": (
        lambda: rondo.JordanCell(I, H, feedback="y"),
        "feedback must be 'activated' or 'linear', got 'y'",
    ),
    "decay": (
        lambda: rondo.JordanCell(I, H, decay=1.0),
        "decay must be at least 0 and less than 1, got 1.0",
    ),
    "output width": (lambda: rondo.JordanCell(I, H, 0), "output_size must be .* got 0"),
    "state": (lambda: rondo.LRUCell(I, H, 0), "output_size must be .* got 0"),
    "widths": (
        lambda: rondo.DeepCell(I, H, output_sizes=(6, 0)),
        "every one of output_sizes must be a whole number of at least 1, got 0",
    ),
    "shortcut": (
        lambda: rondo.DeepCell(I, H, shortcut=True),
        "shortcut needs layers to lead past: give transition_sizes",
    ),
    "no stack": (rondo.StackedCell, "at least one cell, got none"),
    "stack": (
        lambda: rondo.StackedCell(rondo.GRUCell(I, H), rondo.GRUCell(I, H)),
        r"cell 2 of the stack must have input_size 5, the width of what enters it \(5\), got 3",
    ),
    "stack with shortcuts": (
        lambda: rondo.StackedCell(rondo.GRUCell(I, H), rondo.GRUCell(H, H), shortcuts=True),
        r"input_size 8, the width of what enters it \(5 \+ 3\), got 5",
    ),
    "forget bias": (
        lambda: rondo.LSTMCell(I, H, bias=False, forget_bias=1.0),
        "forget_bias needs bias=True, got 1.0 and no bias",
    ),
    "variant": (
        lambda: rondo.LSTMVariantCell(I, H, variant="NXG"),
        "variant must be 'vanilla' or 'NIG' .* got 'NXG'",
    ),
    "heads": (
        lambda: rondo.SLSTMCell(I, H, num_heads=2),
        "num_heads must divide hidden_size = 5, got 2",
    ),
    "reset": (
        lambda: rondo.GRUCell(I, H, reset="never"),
        "reset must be 'after' or 'before', got 'never'",
    ),
    "update": (
        lambda: rondo.GRUCell(I, H, update="both"),
        "update must be 'old' or 'new', got 'both'",
    ),
    "radii": (
        lambda: rondo.LRUCell(I, H, min_radius=0.9, max_radius=0.5),
        "0 <= min_radius < max_radius <= 1, got min_radius = 0.9, max_radius = 0.5",
    ),
}


@pytest.mark.parametrize("case", WRONG_CELLS)
def test_wrong_options_are_refused(case: str) -> None:
    make, message = WRONG_CELLS[case]
    with pytest.raises(ValueError, match=message):
        make()
