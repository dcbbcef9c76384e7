"""The command `rondo show`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import rondo.looks.flow_picture  # noqa: F401, before `sys.modules` is replaced
from commands import Run

CELLS = """\
import torch
import helper

class MyCell(torch.nn.Module):
    input_size, state_size = 5, 6
    def __init__(self):
        super().__init__()
        self.U, self.W = torch.nn.Linear(5, 6), torch.nn.Linear(6, 6, bias=False)
    def forward(self, x, h):
        h = torch.tanh(self.U(x) + self.W(h))
        return h, h

class Branching(torch.nn.Module):
    state_size = 4
    def forward(self, x, h):
        return (h, h) if x.sum() > 0 else (x, h)

class Stateless(torch.nn.Module):
    def forward(self, x, h):
        return h, h

class Fails(torch.nn.Module):
    def __init__(self):
        raise KeyError("weights")

def made(input_size, hidden_size):
    import rondo
    return rondo.GRUCell(input_size, hidden_size)

one = MyCell()
layer = torch.nn.LSTM(3, 4, bidirectional=True)
rubbish = 3
"""


@pytest.fixture
def show(rondo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in a folder with a file of cells."""
    (tmp_path / "cells_of_mine.py").write_text(CELLS)
    (tmp_path / "helper.py").touch()
    (tmp_path / "broken.py").write_text("import torch\n\nx = 1 +\n")
    (tmp_path / "raises.py").write_text("import torch\nvalue = 1 / 0\n")
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return lambda words: rondo("show", *words.split())


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("lstm", "loop c(t+1) = add_1(t)"),
        ("gru --stage plan", "before (once, for all steps together)"),
        ("elman --stage backward", "grad_weight_hh"),
        ("elman --stage unrolled --steps 2", "tanh_2 = torch.ops.aten.tanh.default"),
        ("lstm --stage source", "void"),
        ("cells_of_mine.py:MyCell", "input x: float32[B, 5]"),
        ("cells_of_mine.py:one", "parameter U_weight: float32[6, 5]"),
        ("cells_of_mine.py:made --input-size 7 --hidden-size 2", "input x: float32[B, 7]"),
    ],
)
def test_a_cell_is_shown_as_text(show: Run, words: str, part: str) -> None:
    code, out, err = show(words)
    assert (code, err) == (0, "")
    assert part in out


@pytest.mark.parametrize("stage", ["graph", "unrolled", "plan", "backward"])
def test_a_cell_is_drawn(show: Run, tmp_path: Path, stage: str) -> None:
    for file, beginning in (("a.svg", "<svg"), ("a.dot", "digraph"), ("a.mmd", "flowchart")):
        assert show(f"cells_of_mine.py:MyCell --stage {stage} -o {file}") == (
            0,
            "",
            f"wrote {file}\n",
        )
        assert (tmp_path / file).read_text().startswith(beginning)
    ElementTree.parse(tmp_path / "a.svg")


def test_a_layer_of_several_loops_is_drawn(show: Run, tmp_path: Path) -> None:
    assert show("cells_of_mine.py:layer -o a.mmd") == (0, "", "wrote a.mmd\n")
    assert '"LSTM ←"' in (tmp_path / "a.mmd").read_text()
    assert show("cells_of_mine.py:layer --stage unrolled --steps 2 -o a.dot")[0] == 0
    assert "y(2)" in (tmp_path / "a.dot").read_text()


@pytest.mark.parametrize("words", ["", "-o a.txt", "--stage plan -o a.svg", "--stage gradient"])
def test_a_layer_of_several_loops_is_drawn_alone(show: Run, words: str) -> None:
    code, out, err = show(f"cells_of_mine.py:layer {words}")
    assert (code, out) == (2, "")
    assert "cells_of_mine.py:layer is a layer of several loops, which is drawn alone" in err


