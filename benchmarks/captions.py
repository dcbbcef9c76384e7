"""Captions of photos: BLEU beside two simple answers, photos learnt by heart, and the speed.

A network is trained on a folder of photos with captions by the recipe of `rondo train captions`,
and the weights with the smallest loss on val are tested once. Another learns 50 training photos
with one caption each by heart. Then a training step is timed beside the same network with
torch.nn's recurrent layer, which gives the same numbers.

Every run is kept under --runs; started again, the program goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import copy
import csv
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

from kept_runs import SEEDS, kept_run, note, write_page
from torch_layers import TorchLayer

import torch  # isort: skip
from torch import nn  # isort: skip

from rondo.bench.measure import take_turns
from rondo.cells.named import num_parameters
from rondo.data.batch import Batch
from rondo.models.multimodal_rnn import MultimodalRNN
from rondo.system.columns import markdown_table
from rondo.tasks.captions.definition import CAPTIONS, RECIPES
from rondo.tasks.captions.evaluate import CaptionScore, evaluate
from rondo.tasks.captions.features import NUM_FEATURES
from rondo.tasks.captions.files import Captioned, read_captions
from rondo.tasks.captions.scores import Bleu, bleu
from rondo.tasks.captions.task import LEAST_COUNT, MULTIMODAL_SIZE
from rondo.tasks.captions.vocabulary import words_of
from rondo.training.objective import Objective
from rondo.training.run_folder import RunFolder

RECIPE = RECIPES["files"]
NUM_BY_HEART, EPOCHS_BY_HEART = 50, 60
NUM_SYMBOLS, NUM_WORDS = 1_500, 12
"""Of the network that is timed, and of the captions that it is timed on."""


def said_of_others(score: CaptionScore, photos: list[Captioned]) -> Bleu:
    """What the network's captions are worth if each is said of the photo after its own."""
    references = {photo.name: photo.captions for photo in photos}
    names, said = list(score.said), list(score.said.values())
    return bleu([said[-1], *said[:-1]], [references[name] for name in names])


def most_frequent(photos: list[Captioned]) -> str:
    """The caption that is told most often, the first in the alphabet among equals."""
    numbers = Counter(" ".join(words_of(text)) for photo in photos for text in photo.captions)
    return min(numbers, key=lambda text: (-numbers[text], text))


def score_rows(
    split: str, scores: list[CaptionScore], photos: dict[str, list[Captioned]]
) -> list[list[str]]:
    """The lines of a split in the table; several runs have a range."""
    references = [photo.captions for photo in photos[split]]
    frequent = [most_frequent(photos["train"])] * len(references)
    answers: dict[str, list[Bleu | None]] = {
        "the network": [score.bleu for score in scores],
        "its captions, each of another photo": [
            said_of_others(score, photos[split]) for score in scores
        ],
        "the most frequent caption": [bleu(frequent, references)],
        "the best of one caption for all": [scores[0].typical],
        "the nearest photo's caption": [scores[0].nearest],
    }
    rows = []
    for label, found in answers.items():
        orders = zip(*(item.orders for item in found if item is not None), strict=True)
        rows.append([split, label, *map(ranged, orders), ""])
    rows[0][-1] = ranged([score.perplexity or 0.0 for score in scores])
    return rows


