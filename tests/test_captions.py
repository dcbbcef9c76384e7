"""Captions: words, features, m-RNN, beam search, files and drawn pictures, BLEU."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rondo.models.beam_search import beam_search
from rondo.models.multimodal_rnn import MultimodalRNN
from rondo.models.resnet import ResNet
from rondo.tasks.captions.drawn import COLOURS, RELATIONS, SHAPES, draw_scene
from rondo.tasks.captions.features import NUM_FEATURES, picture_features
from rondo.tasks.captions.files import read_captions
from rondo.tasks.captions.scores import bleu, most_typical, nearest_captions
from rondo.tasks.captions.task import CaptionSource, Looker, Told, batch_of, captions, look_at
from rondo.tasks.captions.vocabulary import END, UNKNOWN, Vocabulary

COLOUR_WORDS = ("red", "green", "blue")


def photo_folder(root: Path, number: int = 12) -> Path:
    """Photos of one colour with two captions each, as a table with splits."""
    rows = []
    (root / "images").mkdir(parents=True)
    for n in range(number):
        colour = COLOUR_WORDS[n % 3]
        pixels = np.zeros((40, 48, 3), np.uint8)
        pixels[..., n % 3] = 150 + 5 * n % 100
        Image.fromarray(pixels).save(root / "images" / f"{n}.png")
        split = "train" if n < number - 4 else ("val", "test")[n % 2]
        for text in (f"A {colour} wall .", f"The wall, it is {colour}."):
            rows.append({"image": f"images/{n}.png", "split": split, "caption": text})
    write_table(root / "captions.csv", rows)
    return root


def write_table(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


# ---- words and pictures ----


def test_words_become_symbols_and_back() -> None:
    vocabulary = Vocabulary.of(["Ein Hund läuft.", "ein hund!", "Der Hund"], least_count=2)
    assert vocabulary.words == ("hund", "ein")
    assert vocabulary.encoded("Ein Hund fliegt").tolist() == [3, 2, UNKNOWN]
    assert vocabulary.decoded([3, 2]) == "ein hund"
    assert len(vocabulary) == 4


def test_a_batch_has_the_words_so_far_and_the_next_ones() -> None:
    vocabulary = Vocabulary(("a", "dog", "runs"))
    pairs = [(torch.zeros(3), "a dog runs"), (torch.ones(3), "dog")]
    batch = batch_of(pairs, vocabulary)
    assert batch.inputs.tolist() == [[END, 2, 3, 4], [END, 3, 0, 0]]
    assert batch.targets.tolist() == [[2, 3, 4, END], [3, END, 0, 0]]
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [4, 2]
    assert batch.pictures is not None
    assert batch.pictures.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_features_tell_colours_and_edges() -> None:
    plain = torch.zeros(1, 3, 64, 64)
    plain[:, 0] = 255
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::8] = 255
    features = picture_features(torch.cat([plain, stripes, stripes.transpose(2, 3)]))
    assert features.shape == (3, NUM_FEATURES)
    colours, edges = features[:, :108].view(3, 3, 36), features[:, -128:].view(3, 8, 16)
    assert colours[0].mean(1).tolist() == [1, 0, 0]
    assert not edges[0].any()
    strongest = [edges[n].sum(1).argmax().item() for n in (1, 2)]
    assert abs(strongest[0] - strongest[1]) == 4  # a right angle is half of the eight directions


def test_drawn_pictures_tell_of_what_they_show() -> None:
    scenes = [draw_scene(torch.Generator().manual_seed(seed)) for seed in range(40)]
    words = {word for scene in scenes for text in scene.captions for word in text.split()}
    known = {*COLOURS, *SHAPES, *" ".join(RELATIONS).split(), "a", "is", "there"}
    assert words == known
    for scene in scenes:
        colours = {word for word in scene.captions[0].split() if word in COLOURS}
        for colour in colours:
            apart = scene.pixels.float() - torch.tensor(COLOURS[colour])[:, None, None]
            assert int((apart.abs().amax(0) < 45).sum()) > 60


# ---- the network ----


def plain_network(model: MultimodalRNN, words: Tensor, features: Tensor) -> Tensor:
    """The equations of the docstring for the paper's kind of loop, step by step."""
    cell: Any = model.layers[0].cell
    h, logits = torch.zeros(len(words), cell.hidden_size), []
    look = (features - model.mean) / model.deviation
    for x in words.unbind(1):
        w = model.to_words(model.embed(x)).relu()
        h = torch.tanh(w @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T)
        a = model.from_words(w) + model.from_state(h) + model.from_picture(look)
        logits.append(model.output(1.7159 * torch.tanh(2 / 3 * a)))
    return torch.stack(logits, 1)


