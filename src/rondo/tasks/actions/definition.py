"""What the task on actions states of itself."""

from __future__ import annotations

from dataclasses import dataclass

from rondo.training.definition import DRAWN, Command, Definition, path_field
from rondo.training.recipe import Recipe


@dataclass(frozen=True)
class Options:
    """Options of the task.

    Args:
        data: A folder of npz files or of KTH's videos, or "drawn": stick figures.
        bidirectional: Read backward too; such a network cannot answer frame by frame.
    """

    data: str = path_field(DRAWN)
    bidirectional: bool = False


@dataclass(frozen=True)
class Answering:
    """Options of a run that names actions.

    Args:
        stream: Answer after every frame, from those so far.
        min_confidence: Answer "not sure" where the probability of the answer is lower, 0 to 1.
    """

    stream: bool = False
    min_confidence: float = 0.0


@dataclass(frozen=True)
class Evaluating:
    """Options of the evaluation.

    Args:
        min_confidence: Also tell how many are answered with at least this probability, and how
            many of those rightly; none does not.
    """

    min_confidence: float | None = None


RECIPES = {
    "drawn": Recipe(
        cell="gru", hidden_size=32, batch_size=16, learning_rate=1e-2, schedule="cosine",
        num_sequences=8 * 480, dropout=0.2,
    ),
    "poses": Recipe(
        cell="gru", hidden_size=64, batch_size=32, learning_rate=3e-3, schedule="cosine",
        num_sequences=20_000, dropout=0.5,
    ),
    "signals": Recipe(
        cell="gru", hidden_size=64, batch_size=32, learning_rate=3e-3, schedule="cosine",
        num_sequences=16_000, dropout=0.5,
    ),
    "video": Recipe(
        cell="gru", hidden_size=64, batch_size=16, learning_rate=1e-3, schedule="cosine",
        num_sequences=20_000, dropout=0.5,
    ),
}  # fmt: skip
"""How to train on each kind of clips."""

ACTIONS = Definition(
    name="actions",
    summary="name what a person does, from poses, signals of motion or a video",
    options=Options,
    recipes=RECIPES,
    task="rondo.tasks.actions.task:actions",
    predict=Command("rondo.tasks.actions.answers:Answers", Answering),
    evaluate=Command("rondo.tasks.actions.evaluate:evaluate", Evaluating),
)
