"""Text drawn from a network that predicts the next character."""

from __future__ import annotations

from pathlib import Path

import torch

from rondo.errors import RunError
from rondo.models.sequence_model import SequenceModel
from rondo.tasks.characters.task import encoded
from rondo.training.sequences.folder import SequenceFolder


def sample_run(path: Path, *, length: int, temperature: float, start: str, seed: int) -> str:
    """Returns text that a run of `rondo train characters` makes.

    Args:
        path: The run folder.
        length: The number of characters.
        temperature: What the logits are divided by: below 1 likely characters become likelier; at
            0 the likeliest is taken.
        start: What the text begins with; it is not returned.
        seed: The seed of the draws.

    Raises:
        RunError: If the run or a number cannot be used.
    """
    if length < 1:
        raise RunError(f"the length must be 1 or more, but is {length}")
    if temperature < 0:
        raise RunError(f"the temperature must be 0 or more, but is {temperature}")
    folder = SequenceFolder(path, "characters")
    task = folder.read_config().task
    model, origin = folder.read_model_and_origin()
    symbols = origin.get("symbols")
    if symbols is None or task != folder.task:
        raise RunError(
            f"{path} does not predict characters; sample a run of `rondo train characters`"
        )
    assert isinstance(model, SequenceModel)
    generator = torch.Generator().manual_seed(seed)
    return sample(model, symbols, length, temperature, start or "\n", generator)


@torch.no_grad()
def sample(
    model: SequenceModel,
    symbols: str,
    length: int,
    temperature: float,
    start: str,
    generator: torch.Generator,
) -> str:
    """Returns text drawn from a network; arguments as for :func:`sample_run`.

    P(k) = softmax(y(t) / temperature)_k, without the symbol that stands for unknown characters.
    """
    given, state, text = encoded(start, symbols)[None], None, ""
    for _ in range(length):
        outputs, state = model(given, state)
        logits = outputs[0, -1]
        logits[0] = -torch.inf  # unknown characters
        if temperature == 0:
            number = int(logits.argmax())
        else:
            probabilities = (logits / temperature).softmax(-1)
            number = int(torch.multinomial(probabilities, 1, generator=generator))
        text += symbols[number]
        given = torch.tensor([[number]])
    return text
