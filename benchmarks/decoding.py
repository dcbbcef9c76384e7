"""Decoding of a whole batch beside decoding item by item: CTC and the captions of pictures.

Item by item is plain Python over tests/plain_decoding.py, as Rondo decoded before. Both sides must
give the same texts for every item before anything is timed. Each side has its turn in every round;
item by item is timed on a few items, and what is compared is the time of one item.

    python benchmarks/decoding.py [--rounds 5] [--threads 1] [--output DIR]
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # what decoding means

import plain_decoding as plain
from kept_runs import note, write_page
from rondo.bench.measure import busy_note, take_turns
from rondo.models import ctc, ctc_kernels
from rondo.models.beam_search import Found, beam_search
from rondo.models.multimodal_rnn import MultimodalRNN
from rondo.tasks.captions.task import MULTIMODAL_SIZE, drawn_vocabulary
from rondo.tasks.captions.vocabulary import END, UNKNOWN

NUM_ITEMS = 64
NUM_STEPS, NUM_SYMBOLS, CTC_WIDTH = 100, 80, 8
CAPTION_WIDTH, MOST_WORDS, NUM_WORDS = 5, 30, 1500
TURN_S = 0.02
Text = tuple[tuple[int, ...], float]


@dataclass(frozen=True)
class Case:
    """What is decoded in both ways.

    Args:
        name: What it is.
        one: From the number of an item to its texts with their scores, the best first.
        together: From the number of items to those of the first so many of them.
        num_plain: How many items are timed one by one.
        num_items: How many items are decoded together.
        num_turns: How many rounds become one, for what is quick.
    """

    name: str
    one: Callable[[int], list[Text]]
    together: Callable[[int], list[list[Text]]]
    num_plain: int
    num_items: int = NUM_ITEMS
    num_turns: int = 1


def lines_of(margin: float) -> Tensor:
    """Logits of lines: blanks, and 9 symbols of two steps, so far above random numbers."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(NUM_ITEMS, NUM_STEPS, NUM_SYMBOLS + 1, generator=generator)
    logits[:, :, ctc.BLANK] += margin
    for line in range(NUM_ITEMS):
        for symbol, start in enumerate(range(4, NUM_STEPS - 6, 10)):
            number = 1 + (7 * line + 13 * symbol) % NUM_SYMBOLS
            logits[line, start : start + 2, number] += 2 * margin
    return logits


def ctc_cases() -> Iterable[Case]:
    """Lines by greedy decoding and by beam search, in C and in torch."""
    clear, unsure = lines_of(12.0), lines_of(0.0)
    for logits, kind in ((clear, "clear lines"), (unsure, "random logits")):
        yield Case(f"CTC, likeliest path, {kind}", *greedily(logits), NUM_ITEMS, num_turns=5)
        yield Case(f"CTC, beam of {CTC_WIDTH}, {kind}", *by_beams(logits), num_plain=2)
    one, together = by_beams(clear)
    yield Case(f"CTC, beam of {CTC_WIDTH}, one clear line", one, together, 1, num_items=1)
    without = without_compiler(together)
    yield Case(f"CTC, beam of {CTC_WIDTH}, clear lines, no compiler", one, without, 2)


def greedily(logits: Tensor) -> tuple[Any, Any]:
    """Reads lines by their likeliest paths."""

    def together(number: int) -> list[list[Text]]:
        return [[(text, 0.0)] for text in ctc.greedy(logits[:number])]

    return lambda item: [(plain.greedy(logits[item]), 0.0)], together


def by_beams(logits: Tensor) -> tuple[Any, Any]:
    """Reads lines by beam search."""
    return (
        lambda item: plain.ctc_beam_search(logits[item], CTC_WIDTH),
        lambda number: ctc.beam_search(logits[:number], width=CTC_WIDTH),
    )


def without_compiler(run: Callable[[int], Any]) -> Callable[[int], Any]:
    """The same as where there is no C compiler."""

    def changed(number: int) -> Any:
        kept, ctc_kernels.library = ctc_kernels.library, lambda: None
        try:
            return run(number)
        finally:
            ctc_kernels.library = kept

    return changed


