"""Words in pictures: how well a CRNN reads drawn words, captchas and licence plates; its speed.

The pictures of a captcha folder and of a folder of licence plates (`labels.csv` with file, text
and, of plates, source; plates are those of the source cn) are divided once by a seed: held-out
words, words to choose by, and the rest to train on. Captchas are learnt from the weights of a run
on drawn words, plates from new weights, and from those of that run. Then a training step is timed
beside the same network with torch.nn.LSTM, which gives the same numbers.

Every run is kept under --runs; started again, the program goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import csv
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from kept_runs import Kept, kept_run, write_page
from rondo.bench.measure import take_turns
from rondo.cells.named import num_parameters
from rondo.measures.intervals import percent
from rondo.models.crnn import CRNN
from rondo.models.ctc import ctc_distances
from rondo.tasks.text.answers import Decoding, Reader, TextScore
from rondo.tasks.text.definition import RECIPE
from rondo.tasks.text.task import text_words
from rondo.tasks.text.words import LABELS, Word, load_words
from torch_layers import TorchLayer

SPLIT_SEED = 0
DECODINGS = {"greedy": Decoding(), "beam of 10": Decoding("beam", 10)}


@dataclass(frozen=True)
class Collection:
    """Pictures that are divided, and how they are learnt.

    Args:
        num_test: Words held out.
        num_val: Words to choose by.
        source: The source of the rows that are taken, or None for all.
        epochs: How long to train.
        starts_from_drawn: Whether it starts from the weights of the run on drawn words.
    """

    num_test: int
    num_val: int
    source: str | None
    epochs: int
    starts_from_drawn: bool = False


DRAWN = "drawn"
"""The run on drawn words."""

COLLECTIONS = {
    "captcha, started from drawn": Collection(104, 84, None, 40, starts_from_drawn=True),
    "plates": Collection(200, 80, "cn", 80),
    "plates, started from drawn": Collection(200, 80, "cn", 60, starts_from_drawn=True),
}
PARTS = (DRAWN, *COLLECTIONS, "speed")


def divided(pictures: Path, place: Path, collection: Collection) -> Path:
    """A folder whose labels name the splits, and whose pictures are a link to those given."""
    place.mkdir(parents=True, exist_ok=True)
    link = place / "pictures"
    if not link.is_symlink():
        link.symlink_to(pictures.absolute())
    with (pictures / LABELS).open(encoding="utf-8") as file:
        rows = [
            row for row in csv.DictReader(file) if collection.source in (None, row.get("source"))
        ]
    splits = ["train"] * len(rows)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(rows)).tolist()
    for number, row in enumerate(order[: collection.num_test + collection.num_val]):
        splits[row] = "test" if number < collection.num_test else "val"
    with (place / LABELS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "text", "split"])
        for row, split in zip(rows, splits, strict=True):
            writer.writerow([f"pictures/{row['file']}", row["text"], split])
    return place


def scores(run: Path, splits: dict[str, list[Word]]) -> list[tuple[str, str, TextScore]]:
    """How well a run reads each split but train, by every way of decoding."""
    return [
        (name, how, Reader.load(run, decoding).score(words))
        for name, words in splits.items()
        if name != "train"
        for how, decoding in DECODINGS.items()
    ]


def row_of(label: str, split: str, how: str, score: TextScore, kept: Kept) -> str:
    right = score.words
    return (
        f"| {label} | {split} | {how} | {right.num_photos:g} | {percent(right)} | "
        f"{100 * score.character_error_rate:.2f} % | {kept.test['seconds'] / 60:.0f} |"
    )


HEAD = (
    "| run | split | decoding | words | right (95 % interval) | character error rate | "
    "training, minutes |\n|---|---|---|---|---|---|---|"
)


def measure_drawn(runs: Path, threads: int) -> list[str]:
    """The rows of a run on drawn words."""
    kept = kept_run(runs, DRAWN, "text", threads=threads)
    return [row_of(DRAWN, *item, kept) for item in scores(runs / DRAWN, text_words().splits)]


def measure_collection(runs: Path, name: str, pictures: Path, threads: int) -> list[str]:
    """The rows of a run on given pictures."""
    collection = COLLECTIONS[name]
    label = name.replace(", ", "-").replace(" ", "-")
    folder = divided(pictures, runs / "data" / name.partition(",")[0], collection)
    start = str(runs / DRAWN) if collection.starts_from_drawn else None
    kept = kept_run(
        runs, label, "text",
        data=str(folder), threads=threads, start_from=start, epochs=collection.epochs,
    )  # fmt: skip
    found = scores(runs / label, load_words(folder).splits)
    return [row_of(name, *item, kept) for item in found]


def with_torch(model: CRNN, channels: int, hidden_size: int) -> CRNN:
    """The same network, weights too, with `torch.nn.LSTM`."""
    other = CRNN(37, channels=channels, hidden_size=hidden_size)
    other.load_state_dict(model.state_dict())
    other.layers = nn.ModuleList(TorchLayer("lstm", layer) for layer in model.layers)
    return other


def training_step(model: CRNN, pictures: Tensor, targets: Tensor) -> Callable[[], None]:
    """One step, as a function to time."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)

    def step() -> None:
        loss = ctc_distances(model(pictures)[0], targets).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()

    return step