def test_the_network_is_its_equations() -> None:
    model = MultimodalRNN(9, (5,), cell="tanh", hidden_size=4, embedding_size=6, multimodal_size=7)
    features = torch.randn(8, 5)
    model.fit_features(features)
    words = torch.randint(9, (8, 6))
    logits, (last,) = model(words, pictures=features)
    torch.testing.assert_close(logits, plain_network(model, words, features))
    first, state = model(words[:, :2], pictures=features)
    second, (after,) = model(words[:, 2:], state, pictures=features)
    torch.testing.assert_close(torch.cat([first, second], 1), logits)
    torch.testing.assert_close(after, last)


@pytest.mark.parametrize("shape", [(5,), (3, 64, 64)])
def test_every_part_of_the_network_learns(shape: tuple[int, ...]) -> None:
    model = MultimodalRNN(
        9, shape, hidden_size=4, num_layers=2, embedding_size=6, multimodal_size=7
    )
    logits, _ = model(torch.randint(9, (3, 4)), pictures=torch.rand(3, *shape),
                      lengths=torch.tensor([4, 2, 1]))  # fmt: skip
    logits.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_symbols": 1}, "num_symbols must be at least 2, got 1"),
        ({"embedding_size": 0}, "embedding_size must be at least 1, got 0"),
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
        ({"picture_shape": (3, 60, 60)}, "S a multiple of 16"),
        ({"picture_shape": (3, 64, 80)}, "S a multiple of 16"),
        ({"picture_shape": ()}, "picture_shape must be"),
    ],
)
def test_a_network_for_captions_needs_sizes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultimodalRNN(**{"num_symbols": 9, "picture_shape": (5,), **options})
    with pytest.raises(ValueError, match=r"pictures must be \(B, 5\), got \(2, 4\)"):
        MultimodalRNN(9, (5,))(torch.zeros(2, 1, dtype=torch.long), pictures=torch.zeros(2, 4))


# ---- beam search ----


