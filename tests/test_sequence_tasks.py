"""The tasks on sequences, each against its definition."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from rondo.data.batch import Batch
from rondo.data.seeds import seed_layers
from rondo.data.sources import Collection, Example, one_hot, together
from rondo.tasks.characters.task import characters
from rondo.tasks.digits_by_row.task import digits_by_row
from rondo.tasks.memory.adding import adding, multiplication
from rondo.tasks.memory.copying import copying
from rondo.tasks.memory.parity import parity
from rondo.tasks.memory.reber import SYMBOLS as REBER
from rondo.tasks.memory.reber import draw_string, reber
from rondo.tasks.memory.temporal_order import SYMBOLS, temporal_order_6a, temporal_order_6b
from rondo.tasks.music.task import music, transposed
from rondo.tasks.registry import definition_of, task_names
from rondo.training.task import Task

GENERATED = {
    "adding": adding,
    "multiplication": multiplication,
    "temporal-order-6a": temporal_order_6a,
    "temporal-order-6b": temporal_order_6b,
}


def many(task: Task, num: int = 2000) -> Batch:
    return task.source.training_batch(seed=3, step=5, batch_size=num)


def equal(first: Batch, second: Batch) -> bool:
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


# --- what all generated tasks have in common


@pytest.mark.parametrize("name", GENERATED)
def test_lengths_are_t_to_t_and_a_tenth(name: str) -> None:
    lengths = many(GENERATED[name](40)).lengths
    assert lengths is not None
    assert set(lengths.tolist()) == {40, 41, 42, 43, 44}


@pytest.mark.parametrize("name", GENERATED)
def test_batches_depend_on_the_seed_and_the_step_alone(name: str) -> None:
    source = GENERATED[name](30).source
    assert equal(source.training_batch(1, 2, 8), source.training_batch(1, 2, 8))
    assert not equal(source.training_batch(1, 2, 8), source.training_batch(1, 3, 8))
    assert not equal(source.training_batch(1, 2, 8), source.training_batch(2, 2, 8))


@pytest.mark.parametrize("name", GENERATED)
def test_checks_are_fresh_and_the_test_is_fixed(name: str) -> None:
    first, second = GENERATED[name](30).source, GENERATED[name](30).source
    checks = [next(iter(source.check_batches(0, step))) for source in (first,) for step in (1, 2)]
    assert not equal(*checks)
    tests = [list(source.test_batches()) for source in (first, second)]
    assert all(equal(a, b) for a, b in zip(*tests, strict=True))
    assert sum(len(batch.inputs) for batch in tests[0]) == 2000


@pytest.mark.parametrize("name", GENERATED)
def test_too_short_sequences_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the length must be 20 or more, but is 19"):
        GENERATED[name](19)


# --- adding and multiplication


@pytest.mark.parametrize("name", ["adding", "multiplication"])
def test_pairs_are_marked_as_defined(name: str) -> None:
    length = 40
    batch = many(GENERATED[name](length))
    assert batch.lengths is not None
    seen_first, seen_second = set(), set()
    for pairs, num_steps in zip(batch.inputs, batch.lengths.tolist(), strict=True):
        values, markers = pairs[:num_steps].T
        low = -1 if name == "adding" else 0
        assert low <= values.min()
        assert values.max() <= 1
        assert markers[0] == markers[-1] == -1
        marked = (markers == 1).nonzero().flatten().tolist()
        assert len(marked) in (1, 2)  # one where the first pair is the other
        assert int((markers == 0).sum()) == num_steps - 2 - len(marked)
        assert marked[0] < 10 or len(marked) == 1
        assert marked[-1] <= length // 2 - 1  # among the first T/2 - 1 but for the first mark
        seen_first.add(marked[0])
        seen_second.add(marked[-1])
    assert seen_first >= set(range(1, 10))
    assert seen_second >= set(range(10, 20))
    assert max(seen_second) == length // 2 - 1


def test_the_target_of_adding() -> None:
    batch = many(adding(40))
    values, markers = batch.inputs.unbind(-1)
    sums = (values * (markers == 1)).sum(1)
    torch.testing.assert_close(batch.targets[:, 0], 0.5 + sums / 4)
    assert float(batch.targets.min()) >= 0
    assert float(batch.targets.max()) <= 1


def test_the_target_of_multiplication() -> None:
    batch = many(multiplication(40))
    values, markers = batch.inputs.unbind(-1)
    torch.testing.assert_close(batch.targets[:, 0], torch.where(markers == 1, values, 1.0).prod(1))


def test_an_answer_is_right_within_four_hundredths() -> None:
    task = adding(20)
    batch = many(task, 4)
    assert task.right is not None
    errors = torch.tensor([[0.0], [0.039], [-0.041], [0.3]])
    assert task.right(batch.targets + errors, batch).tolist() == [True, True, False, False]


# --- temporal order


@pytest.mark.parametrize(
    ("make", "places"),
    [
        (temporal_order_6a, [(10, 20), (50, 60)]),
        (temporal_order_6b, [(10, 20), (33, 43), (66, 76)]),
    ],
)
def test_orders_are_as_defined(make: Any, places: list[tuple[int, int]]) -> None:
    batch = many(make(100))
    assert batch.lengths is not None
    seen: list[set[int]] = [set() for _ in places]
    for vectors, num_steps, label in zip(
        batch.inputs, batch.lengths.tolist(), batch.targets.tolist(), strict=True
    ):
        assert bool((vectors[:num_steps].sum(-1) == 1).all())
        string = "".join(SYMBOLS[i] for i in vectors[:num_steps].argmax(-1))
        assert string[0] == "E"
        assert string[-1] == "B"
        marks = [t for t, symbol in enumerate(string) if symbol in "XY"]
        assert len(marks) == len(places)
        assert set(string[1:-1]) <= set("abcdXY")
        for t, (low, high), found in zip(marks, places, seen, strict=True):
            assert low <= t <= high
            found.add(t)
        orders = {"XX": 0, "XY": 1, "YX": 2, "YY": 3}
        if len(marks) == 2:
            assert label == orders["".join(string[t] for t in marks)]
        else:
            bits = "".join("01"[string[t] == "Y"] for t in marks)
            assert label == int(bits, 2)
    assert seen == [set(range(low, high + 1)) for low, high in places]
    assert set(batch.targets.tolist()) == set(range(2 ** len(places)))


def test_an_order_is_right_where_every_output_is_clear() -> None:
    task = temporal_order_6a(20)
    batch = Batch(torch.zeros(2, 1, 8), torch.tensor([1, 1]))
    probabilities = torch.tensor([[0.1, 0.75, 0.1, 0.05], [0.31, 0.69, 0.0001, 0.0001]])
    assert task.right is not None
    assert task.right(probabilities.log(), batch).tolist() == [True, False]


# --- Reber


def accepts(string: str) -> bool:
    """Whether the embedded grammar makes a string: the grammar as a regular expression.

    From node 3 the string goes T*V to node 5; from there P X back to 3, or V or P S to node 6.
    """
    from_3 = "T*V(PXT*V)*(V|PS)"
    from_4 = f"(X{from_3}|S)"
    inner = f"B(TS*X{from_4}|P{from_3})E"
    return re.fullmatch(f"B(T{inner}T|P{inner}P)E", string) is not None


def test_reber_strings_are_of_the_grammar() -> None:
    generator = torch.Generator().manual_seed(0)
    strings = [draw_string(generator)[0] for _ in range(3000)]
    assert all(accepts(string) for string in strings)
    assert min(map(len, strings)) == 9
    assert {"BTBTXSETE", "BPBPVVEPE", "BTBPVVETE"} <= set(strings)


def test_the_checker_refuses_what_is_not_of_the_grammar() -> None:
    for string in ("BTBTXSEPE", "BTBTXSET", "BPBPVEPE", "BTBTSSETE", "BTBXSETE"):
        assert not accepts(string)


def test_what_may_follow_is_what_does_follow() -> None:
    generator = torch.Generator().manual_seed(1)
    following: dict[str, set[str]] = {}
    said: dict[str, str] = {}
    for _ in range(3000):
        string, followers = draw_string(generator)
        assert len(followers) == len(string) - 1
        for end in range(1, len(string)):
            following.setdefault(string[:end], set()).add(string[end])
            said[string[:end]] = followers[end - 1]
    often = [prefix for prefix in following if len(prefix) <= 6]
    assert often
    for prefix in often:
        assert following[prefix] == set(said[prefix]), prefix


def test_a_reber_string_is_right_where_all_allowed_symbols_beat_all_others() -> None:
    task = reber()
    batches = list(task.source.test_batches())
    assert sum(len(batch.inputs) for batch in batches) == 256
    batch = batches[0]
    assert batch.allowed is not None
    assert task.right is not None
    outputs = batch.allowed.float()
    outputs[0, 3] = 1 - outputs[0, 3]
    right = task.right(outputs, batch)
    assert not right[0]
    assert right[1:].all()


def test_reber_targets_are_the_next_symbols() -> None:
    batch = reber().source.training_batch(0, 0, 4)
    assert batch.lengths is not None
    for row, num_steps in enumerate(batch.lengths.tolist()):
        symbols = batch.inputs[row, :num_steps].argmax(-1)
        assert torch.equal(symbols[1:], batch.targets[row, : num_steps - 1])
        assert REBER[int(batch.targets[row, num_steps - 1])] == "E"


def test_other_seeds_have_other_strings_but_one_test() -> None:
    first, second = reber(0).source, reber(1).source
    assert not equal(first.training_batch(0, 0, 4), second.training_batch(0, 0, 4))
    assert equal(next(iter(first.test_batches())), next(iter(second.test_batches())))


# --- music


def rolls(path: Path, lengths: tuple[int, ...] = (5, 9, 7), **changes: Any) -> Path:
    """A file of small random piano rolls."""
    random = np.random.default_rng(0)
    cell = np.empty((1, len(lengths)), dtype=object)
    for number, length in enumerate(lengths):
        cell[0, number] = (random.random((length, 88)) < 0.05).astype(np.uint8)
    savemat(str(path), {"traindata": cell, "validdata": cell, "testdata": cell, **changes})
    return path


def test_music_predicts_the_next_step(tmp_path: Path) -> None:
    task = music(str(rolls(tmp_path / "a.mat")))
    (batch,) = task.source.test_batches()
    assert batch.inputs.shape == batch.targets.shape == (3, 8, 88)
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [4, 8, 6]
    assert torch.equal(batch.inputs[1, 1:], batch.targets[1, :-1])
    assert task.source.num_train() == 3


def test_what_is_no_music_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent\.mat: the file is missing"):
        music(str(tmp_path / "absent.mat"))
    (tmp_path / "text.mat").write_text("no matlab, " * 50)
    with pytest.raises(ValueError, match="cannot be read as a MATLAB file"):
        music(str(tmp_path / "text.mat"))
    savemat(str(tmp_path / "other.mat"), {"x": np.zeros(3)})
    with pytest.raises(ValueError, match="has no traindata, validdata, testdata"):
        music(str(tmp_path / "other.mat"))
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = np.zeros((4, 12))
    with pytest.raises(ValueError, match=r"must be \(T, 88\) .* got \(4, 12\)"):
        music(str(rolls(tmp_path / "narrow.mat", testdata=cell)))


def test_transposed_pieces_keep_their_notes() -> None:
    generator = torch.Generator().manual_seed(0)
    roll = torch.zeros(4, 88, dtype=torch.uint8)
    roll[0, 2] = roll[1, 40] = roll[3, 86] = 1
    found = {}
    for _ in range(50):
        moved = transposed(Example(roll[:-1], roll[1:]), generator, semitones=4)
        whole = torch.cat([moved.inputs[:1], moved.targets])
        first = int(whole[0].nonzero())
        found[first - 2] = whole
        assert torch.equal(whole, roll.roll(first - 2, 1))
    assert set(found) == {-2, -1, 0, 1}  # four up would leave the keyboard


# --- collections


def test_an_epoch_sees_every_sequence_once() -> None:
    examples = [Example(torch.full((2, 1), float(n)), torch.tensor(n)) for n in range(10)]
    source = Collection(examples, examples[:1], examples[:1])
    seen = [int(n) for step in range(5) for n in source.training_batch(0, step, 4).targets]
    epochs = seen[:10], seen[10:]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert epochs[0] != epochs[1]


def test_sequences_of_several_lengths_are_padded_together() -> None:
    batch = together(
        [
            Example(torch.ones(2, 3), torch.tensor([1, 2])),
            Example(torch.ones(1, 3), torch.tensor([3])),
        ]
    )
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [2, 1]
    assert batch.inputs.sum() == 9
    assert batch.targets.tolist() == [[1, 2], [3, 0]]


def test_one_hot_vectors() -> None:
    assert one_hot(torch.tensor([1, -1]), 3).tolist() == [[0, 1, 0], [0, 0, 0]]


DRAWN = [name for name in task_names() if not definition_of(name).takes_data]


@pytest.mark.parametrize("name", DRAWN)
def test_a_task_is_what_its_definition_states(name: str) -> None:
    definition = definition_of(name)
    task = definition.make_task(definition.options())
    assert task.name == name
    assert task.recipe == next(iter(definition.recipes.values()))
    assert task.unused == definition.unused


def test_the_tasks_that_draw_their_sequences_are_those_of_memory() -> None:
    assert [*GENERATED, "reber", "copy", "parity"] == DRAWN


# --- copy and parity


def test_copies_are_as_defined() -> None:
    batch = many(copying(7), 200)
    symbols = batch.inputs.argmax(-1)
    assert symbols.shape == batch.targets.shape == (200, 27)
    assert bool((batch.inputs.sum(-1) == 1).all())
    assert set(symbols[:, :10].flatten().tolist()) == set(range(1, 9))
    assert bool((symbols[:, 10:16] == 0).all())  # T - 1 blanks
    assert bool((symbols[:, 16] == 9).all())
    assert bool((symbols[:, 17:] == 0).all())
    assert bool((batch.targets[:, :17] == 0).all())
    assert torch.equal(batch.targets[:, 17:], symbols[:, :10])


def test_a_copy_is_right_where_all_ten_symbols_are() -> None:
    task = copying(3)
    batch = many(task, 2)
    outputs = one_hot(batch.targets, 9)
    outputs[0, 0] = 7.0 * one_hot(torch.tensor(5), 9)  # before the sign nothing counts
    outputs[1, -1] = 0
    outputs[1, -1, (int(batch.targets[1, -1]) + 1) % 9] = 1
    assert task.right is not None
    assert task.right(outputs, batch).tolist() == [True, False]


def test_parities_are_as_defined() -> None:
    batch = many(parity(20), 50)
    assert batch.lengths is not None
    assert set(batch.lengths.tolist()) == {20, 21, 22}
    for bits, targets in zip(batch.inputs[..., 0].tolist(), batch.targets.tolist(), strict=True):
        odd = False
        for bit, target in zip(bits, targets, strict=True):
            odd ^= bool(bit)
            assert target == odd


def test_a_parity_is_right_where_it_is_at_every_step() -> None:
    task = parity(20)
    batch = many(task, 3)
    outputs = one_hot(batch.targets, 2)
    assert batch.lengths is not None
    outputs[1, 4] = outputs[1, 4].flip(0)
    outputs[2, int(batch.lengths[2]) :] = 0.5
    assert task.right is not None
    assert task.right(outputs, batch).tolist() == [True, False, True]


# --- digits


def idx(path: Path, values: np.ndarray, *, packed: bool = False) -> None:
    """A file in the form of MNIST."""
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    content = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)


def digit_files(folder: Path, part: str, num: int, *, packed: bool) -> np.ndarray:
    random = np.random.default_rng(num)
    images = random.integers(0, 256, (num, 28, 28))
    end = ".gz" if packed else ""
    idx(folder / f"{part}-images-idx3-ubyte{end}", images, packed=packed)
    idx(folder / f"{part}-labels-idx1-ubyte{end}", np.arange(num) % 10, packed=packed)
    return images


@pytest.mark.parametrize("packed", [True, False])
def test_digits_are_read_row_by_row(tmp_path: Path, packed: bool) -> None:
    digit_files(tmp_path, "train", 24, packed=packed)
    images = digit_files(tmp_path, "t10k", 7, packed=packed)
    task = digits_by_row(str(tmp_path))
    (batch,) = task.source.test_batches()
    torch.testing.assert_close(batch.inputs, torch.tensor(images / 255, dtype=torch.float32))
    assert batch.targets.tolist() == list(range(7))
    assert task.source.num_train() == 20
    assert sum(len(b.inputs) for b in task.source.check_batches(0, 0)) == 4
    assert task.right is not None
    assert task.right(one_hot(batch.targets, 10), batch).all()


def test_ten_thousand_digits_alone_are_split(tmp_path: Path) -> None:
    digit_files(tmp_path, "t10k", 40, packed=True)
    source = digits_by_row(str(tmp_path)).source
    assert source.num_train() == 32
    (test,) = source.test_batches()
    assert test.targets.tolist() == [n % 10 for n in range(36, 40)]


def test_what_holds_no_digits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no t10k-images-idx3-ubyte or .*gz in"):
        digits_by_row(str(tmp_path))
    digit_files(tmp_path, "t10k", 5, packed=False)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03 short")
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte is no IDX file"):
        digits_by_row(str(tmp_path))
    idx(tmp_path / "t10k-images-idx3-ubyte", np.zeros((4, 28, 28)))
    with pytest.raises(ValueError, match=r"got \(4, 28, 28\) and \(5,\)"):
        digits_by_row(str(tmp_path))


# --- characters


def text_file(path: Path, text: str = "the cat sat on the mat; " * 200) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_windows_follow_each_other(tmp_path: Path) -> None:
    text = "".join(chr(97 + n % 23) for n in range(5000))
    task = characters(str(text_file(tmp_path / "a.txt", text)))
    assert task.symbols is not None
    batches = [task.source.training_batch(0, step, 4) for step in range(12)]
    assert [b.continues for b in batches] == [False, *[True] * 11]
    assert not task.source.training_batch(0, 12, 4).continues  # the streams begin anew
    assert batches[0].inputs.shape == (4, 100)
    streams = torch.cat([batch.inputs for batch in batches], 1)
    decoded = ["".join(task.symbols[n] for n in row) for row in streams]
    size = 4499 // 4
    assert decoded == [text[row * size : (row + 1) * size] for row in range(4)]
    targets = torch.cat([batch.targets for batch in batches], 1)
    assert torch.equal(targets[:, :-1], streams[:, 1:])


def test_all_of_the_test_is_read_once(tmp_path: Path) -> None:
    task = characters(str(text_file(tmp_path / "a.txt")))
    batches = list(task.source.test_batches())
    assert sum(batch.inputs.numel() for batch in batches) == 4800 - 4560 - 2


def test_rare_characters_are_one_symbol(tmp_path: Path) -> None:
    task = characters(str(text_file(tmp_path / "a.txt", "abcab" * 250 + "ø" + "z" * 140)))
    assert task.symbols == "\ufffdabc"
    (batch,) = task.source.test_batches()
    assert set(batch.inputs.flatten().tolist()) == {0}


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the file is missing"):
        characters(str(tmp_path / "absent"))
    with pytest.raises(ValueError, match="must have 1000 characters or more, but has 3"):
        characters(str(text_file(tmp_path / "short", "abc")))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00" * 1000)
    with pytest.raises(ValueError, match="is no text in UTF-8"):
        characters(str(tmp_path / "bytes"))


def test_layers_draw_as_after_seeding_all_of_torch() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    seed_layers(5)
    assert torch.equal(torch.rand(3), expected)