def caption_case(name: str, num_words: int, shape: tuple[int, ...], size: int) -> Case:
    """Captions of pictures by a network whose weights are random."""
    torch.manual_seed(0)
    model = MultimodalRNN(num_words, shape, multimodal_size=size).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 2
    pictures = torch.randn(NUM_ITEMS, *shape)
    options: dict[str, Any] = {
        "end": END, "width": CAPTION_WIDTH, "most_symbols": MOST_WORDS, "never": (UNKNOWN,)
    }  # fmt: skip

    def one(item: int) -> list[Text]:
        def step(symbols: Tensor, state: Any) -> tuple[Tensor, Any]:
            seen = pictures[item].expand(len(symbols), *shape)
            logits, after = model(symbols[:, None], state, pictures=seen)
            return logits[:, -1], after

        return texts_of(plain.beam_search(step, **options))

    @torch.no_grad()
    def together(number: int) -> list[list[Text]]:
        of_pictures = model.seen(pictures[:number])

        def step(symbols: Tensor, state: Any) -> tuple[Tensor, Any]:
            before, seen = (None, of_pictures) if state is None else state
            logits, after = model.next_words(symbols[:, None], before, seen=seen)
            return logits[:, -1], (after, seen)

        return [texts_of(found) for found in beam_search(step, number, **options)]

    return Case(name, one, together, num_plain=4)


def texts_of(found: Sequence[Found]) -> list[Text]:
    return [(item.symbols, item.score) for item in found]


def row_of(case: Case, num_rounds: int) -> str:
    """A line of the table, after both sides gave the same."""
    found = case.together(case.num_items)
    most = 0.0
    for item, texts in enumerate(found):
        expected = case.one(item)
        if [text for text, _ in texts] != [text for text, _ in expected]:
            raise SystemExit(f"{case.name}: item {item} is {texts}, alone {expected}")
        pairs = zip(texts, expected, strict=True)
        most = max(most, *(abs(a - b) for (_, a), (_, b) in pairs))
    lengths = [len(texts[0][0]) for texts in found]
    turns = {
        "one": lambda: [case.one(item) for item in range(case.num_plain)],
        "together": lambda: case.together(case.num_items),
    }
    times = take_turns(turns, num_rounds * case.num_turns, turn_s=TURN_S)
    one = times["one"].scaled(1000 / case.num_plain)
    together = times["together"].scaled(1000 / case.num_items)
    ratio = one.over(together)
    low, high = ratio.shown
    row = (
        f"| {case.name} | {case.num_items} | {sum(lengths) / len(lengths):.0f} | "
        f"{one.median:.3g} | {together.median:.3g} | {ratio.median:.3g} "
        f"({low:.3g} to {high:.3g}) | {most:.1g} |"
    )
    note(row)
    return row


HEAD = (
    "| what | items together | symbols of a text | one at a time, ms an item | together, ms an "
    "item | ratio (range) | greatest difference of scores |\n|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if ctc_kernels.library() is None:
        raise SystemExit("there is no C compiler; see `rondo doctor`")
    words = len(drawn_vocabulary().words)
    cases = [
        *ctc_cases(),
        caption_case(
            f"captions, drawn pictures, {words} words", words, (3, 64, 64), MULTIMODAL_SIZE["drawn"]
        ),
        caption_case(
            f"captions, 300 features, {NUM_WORDS} words",
            NUM_WORDS,
            (300,),
            MULTIMODAL_SIZE["files"],
        ),
    ]
    busy = busy_note()
    rows = [row_of(case, arguments.rounds) for case in cases]
    sections = ["\n".join([HEAD, *rows])]
    if busy is not None:
        sections.append(textwrap.fill(f"Not quiet: {busy}.", 98))
    write_page(arguments.output / "decoding.md", "Decoding", NOTES, sections, None)


NOTES = f"""\
CTC: lines of {NUM_STEPS} steps with {NUM_SYMBOLS} symbols and the blank. Clear lines have 9 symbols
far above the others, between blanks; in random logits nearly every step is another symbol, as in a
network that has learnt nothing. Captions: a beam of {CAPTION_WIDTH}, at most {MOST_WORDS} words, a
GRU with 256 units, random weights. Together, each picture is looked at once; one at a time at every
word, as Rondo did before.

All items gave the same texts in the same order both ways. The ratio is that of the times of one
item in the same round, with its range: the quartiles, of fewer than 8 rounds the lowest and the
highest. Finding the greatest number of each step was one operation of torch before too, so
likeliest paths gain least. Captions with many words are bound by the products of the network.
"""


if __name__ == "__main__":
    main()
