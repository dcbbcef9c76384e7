"""What a run that predicts characters says of a text, and the text that it writes.

In goes a text, out comes how many bits each of its characters costs, and what the network would
write next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from rondo.data.given import Unusable, each_file, source_name, text_of
from rondo.errors import RunError
from rondo.models.sequence_model import SequenceModel
from rondo.tasks.characters.definition import CHARACTERS
from rondo.tasks.characters.task import encoded
from rondo.training.answers import Given, why_not
from rondo.training.run_folder import read_run
from rondo.training.run_paths import task_of
from rondo.training.task import BITS

NUM_CONTINUED = 40
"""So many characters are written on."""

NUM_NEXT = 3
"""So many of the likeliest next characters are told."""

READ_TOGETHER = 2000
"""Characters that go through the network at once."""


@dataclass(frozen=True)
class Measured:
    """What the network says of a text.

    Args:
        source: The file's path, or "standard input".
        num_characters: The characters of the text.
        bits: Bits a character, the mean of -log2 p over all but the first, which nothing predicts;
            None where there is only one, or no text.
        num_unknown: Characters that the network has no symbol for.
        next_characters: The likeliest characters after the text, with their probabilities.
        continuation: The text goes on with these, each the likeliest after those before.
        error: Why the text cannot be read.
    """

    source: str
    num_characters: int = 0
    bits: float | None = None
    num_unknown: int = 0
    next_characters: dict[str, float] = field(default_factory=dict)
    continuation: str = ""
    error: str | None = None


class Answers:
    """What `rondo predict` tells of a run that predicts characters.

    Args:
        run: The run folder.

    Raises:
        RunError: If the run cannot be used.
    """

    columns = ("source", "num_characters", "bits", "num_unknown", "next_characters",
               "continuation", "error")  # fmt: skip
    head = f"{'bits a character':>16} {'characters':>10}  text, and what would come next"
    notes: tuple[str, ...] = ()

    def __init__(self, run: Path) -> None:
        self.model, self.symbols = read_characters(run)

    def iterate(self, sources: Sequence[Given]) -> Iterator[Measured]:
        """Yields what the network says of each text; of a folder the files that end in .txt."""
        for file in each_file(sources, (".txt",), "text"):
            yield self._measured(file)

    def line(self, answer: Measured) -> str:
        """Returns bits, size and continuation, or why there is no answer."""
        if answer.error is not None:
            return f"{'unread':>16} {'-':>10}  {why_not(answer.source, answer.error)}"
        bits = "-" if answer.bits is None else f"{answer.bits:.3f}"
        unknown = f", {answer.num_unknown} unknown" if answer.num_unknown else ""
        line = f"{bits:>16} {answer.num_characters:10}  {answer.source}{unknown}"
        chances = (f"{name!r} {100 * p:.0f} %" for name, p in answer.next_characters.items())
        return f"{line}\n{'':29}next {', '.join(chances)}: {answer.continuation!r}"

    def _measured(self, file: Path | BinaryIO | Unusable) -> Measured:
        name = source_name(file)
        if isinstance(file, Unusable):
            return Measured(name, error=file.error)
        try:
            text = text_of(file)
        except ValueError as error:
            return Measured(name, error=str(error))
        if not text:
            return Measured(name, error="the file holds no text; give one character or more")
        return self.measure(name, text)

    @torch.no_grad()
    def measure(self, name: str, text: str) -> Measured:
        """Returns what the network says of a text.

        Args:
            name: What to call it.
            text: One character or more.
        """
        numbers, state, nats = encoded(text, self.symbols), None, 0.0
        outputs = torch.empty(0)
        for some in numbers.split(READ_TOGETHER):
            if len(outputs):  # the character that the window before predicts
                nats += float(cross_entropy(outputs[0, -1:].double(), some[:1]))
            outputs, state = self.model(some[None], state)
            logits = outputs[0, :-1].double()
            nats += float(cross_entropy(logits, some[1:], reduction="sum"))
        chances = _known(outputs[0, -1]).softmax(-1)
        best, places = chances.topk(min(NUM_NEXT, len(self.symbols) - 1))
        names = [self.symbols[place] for place in places.tolist()]
        bits = nats / BITS / (len(text) - 1) if len(text) > 1 else None
        return Measured(
            name,
            len(text),
            bits,
            int((numbers == 0).sum()),
            dict(zip(names, best.tolist(), strict=True)),
            continued(self.model, self.symbols, outputs[0, -1], state, NUM_CONTINUED, 0.0),
        )


def read_characters(run: Path) -> tuple[SequenceModel, str]:
    """Returns the network of a run of `rondo train characters`, and its symbols.

    Raises:
        RunError: If the run cannot be used, or is of another task.
    """
    _, model, origin = read_run(run, CHARACTERS, SequenceModel)
    return model, origin["symbols"]


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
    if not 0 <= temperature < float("inf"):
        raise RunError(f"the temperature must be 0 or more, but is {temperature}")
    task = task_of(path)
    if task not in (None, CHARACTERS.name):
        raise RunError(
            f"{path} does not predict characters; sample a run of `rondo train characters`"
        )
    model, symbols = read_characters(path)
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
    outputs, state = model(encoded(start, symbols)[None])
    return continued(model, symbols, outputs[0, -1], state, length, temperature, generator)


@torch.no_grad()
def continued(
    model: SequenceModel,
    symbols: str,
    logits: Tensor,
    state: Any,
    length: int,
    temperature: float,
    generator: torch.Generator | None = None,
) -> str:
    """Returns the text that follows.

    Args:
        model: The network.
        symbols: What its outputs stand for.
        logits: Of the first character.
        state: The state before it.
        length: The number of characters.
        temperature: See :func:`sample_run`.
        generator: Draws, where the temperature is above 0.
    """
    text = ""
    while True:
        known = _known(logits)
        if temperature == 0:
            number = int(known.argmax())
        else:
            chances = (known / temperature).softmax(-1)
            number = int(torch.multinomial(chances, 1, generator=generator))
        text += symbols[number]
        if len(text) == length:
            return text
        outputs, state = model(torch.tensor([[number]]), state)
        logits = outputs[0, -1]


def _known(logits: Tensor) -> Tensor:
    """Logits without the symbol that stands for unknown characters."""
    return logits.index_fill(0, torch.tensor([0]), -torch.inf)
