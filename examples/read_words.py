"""Read words in pictures: draw some, train a small CRNN on them, and read new ones.

    python examples/read_words.py                        # a few minutes on one core
    python examples/read_words.py --run RUN --picture docs/images/tasks/drawn_words.png

All words are drawn by the program. With --run the network is that of a run of `rondo train text`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rondo.data.sources import Example, together
from rondo.models.crnn import CRNN
from rondo.models.ctc import beam_search, best_of, ctc_distances, greedy
from rondo.tasks.text.answers import Reader, logits_of
from rondo.tasks.text.distort import Distortion, distorted
from rondo.tasks.text.drawn import Typesetter
from rondo.tasks.text.task import decoded, encoded
from rondo.tasks.text.words import Word

ALPHABET = "abcdefgh"
LEXICON = ("head", "cage", "bead", "face", "egg", "beach", "badge", "cabbage")
READ = ("loop", "gate", "state", "cell", "h2o", "time", "kernel", "unrolled")


def draw(text: str, seed: int, setter: Typesetter) -> Word:
    """A picture of a word, which depends on the word and the seed alone."""
    columns = torch.from_numpy(setter.draw(text, np.random.default_rng(seed)))
    generator = torch.Generator().manual_seed(seed)
    return Word(f"drawn {seed}", text, distorted(columns, Distortion(), generator))


def train(model: CRNN, setter: Typesetter, num_steps: int) -> None:
    """Train on new words in every step."""
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(num_steps):
        rng = np.random.default_rng([1, step])
        words = [draw(setter.any_word(rng, 2, 5), 1000 * step + i, setter) for i in range(16)]
        examples = [Example(w.columns, torch.tensor(encoded(w.text, ALPHABET))) for w in words]
        batch = together(examples)
        assert batch.lengths is not None
        logits, _ = model(batch.inputs, lengths=batch.lengths)
        loss = ctc_distances(logits, batch.targets, model.num_steps(batch.lengths)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        if step % 50 == 49:
            print(f"step {step + 1}: {loss.item():.2f} nats a word", flush=True)


def show(logits: Tensor, steps: Tensor, words: list[Word]) -> None:
    """Print what three ways of decoding make of words."""
    lexicon = [encoded(text, ALPHABET) for text in LEXICON]
    paths, beams = greedy(logits, steps), beam_search(logits, steps)
    for number, word in enumerate(words):
        plain = decoded(paths[number], ALPHABET)
        beam = decoded(beams[number][0][0], ALPHABET)
        index, _ = best_of(logits[number, : steps[number]], lexicon)
        print(f"{word.text:10} {plain:10} {beam:10} {LEXICON[index]}")


def save_picture(run: Path, path: Path) -> None:
    """Draw words that a run reads, with its answers."""
    import matplotlib.pyplot as plt

    reader, setter = Reader.load(run), Typesetter("".join(sorted(set("".join(READ)))))
    words = [draw(text, 40_000 + i, setter) for i, text in enumerate(READ)]
    figure, axes = plt.subplots(2, len(words) // 2, figsize=(9, 2.3), dpi=110)
    for axis, word, (answer, probability) in zip(
        axes.flat, words, reader.texts([word.columns for word in words]), strict=True
    ):
        axis.imshow(word.columns.T, cmap="gray", vmin=0, vmax=255)
        colour = "black" if answer == word.text else "firebrick"
        axis.set_title(f"{answer}  {100 * probability:.0f} %", fontsize=9, color=colour)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout(pad=0.4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    """Train and read, or draw the picture of a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--picture", type=Path, default=Path("drawn_words.png"))
    arguments = parser.parse_args()
    if arguments.run is not None:
        save_picture(arguments.run, arguments.picture)
        return
    torch.manual_seed(0)
    setter, model = Typesetter(ALPHABET), CRNN(len(ALPHABET) + 1, channels=8, hidden_size=64)
    train(model, setter, arguments.steps)
    words = [draw(text, 50_000 + i, setter) for i, text in enumerate(LEXICON)]
    print(f"\n{'drawn':10} {'greedy':10} {'beam':10} lexicon")
    show(*logits_of(model.eval(), [word.columns for word in words]), words)


if __name__ == "__main__":
    main()