class Chain:
    """A network whose next symbol depends on the last two, from a table."""

    def __init__(self, num_symbols: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.table = 2 * torch.randn(num_symbols, num_symbols, num_symbols, generator=generator)

    def __call__(self, symbols: Tensor, state: Any) -> tuple[Tensor, Any]:
        before = torch.zeros_like(symbols) if state is None else state
        return self.table[before, symbols], symbols

    def log_probability(self, symbols: Sequence[int]) -> float:
        total, before, last = 0.0, 0, 0
        for symbol in (*symbols, 0):
            total += float(self.table[before, last].double().log_softmax(0)[symbol])
            before, last = last, symbol
        return total


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("power", [0.0, 0.7, 1.0])
def test_a_wide_beam_finds_what_trying_everything_finds(seed: int, power: float) -> None:
    chain, most = Chain(4, seed), 4
    every = [s for n in range(most + 1) for s in itertools.product((1, 2, 3), repeat=n)]
    scores = {s: chain.log_probability(s) / (len(s) + 1) ** power for s in every}
    best = sorted(scores, key=lambda s: -scores[s])[:5]
    (found,) = beam_search(chain, 1, end=0, width=500, most_symbols=most, length_power=power)
    found = found[:5]
    assert [item.symbols for item in found] == best
    for item in found:
        assert item.log_probability == pytest.approx(chain.log_probability(item.symbols), abs=1e-5)
        assert item.score == pytest.approx(scores[item.symbols], abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("power", [0.0, 1.0])
def test_a_beam_of_one_is_greedy(seed: int, power: float) -> None:
    chain = Chain(6, seed)
    symbols: list[int] = []
    before = last = 0
    while len(symbols) < 10 and (found := int(chain.table[before, last].argmax())) != 0:
        symbols.append(found)
        before, last = last, found
    ((answer,),) = beam_search(chain, 1, end=0, width=1, most_symbols=10, length_power=power)
    assert answer.symbols == tuple(symbols)
    assert answer.log_probability == pytest.approx(chain.log_probability(symbols), abs=1e-5)


def test_a_forbidden_symbol_is_never_said_and_the_others_keep_their_probabilities() -> None:
    chain = Chain(4, 1)
    every = [s for n in range(5) for s in itertools.product((1, 3), repeat=n)]
    best = sorted(every, key=lambda s: -chain.log_probability(s) / (len(s) + 1))[:5]
    (found,) = beam_search(chain, 1, end=0, width=500, most_symbols=4, length_power=1.0, never=(2,))
    assert [item.symbols for item in found[:5]] == best
    assert len(found) == len(every)
    assert found[0].log_probability == pytest.approx(chain.log_probability(best[0]), abs=1e-5)


@pytest.mark.parametrize("options", [{"width": 0}, {"most_symbols": 0}, {"length_power": 1.5}])
def test_beam_search_needs_numbers(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="width and most_symbols must be at least 1"):
        beam_search(Chain(3, 0), 1, end=0, **options)


# ---- files ----


def test_captions_are_read_from_a_table(tmp_path: Path) -> None:
    sets = read_captions(photo_folder(tmp_path))
    assert {name: len(photos) for name, photos in sets.splits.items()} == {
        "train": 8, "val": 2, "test": 2
    }  # fmt: skip
    first = sets.splits["train"][0]
    assert first.captions == ("A red wall .", "The wall, it is red.")
    assert first.path.is_file()
    assert str(sets) == "train 8, val 2, test 2 photos with captions; none skipped"


def test_captions_are_read_from_the_files_of_flickr8k(tmp_path: Path) -> None:
    photo_folder(tmp_path)
    (tmp_path / "captions.csv").unlink()
    (tmp_path / "images").rename(tmp_path / "Flicker8k_Dataset")
    lines = [f"{n}.png#{k}\ta wall number {n} ." for n in range(12) for k in range(2)]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines))
    for name, numbers in (("train", range(8)), ("dev", (8, 9)), ("test", (10, 11))):
        text = "\n".join(f"{n}.png" for n in numbers)
        (tmp_path / f"Flickr_8k.{name}Images.txt").write_text(text)
    sets = read_captions(tmp_path)
    assert [photo.name for photo in sets.splits["val"]] == ["8.png", "9.png"]
    assert sets.splits["test"][0].captions == ("a wall number 10 .", "a wall number 10 .")
    (tmp_path / "Flickr_8k.trainImages.txt").write_text("0.png\n1.png")
    sets = read_captions(tmp_path)
    assert str(sets) == (
        "train 2, val 2, test 2 photos with captions; 6 skipped: no file of splits names the "
        "photo (6)"
    )


def test_photos_without_a_split_are_divided(tmp_path: Path) -> None:
    photo_folder(tmp_path, 60)
    rows = list(csv.DictReader((tmp_path / "captions.csv").read_text().splitlines()))
    (tmp_path / "captions.csv").unlink()
    plain = [{"image": row["image"][7:], "caption": row["caption"]} for row in rows]
    write_table(tmp_path / "captions.txt", plain)
    first, second = (read_captions(tmp_path, seed=seed) for seed in (0, 1))
    names = [{p.name for p in sets.splits["test"]} for sets in (first, second)]
    assert names[0] != names[1]
    assert sum(map(len, first.splits.values())) == 60


def test_what_cannot_be_used_is_skipped_and_told(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path)
    Image.new("RGB", (8, 8)).save(folder / "images" / "alone.png")
    with (folder / "captions.csv").open("a") as file:
        file.write("images/none.png,train,a wall\nimages/0.png,train, .\n../x.png,train,a\nx\n")
    sets = read_captions(folder)
    assert [item.reason for item in sets.skipped] == [
        "the file is missing",
        "the caption has no word",
        "the path leads out of the folder of the data",
        "the row does not have as many cells as the first line",
        "the photo has no caption",
    ]
    assert "5 skipped" in str(sets)
    (folder / "images" / "1.png").write_text("nothing")
    splits, skipped = look_at(sets, Looker(None))
    assert len(splits["train"]) == 7
    assert [item.path for item in skipped] == ["images/1.png"]