def ranged(values: Sequence[float]) -> str:
    """The mean, and of several values the least and the greatest."""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def learnt_by_heart(runs: Path, data: Path, threads: int) -> str:
    """How many of 50 captions greedy decoding gives back, with how many words in all."""
    place = runs / "by-heart-data"
    place.mkdir(parents=True, exist_ok=True)
    photos = read_captions(data).splits["train"][:NUM_BY_HEART]
    with (place / "captions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "split", "caption"])
        for number, photo in enumerate(photos):
            for split in ("train", "val", "test"):  # it is asked for what it has learnt
                name = f"{split}-{number}{photo.path.suffix}"
                if not (place / name).is_symlink():
                    (place / name).symlink_to(photo.path.absolute())
                writer.writerows([[name, split, photo.captions[0]]] * LEAST_COUNT)  # all known
    options = {"data": str(place), "epochs": EPOCHS_BY_HEART, "dropout": 0.0, "threads": threads}
    kept_run(runs, "by-heart", "captions", **options)
    folder = RunFolder(runs / "by-heart", CAPTIONS)
    score = evaluate(folder, split="test", beam_width=1).scores["test"]
    return (
        f"{round(score.bleu.exact * NUM_BY_HEART / 100)} of {NUM_BY_HEART} captions are given back "
        "word for word."
    )


def with_torch_layer(model: MultimodalRNN) -> MultimodalRNN:
    """The same network, its recurrent layer run by torch.nn."""
    other = copy.deepcopy(model)
    other.layers = nn.ModuleList(TorchLayer(RECIPE.cell, layer) for layer in model.layers)
    return other


def training_step(model: MultimodalRNN, batch: Batch) -> Callable[[], None]:
    """One step, as a function to time."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
    objective = Objective("cross_entropy")

    def step() -> None:
        logits, _ = model(batch.inputs, pictures=batch.pictures, lengths=batch.lengths)
        loss = objective(logits, batch.targets, batch.lengths)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()

    return step


def speed_row(num_rounds: int) -> list[str]:
    """The speed of a training step of both networks."""
    torch.manual_seed(0)
    ours = MultimodalRNN(
        NUM_SYMBOLS, (NUM_FEATURES,), cell=RECIPE.cell, hidden_size=RECIPE.hidden_size,
        embedding_size=RECIPE.embedding_size or 128, multimodal_size=MULTIMODAL_SIZE["files"],
    )  # fmt: skip
    theirs = with_torch_layer(ours)
    words = torch.randint(NUM_SYMBOLS, (RECIPE.batch_size, NUM_WORDS + 1))
    lengths = torch.randint(NUM_WORDS // 2, NUM_WORDS + 1, (RECIPE.batch_size,))
    lengths[0] = NUM_WORDS
    batch = Batch(words[:, :-1], words[:, 1:], lengths,
                  pictures=torch.randn(RECIPE.batch_size, NUM_FEATURES))  # fmt: skip
    real = torch.arange(NUM_WORDS) < lengths[:, None]
    with torch.no_grad():
        pair = [
            model(batch.inputs, pictures=batch.pictures, lengths=lengths)[0][real]
            for model in (ours, theirs)
        ]
    torch.testing.assert_close(*pair, rtol=1e-4, atol=1e-4)
    steps = {"rondo": training_step(ours, batch), "torch": training_step(theirs, batch)}
    times = take_turns(steps, num_rounds, turn_s=0.3)
    ratio = times["torch"].over(times["rondo"])
    low, high = ratio.quartiles
    speeds = [f"{RECIPE.batch_size / times[name].median:.0f}" for name in ("rondo", "torch")]
    note(f"speed: {speeds}")
    return [f"{num_parameters(ours):,}", *speeds, f"{ratio.median:.2f} ({low:.2f} to {high:.2f})"]


NOTES = """\
The division is that of the file of captions. BLEU is that of sacrebleu over the whole split,
against all captions of a photo, in lower case and without punctuation; the network's captions are
found by beam search with 5 beginnings. Said of the photo after its own, each tells what the
network knows of the language alone: what it is worth more of its own photo, it owes to the photo.
"The best of one caption for all" is the training caption with the highest BLEU-4 against all
training photos, so it is fitted to this very measure; the nearest photo is the training photo whose
features are nearest. No weights of other data are used: photos are seen through fixed features. Of
the network the mean over the seeds 0, 1, 2, in brackets the least and the greatest.
"""

SPEED_NOTES = f"""\
A training step on {RECIPE.batch_size} captions of {NUM_WORDS // 2} to {NUM_WORDS} words, without
dropout. Both networks have the same weights and give the same logits; only the recurrent layer
differs. Each side has its turn in every round.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of photos with captions")
    parser.add_argument("--runs", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--rounds", type=int, default=15, help="of the speed")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sections = []
    if arguments.data is not None:
        kept = [
            kept_run(
                arguments.runs,
                f"photos-{seed}",
                "captions",
                data=str(arguments.data),
                threads=arguments.threads,
                seed=seed,
            )
            for seed in SEEDS
        ]
        folders = [RunFolder(arguments.runs / f"photos-{seed}", CAPTIONS) for seed in SEEDS]
        scores = [evaluate(folder).scores for folder in folders]
        photos = read_captions(arguments.data).splits
        rows = [
            row
            for split in scores[0]
            for row in score_rows(split, [score[split] for score in scores], photos)
        ]
        head = ["split", "answer", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "perplexity"]
        sections.append(markdown_table(head, rows))
        minutes = mean(run.test["seconds"] for run in kept) / 60
        sections.append(f"A training took {minutes:.1f} minutes.")
        heart = learnt_by_heart(arguments.runs, arguments.data, arguments.threads)
        sections.append(f"## Learnt by heart\n\n{heart}")
    head = ["parameters", "Rondo, captions/s", f"torch.nn.{RECIPE.cell.upper()}, captions/s",
            "ratio (quartiles)"]  # fmt: skip
    speed = markdown_table(head, [speed_row(arguments.rounds)])
    sections.append(f"## Training speed\n\n{textwrap.fill(SPEED_NOTES, 98)}\n\n{speed}")
    file = arguments.output / "captions.md"
    write_page(file, "Captions", NOTES, sections, arguments.runs, arguments.data)


if __name__ == "__main__":
    main()
