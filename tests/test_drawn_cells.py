"""Cells drawn as people write them: right, or refused with a reason, on every way of calling."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

import drawn_pieces
from drawn_cells import Call, Recipe, check, recipes
from drawn_pieces import Piece
from plain_loop import SLOWER_MAY_RUN

pytestmark = SLOWER_MAY_RUN

as_drawn = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


@settings(as_drawn, max_examples=100, derandomize=True, phases=[Phase.generate])  # none smaller
@given(recipes())
def test_drawn_cells_are_right_or_refused(recipe: Recipe) -> None:
    check(recipe)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_many_drawn_cells_are_right_or_refused(part: int) -> None:
    """2,000 cells, in parts that run at the same time."""

    @seed(part)
    @settings(as_drawn, max_examples=250)
    @given(recipes())
    def run(recipe: Recipe) -> None:
        check(recipe)

    run()


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", [*drawn_pieces.EVERYDAY, *drawn_pieces.SELDOM], ids=lambda piece: piece.step
)
def test_each_piece_alone_is_right_or_refused(piece: Piece) -> None:
    """Dense, then ragged with resets after what the piece says has changed."""
    recipe = Recipe(
        state=drawn_pieces.STATES[1],
        parts=(drawn_pieces.CORES[0], piece),
        end=drawn_pieces.ENDS[0],
        output=drawn_pieces.OUTPUTS[0],
        names=drawn_pieces.NAMES,
        calls=(Call(), Call(batch_size=2, lengths=(4, 2), resets=((0, 2), (1, 0)))),
        change=1 if piece.change else None,
    )
    check(recipe)