def test_the_flow_of_a_gradient_is_shown_and_drawn(show: Run, tmp_path: Path) -> None:
    code, out, err = show("cells_of_mine.py:MyCell --stage gradient --steps 9")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"h: ‖∂J/∂h\(t\)‖ \S+ at t = 0, 1 at t = 9\n", out)
    assert show("cells_of_mine.py:MyCell --stage gradient --steps 9 -o a.txt")[0] == 0
    assert (tmp_path / "a.txt").read_text() == out
    assert show("lstm --stage gradient -o a.svg") == (0, "", "wrote a.svg\n")
    ElementTree.parse(tmp_path / "a.svg")


def test_text_goes_to_a_file_of_text(show: Run, tmp_path: Path) -> None:
    assert show("gru --stage source --output gru.c")[0] == 0
    assert "void" in (tmp_path / "gru.c").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "rondo show needs CELL; see"),
        ("lst", "there is no cell 'lst'; did you mean 'lstm'?; a cell of your own is FILE.py:NAME"),
        ("transformer", "there are: tanh, relu, jordan"),
        ("lstm --stage plann", "there is no 'plann' here; did you mean 'plan'"),
        ("lstm --stag plan", "does not take '--stag'; did you mean '--stage'"),
        ("lstm --steps 3", "--steps goes with --stage unrolled or gradient; the stage is graph"),
        ("lstm --stage unrolled --steps 0", "must be a whole number of at least 1, got 0"),
        ("lstm --stage gradient --steps 0", "must be a whole number of at least 1, got 0"),
        ("lstm --stage gradient -o absent/a.svg", "cannot write absent/a.svg: No such file"),
        ("lstm --hidden-size 0", "hidden_size must be a whole number of at least 1, got 0"),
        ("lstm --hidden-size big", "argument --hidden-size: must be a whole number, but is 'big'"),
        (
            "lstm --stage source -o a.svg",
            "the stage source cannot be written as a.svg: it is not drawn",
        ),
        (
            "lstm -o a.png",
            "as a.png: a picture ends in .svg, .dot, .gv, .mmd; text ends in .txt or",
        ),
        ("lstm --stage plan -o a.JPG", "the stage plan cannot be written as a.JPG"),
        ("lstm --stage gradient -o a.dot", "a picture ends in .svg, .pdf, .png; text ends in .txt"),
        ("lstm --stage unrolled -o a.c", "text ends in .py, .txt or has no ending"),
        ("lstm gru", "rondo show does not take 'gru'; it is one word too many"),
        ("lstm -o absent/a.svg", "cannot write absent/a.svg: No such file or directory"),
        ("absent.py:MyCell", "there is no file absent.py; write FILE.py:NAME"),
        (":MyCell", "there is no file"),
        ("broken.py:MyCell", "broken.py cannot be run: line 3: SyntaxError"),
        ("raises.py:MyCell", "raises.py cannot be run: line 2: ZeroDivisionError"),
        ("cells_of_mine.py:MyCel", "has no 'MyCel'; did you mean 'MyCell'"),
        ("cells_of_mine.py:q", "there are: MyCell, Branching, Stateless, Fails, one"),
        ("cells_of_mine.py:rubbish", "is of type int, not a cell or its class"),
        ("cells_of_mine.py:Fails", "Fails() fails: KeyError: 'weights'"),
        ("cells_of_mine.py:Branching", "the step reads the value of a tensor"),
        ("cells_of_mine.py:Stateless", "Stateless has no initial state: give it a state_size"),
        ("cells_of_mine.py:MyCell --input-size 3", "has sizes of its own; leave out --input-size"),
    ],
)
def test_wrong_use_is_answered_in_one_line(
    show: Run, tmp_path: Path, words: str, message: str
) -> None:
    code, out, err = show(words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("rondo: ")
    with pytest.raises(ValueError, match=re.escape(message)):
        raise ValueError(err)
    assert not list(tmp_path.glob("a.*"))


def test_showing_needs_nothing_of_the_photo_extra() -> None:
    program = (
        "import sys\n"
        "for name in ('PIL', 'lightning', 'matplotlib', 'scipy', 'tensorboard', 'safetensors'):\n"
        "    sys.modules[name] = None\n"
        "from rondo.cli import main\n"
        "sys.exit(main(['show', 'elman']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "loop h(t+1) = tanh(t)" in done.stdout
