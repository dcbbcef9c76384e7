"""CTC is decoded batch by batch as row by row in plain Python: `plain_decoding`."""

from __future__ import annotations

import gc
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import plain_decoding as plain
from rondo.models import ctc, ctc_kernels

KINDS = ("any", "few values", "all equal", "some impossible")
SIZES = [
    (1, 2, 3),
    (5, 2, 3),
    (12, 3, 4),
    (30, 3, 8),
    (30, 2, 5),
    (20, 5, 1),
    (25, 20, 8),
    (6, 4, 900),
]
"""Steps, symbols and the width of the beam, which may be above the number of symbols, or texts."""


@pytest.fixture(params=["C", "torch"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What decodes CTC: the compiled functions, or torch as where there is no compiler."""
    if request.param == "torch":
        monkeypatch.setattr(ctc_kernels, "library", lambda: None)
    else:
        assert ctc_kernels.library() is not None
    return str(request.param)


def logits_of(kind: str, num_rows: int, num_steps: int, num_symbols: int) -> Tensor:
    generator = torch.Generator().manual_seed(num_steps + num_symbols)
    logits = 3 * torch.randn(num_rows, num_steps, num_symbols + 1, generator=generator)
    if kind == "few values":
        return logits.round()
    if kind == "all equal":
        return torch.zeros_like(logits)
    if kind == "some impossible":
        logits[torch.rand(logits.shape, generator=generator) < 0.4] = -math.inf
        logits[..., 1][logits.amax(-1) == -math.inf] = 0.0
    return logits


def check_same(found: list[Any], expected: list[Any]) -> None:
    """The same texts in the same order, with the same logarithms but for rounding."""
    for row, wanted in zip(found, expected, strict=True):
        assert [text for text, _ in row] == [text for text, _ in wanted]
        assert [log for _, log in row] == pytest.approx([log for _, log in wanted], rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("num_steps", "num_symbols", "width"), SIZES)
def test_a_batch_is_read_as_row_by_row(
    num_steps: int, num_symbols: int, width: int, kind: str
) -> None:
    logits = logits_of(kind, 5, num_steps, num_symbols)
    steps = torch.tensor([num_steps, 0, max(1, num_steps // 2), num_steps, num_steps - 1])
    rows = [row[:count] for row, count in zip(logits, steps, strict=True)]
    expected = [plain.ctc_beam_search(row, width) for row in rows]
    check_same(ctc.beam_search(logits, steps, width=width), expected)
    assert ctc.greedy(logits, steps) == [plain.greedy(row) for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_read_alike_in_every_batch(kind: str) -> None:
    logits = logits_of(kind, 7, 20, 4)
    together = ctc.beam_search(logits, width=6)
    assert together == [ctc.beam_search(row[None], width=6)[0] for row in logits]
    assert together == ctc.beam_search(logits.transpose(0, 1).contiguous().transpose(0, 1), width=6)


def test_more_rows_than_are_searched_together(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, steps = logits_of("any", 5, 9, 3), torch.tensor([9, 2, 0, 5, 7])
    whole = ctc.beam_search(logits, steps, width=3)
    monkeypatch.setattr(ctc, "MOST_CANDIDATES", 2 * 3 * 4)
    assert ctc.beam_search(logits, steps, width=3) == whole


def test_nothing_to_read() -> None:
    assert ctc.greedy(torch.zeros(0, 4, 3)) == ctc.beam_search(torch.zeros(0, 4, 3)) == []
    assert ctc.greedy(torch.zeros(2, 0, 3)) == [(), ()]
    assert ctc.beam_search(torch.zeros(2, 0, 3)) == [[((), 0.0)]] * 2


def test_blanks_alone_read_nothing() -> None:
    logits = torch.full((1, 30, 4), -math.inf)
    logits[..., ctc.BLANK] = 0.0
    assert ctc.greedy(logits) == [()]
    assert ctc.beam_search(logits) == [[((), 0.0)]]


@pytest.mark.parametrize(
    ("path", "text"), [((1, 1, 1), (1,)), ((1, 0, 1, 1), (1, 1)), ((2, 2, 0, 0, 2, 1), (2, 2, 1))]
)
def test_repeats(path: tuple[int, ...], text: tuple[int, ...]) -> None:
    certain = torch.full((1, len(path), 3), -math.inf)
    certain[0, range(len(path)), list(path)] = 0.0
    assert ctc.beam_search(certain) == [[(text, 0.0)]]
    assert ctc.greedy(certain) == [text]


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy_where_one_path_has_nearly_all(seed: int) -> None:
    logits = torch.randn(4, 30, 6, generator=torch.Generator().manual_seed(seed))
    paths = torch.randint(0, 6, (4, 30), generator=torch.Generator().manual_seed(seed))
    logits.scatter_add_(2, paths[:, :, None], torch.full((4, 30, 1), 30.0))
    found = ctc.beam_search(logits, width=1)
    assert [row[0][0] for row in found] == ctc.greedy(logits)


def test_a_beam_of_one_adds_paths_where_greedy_does_not() -> None:
    logits = torch.tensor([[[0.4, 0.6], [0.55, 0.45], [0.4, 0.6]]]).log()
    assert ctc.greedy(logits) == [(1, 1)]  # the path a - a
    assert [text for text, _ in ctc.beam_search(logits, width=1)[0]] == [(1,)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_steps_without_probabilities_are_refused(value: float) -> None:
    logits = torch.zeros(3, 4, 3)
    logits[1, 2, 1] = value
    with pytest.raises(
        ValueError, match=rf"not all of them -inf, got .* to {value:g} at step 2 of"
    ):
        ctc.beam_search(logits)
    logits[1, 2] = -math.inf
    with pytest.raises(ValueError, match="got -inf to -inf at step 2 of row 1; look for what made"):
        ctc.beam_search(logits)
    found = ctc.beam_search(logits, torch.tensor([4, 2, 4]))  # beyond the steps of its row
    assert found[1] == ctc.beam_search(torch.zeros(1, 2, 3))[0]


@pytest.mark.parametrize("value", [math.nan, -math.nan])
def test_nan_counts_as_the_likeliest_on_the_likeliest_path(value: float) -> None:
    logits = torch.tensor([[[0.0, 1.0, value], [5.0, 1.0, 1.0], [0.0, value, math.inf]]])
    assert ctc.greedy(logits) == [(2, 1)]
    assert ctc.greedy(torch.tensor([[[value, math.inf]]])) == [()]


def test_of_equal_numbers_the_likeliest_path_takes_the_first() -> None:
    logits = torch.tensor([[[-1.0, -0.0, 0.0], [-2.0, -3.0, -2.0], [-math.inf] * 3, [-3, -2, -1]]])
    assert ctc.greedy(logits) == [(1, 2)]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (torch.tensor([4]), r"steps must be \(B,\) with the B = 2 of the logits, got \(1,\)"),
        (torch.tensor([4, 5]), "steps must be from 0 to the T = 4 of the logits, got 4 to 5"),
        (torch.tensor([-1, 3]), "steps must be from 0 to the T = 4 of the logits, got -1 to 3"),
    ],
)
def test_wrong_numbers_of_steps_are_refused(steps: Tensor, message: str) -> None:
    for search in (ctc.greedy, ctc.beam_search):
        with pytest.raises(ValueError, match=message):
            search(torch.zeros(2, 4, 3), steps)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_logits_of_other_numbers(dtype: torch.dtype) -> None:
    logits = logits_of("any", 3, 8, 3).to(dtype).requires_grad_()
    expected = [plain.ctc_beam_search(row, 4) for row in logits.detach()]
    check_same(ctc.beam_search(logits, width=4), expected)
    assert ctc.greedy(logits) == [plain.greedy(row) for row in logits]


@pytest.mark.parametrize("engine", ["C"], indirect=True)
def test_without_a_compiler_there_are_no_compiled_functions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ctc_kernels._library.cache_clear()
    gc.collect()  # a library that is still loaded would serve
    monkeypatch.setenv("CC", str(tmp_path / "nothing"))
    monkeypatch.setenv("RONDO_CACHE", str(tmp_path))
    assert ctc_kernels.library() is None


@pytest.mark.parametrize("engine", ["C"], indirect=True)
def test_a_search_that_memory_cannot_hold() -> None:
    logs = torch.zeros(1, 3, dtype=torch.float64).expand(2**20, -1)
    library = ctc_kernels.library()
    assert library is not None
    with pytest.raises(
        MemoryError, match="search 1048576 steps with a width of 4096; take a smaller"
    ):
        ctc_kernels.search(library, logs, 2**12)