def ruined(root: Path, kind: str) -> None:
    """Damages a folder of captions."""
    rows = list(csv.DictReader((root / "captions.csv").read_text().splitlines()))
    if kind == "no file":
        (root / "captions.csv").unlink()
    elif kind == "no column":
        write_table(root / "captions.csv", [{"image": "a"}])
    elif kind == "no photos":
        write_table(root / "captions.csv", [{**row, "image": "none.png"} for row in rows])
    elif kind == "no test":
        write_table(root / "captions.csv", [{**row, "split": "train"} for row in rows])
    elif kind == "no text":
        (root / "captions.csv").unlink()
        (root / "Flickr8k.token.txt").write_bytes(b"\xff\xfe\x00")
    elif kind == "unreadable":
        for row in rows:
            if row["split"] == "val":
                (root / row["image"]).write_text("nothing")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no file", r"holds no captions; captions need a folder with captions.csv"),
        ("no column", r"captions.csv has no column caption"),
        ("no photos", r"only 0 of 24 captions of .*captions.csv can be used .* line 2: none.png"),
        ("no test", r"captions.csv has no photo of the split val"),
        ("no text", r"Flickr8k.token.txt cannot be read as text in UTF-8"),
        ("unreadable", r"no photo of the split val can be read; for example .*images/8.png"),
    ],
)
def test_what_cannot_be_learnt_from_is_named(tmp_path: Path, kind: str, message: str) -> None:
    ruined(photo_folder(tmp_path), kind)
    with pytest.raises(ValueError, match=message):
        captions(str(tmp_path))


def test_every_training_caption_is_seen_once_in_an_epoch(tmp_path: Path) -> None:
    source = captions(str(photo_folder(tmp_path))).source
    assert isinstance(source, CaptionSource)
    assert source.num_train() == 16
    batches = [source.training_batch(3, step, 4) for step in range(4)]
    pictures = torch.cat([b.pictures for b in batches if b.pictures is not None])
    assert len(pictures.unique(dim=0)) == 8


def test_a_resnet_makes_the_features_where_its_weights_are_given(tmp_path: Path) -> None:
    torch.save(ResNet(18).state_dict(), tmp_path / "resnet.pth")
    task = captions(str(photo_folder(tmp_path / "data")), weights=str(tmp_path / "resnet.pth"))
    assert task.model_arguments["picture_shape"] == [512]
    with pytest.raises(ValueError, match="leave out --weights"):
        captions(weights="resnet.pth")


# ---- scores ----


def test_bleu_is_what_its_definition_gives() -> None:
    answers = ["the dog runs on the grass", "a cat"]
    references = [["a dog runs on grass .", "The dog is on the grass"], ["a cat sits"]]
    # 1-grams: the 2 of 2, dog, runs, on, grass: 6 of 6; a, cat: 2 of 2. Lengths 8 against 6 + 3.
    # 2-grams: the dog, dog runs, runs on, on the, the grass: 5 of 5; a cat: 1 of 1
    # 3-grams: dog runs on, on the grass: 2 of 4
    penalty = math.exp(1 - 9 / 8)
    found = bleu(answers, references)
    assert found.orders[0] == pytest.approx(100 * penalty)
    assert found.orders[1] == pytest.approx(100 * penalty)
    assert found.orders[2] == pytest.approx(100 * penalty * 0.5 ** (1 / 3))
    assert found.exact == 0
    assert bleu(["a cat sits"], [["A cat sits .", "b"]]).exact == 100


def test_the_most_typical_caption_and_the_nearest_one() -> None:
    texts = ["a dog runs fast", "a dog runs here", "a dog runs away", "seven ships sail north"]
    told = [Told(str(n), torch.tensor([float(n), 0.0]), (text,)) for n, text in enumerate(texts)]
    assert most_typical(told).startswith("a dog runs")
    asked = [
        Told("x", torch.tensor([2.9, 0.0]), ("?",)),
        Told("y", torch.tensor([0.2, 0.0]), ("?",)),
    ]
    assert nearest_captions(asked, told) == [texts[3], texts[0]]