def speed_row(channels: int, hidden_size: int, num_rounds: int, batch_size: int = 32) -> str:
    """The speed of a training step of both networks."""
    torch.manual_seed(0)
    ours = CRNN(37, channels=channels, hidden_size=hidden_size)
    theirs = with_torch(ours, channels, hidden_size)
    pictures = torch.randint(0, 256, (batch_size, 128, 32)).float()
    targets = torch.randint(1, 37, (batch_size, 6))
    ours.eval(), theirs.eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(pictures)[0], theirs(pictures)[0], rtol=1e-3, atol=1e-4)
    ours.train(), theirs.train()
    steps = {
        name: training_step(model, pictures, targets)
        for name, model in (("rondo", ours), ("torch", theirs))
    }
    times = take_turns(steps, num_rounds)
    ratio = times["torch"].over(times["rondo"])
    low, high = ratio.quartiles
    return (
        f"| {channels} | {hidden_size} | {num_parameters(ours):,} | "
        f"{batch_size / times['rondo'].median:.1f} | {batch_size / times['torch'].median:.1f} | "
        f"{ratio.median:.2f} ({low:.2f} to {high:.2f}) |"
    )


def speed_section(num_rounds: int, threads: int) -> str:
    """The table of speeds."""
    torch.set_num_threads(threads)
    rows = [speed_row(*sizes, num_rounds) for sizes in ((16, 128), (64, 256))]
    head = (
        "| channels | hidden size | parameters | Rondo, pictures/s | torch.nn.LSTM, pictures/s | "
        "ratio, median (quartiles) |\n|---|---|---|---|---|---|"
    )
    return "\n".join([head, *rows])


def folder_of(part: str, folders: dict[str, Path | None]) -> Path | None:
    """The folder that a part learns from: that of the first word of its name."""
    return folders.get(part.partition(",")[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captcha", type=Path, help="folder of captchas")
    parser.add_argument("--plates", type=Path, help="folder of licence plates")
    parser.add_argument("--runs", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=15, help="of the speed")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    folders = {"captcha": arguments.captcha, "plates": arguments.plates}
    rows = []
    given = [
        part for part in arguments.parts if part not in COLLECTIONS or folder_of(part, folders)
    ]
    from_drawn = {name for name, item in COLLECTIONS.items() if item.starts_from_drawn}
    if {DRAWN, *from_drawn} & set(given):
        rows += measure_drawn(arguments.runs, arguments.threads)
    for part in given:
        pictures = folder_of(part, folders)
        if pictures is not None:
            rows += measure_collection(arguments.runs, part, pictures, arguments.threads)
    sections = ["\n".join([HEAD, *rows])] if rows else []
    if "speed" in arguments.parts:
        speed = speed_section(arguments.rounds, arguments.threads)
        sections.append(f"## Training speed\n\n{textwrap.fill(SPEED_NOTES, 98)}\n\n{speed}")
    file = arguments.output / "text.md"
    write_page(
        file,
        "Words in pictures",
        NOTES,
        sections,
        arguments.runs,
        arguments.captcha,
        arguments.plates,
    )


NOTES = f"""\
A word is right where every character is. The recipe is that of `rondo train text`:
{RECIPE.channels} channels in the first convolution, {RECIPE.num_layers} layers of
{RECIPE.hidden_size} {RECIPE.cell} units in each direction, Adam at {RECIPE.learning_rate:g} along
half a cosine, batches of {RECIPE.batch_size}, every training picture distorted anew. The weights
with the smallest loss on val are tested; nothing was chosen by the test. Minutes are those of the
training steps and checks. One run each.
"""

SPEED_NOTES = """\
A training step on 32 pictures of 128 x 32 pixels with words of 6 characters of 36, drawing and
distortion left out. Both networks have the same weights and give the same logits; only the
recurrent layers differ. Each side has its turn in every round.
"""


if __name__ == "__main__":
    main()
