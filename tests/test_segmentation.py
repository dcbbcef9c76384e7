"""Segmentation: the cell over maps, ReSeg, scenes from files and drawn ones, losses, measures."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import rondo
from rondo.cells.named import num_parameters
from rondo.data.batch import Batch
from rondo.models.checkpoint import load_checkpoint
from rondo.models.reseg import ReSeg, evenly_lit
from rondo.models.resnet import ResNet
from rondo.models.resnet_front import ResNetFront
from rondo.tasks.segmentation import task as task_module
from rondo.tasks.segmentation.augment import Change, changed
from rondo.tasks.segmentation.drawn import CLASSES, draw_scenes
from rondo.tasks.segmentation.files import read_classes, read_scenes
from rondo.tasks.segmentation.regions import PixelEvaluation, confusion_of, region_table
from rondo.tasks.segmentation.scenes import VOID, SceneSource, clips_of, frames_missing
from rondo.tasks.segmentation.task import class_weights, pixel_losses, pixels_right, segmentation

NAMES = ("road", "car", "void")
Rows = list[dict[str, Any]]


def scene_folder(root: Path, *, size: tuple[int, int] = (40, 36)) -> Path:
    """A folder of ten pictures in two sequences: the left half is road, the right one a car."""
    rows: Rows = []
    for number in range(10):
        sequence, frame = ("a", number) if number < 6 else ("b", number - 6)
        split = ("train", "val", "test")[min(2, number // 4)]
        pixels = np.full((size[1], size[0], 3), 40 * (number % 3), np.uint8)
        labels = np.zeros((size[1], size[0]), np.uint8)
        pixels[:, size[0] // 2 :] += 100
        labels[:, size[0] // 2 :] = 1
        labels[0] = 7
        for kind, values in (("image", pixels), ("label", labels)):
            path = root / kind / f"{sequence}{frame}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
        rows.append({"split": split, "image": f"image/{sequence}{frame}.png",
                     "label": f"label/{sequence}{frame}.png",
                     "sequence": sequence, "frame": f"f{frame:03}"})  # fmt: skip
    write_table(root / "list.csv", rows)
    write_table(
        root / "classes.csv", [{"id": n, "name": w} for n, w in zip((0, 1, 7), NAMES, strict=True)]
    )
    return root


def write_table(path: Path, rows: Rows) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


# ---- the cell ----


def plain_conv_gru(cell: rondo.ConvGRUCell, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """The equations of the docstring, step by step."""
    outputs = []
    for frame in x.unbind(1):
        w_r, w_z, w_n = torch.nn.functional.conv2d(
            frame, cell.from_input.weight, cell.from_input.bias, padding=1
        ).chunk(3, 1)
        u_r, u_z, u_n = torch.nn.functional.conv2d(
            h, cell.from_state.weight, cell.from_state.bias, padding=1
        ).chunk(3, 1)
        z, n = (w_z + u_z).sigmoid(), (w_n + (w_r + u_r).sigmoid() * u_n).tanh()
        h = (1 - z) * n + z * h
        outputs.append(h)
    return torch.stack(outputs, 1)


def test_the_gru_over_maps_is_its_equations_and_its_gradients_too() -> None:
    layer = rondo.Recurrent(rondo.ConvGRUCell(2, 3), engine="reference").double()
    x = torch.randn(2, 4, 2, 5, 6, dtype=torch.double, requires_grad=True)
    h = torch.randn(2, 3, 5, 6, dtype=torch.double, requires_grad=True)
    given = [x, h, *layer.parameters()]
    y, last = layer(x, h)
    expected = plain_conv_gru(layer.cell, x, h)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(last, expected[:, -1])
    weight = torch.randn_like(y)
    found = torch.autograd.grad((y * weight).sum(), given)
    torch.testing.assert_close(found, torch.autograd.grad((expected * weight).sum(), given))


def test_the_convolutions_of_the_input_and_of_the_weights_leave_the_loop() -> None:
    layer = rondo.Recurrent(rondo.ConvGRUCell(2, 3), engine="reference")
    x = torch.randn(1, 2, 2, 4, 4, requires_grad=True)
    layer(x)
    ops = {stage: [n.op_name for n in getattr(layer.plan, stage)] for stage in ("before", "loop")}
    assert [found.count("convolution") for found in ops.values()] == [1, 1]
    backward = layer.backward_plan
    of_weights = [n for n in backward.after if n.op_name == "convolution_backward"]
    assert [n.op_name for n in backward.loop].count("convolution_backward") == 1
    assert len(of_weights) >= 1
    assert "from_state" in layer.draw().svg


def test_clips_of_other_lengths_and_states_go_on() -> None:
    layer = rondo.Recurrent(rondo.ConvGRUCell(2, 3), engine="reference")
    x = torch.randn(2, 5, 2, 4, 6)
    y, h = layer(x, lengths=torch.tensor([5, 2]))
    assert not y[1, 2:].any()
    torch.testing.assert_close(y[1, 1], h[1])
    first, state = layer(x[:, :2])
    second, _ = layer(x[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], 1)[0], y[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "input_size"),
        ((3, 0), "hidden_size"),
        ((2, 3, 4), "kernel_size must be odd, got 4"),
    ],
)
def test_a_gru_over_maps_needs_sizes(arguments: tuple[int, ...], message: str) -> None:
    size = {"kernel_size": arguments[2]} if len(arguments) > 2 else {}
    with pytest.raises(ValueError, match=message):
        rondo.ConvGRUCell(*arguments[:2], **size)


# ---- the network ----


@pytest.mark.parametrize("size", [(32, 32), (45, 60), (36, 40)])
@pytest.mark.parametrize("options", [{}, {"memory_size": 3}, {"context": "convolutions"}])
def test_every_pixel_has_logits(size: tuple[int, int], options: dict[str, Any]) -> None:
    model = ReSeg(4, hidden_size=5, channels=6, num_layers=1, **options).eval()
    frames = 255 * torch.rand(2, 3, 3, *size)
    logits, state = model(frames)
    assert logits.shape == (2, 3, 4, *size)
    assert (state == ()) == ("memory_size" not in options)


def test_frames_are_apart_without_a_memory_and_together_with_one() -> None:
    frames = 255 * torch.rand(1, 2, 3, 32, 32)
    for memory_size in (0, 3):
        model = ReSeg(4, hidden_size=5, channels=6, num_layers=1, memory_size=memory_size).eval()
        together, _ = model(frames)
        first, state = model(frames[:, :1])
        second, _ = model(frames[:, 1:], state)
        torch.testing.assert_close(torch.cat([first, second], 1), together)
        alone, _ = model(frames[:, 1:])
        assert bool((alone - second).abs().max() > 1e-4) == bool(memory_size)


def test_sweeps_see_the_whole_picture_and_convolutions_do_not() -> None:
    seen = {}
    for context in ("sweeps", "convolutions"):
        model = ReSeg(2, hidden_size=4, channels=4, num_layers=1, front_stages=1, context=context)
        frames = (255 * torch.rand(1, 1, 3, 128, 128)).requires_grad_()
        logits, _ = model.eval()(frames)
        logits[0, 0, 0, 0, 0].backward()
        assert frames.grad is not None
        seen[context] = bool(frames.grad[..., -8:, -8:].any())
    assert seen == {"sweeps": True, "convolutions": False}


def test_convolutions_in_the_place_of_sweeps_have_as_many_parameters() -> None:
    sizes = [num_parameters(ReSeg(11, context=name)) for name in ("sweeps", "convolutions")]
    assert abs(sizes[0] / sizes[1] - 1) < 0.005


def test_the_front_takes_weights_of_a_resnet(tmp_path: Path) -> None:
    whole = ResNet(18).eval()
    torch.save(whole.state_dict(), tmp_path / "resnet.pth")
    front = ResNetFront(18, 4).eval()
    front.take(load_checkpoint(tmp_path / "resnet.pth"))
    pictures = 255 * torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(front(pictures).mean((2, 3)) @ whole.fc.weight.T + whole.fc.bias,
                               whole(pictures))  # fmt: skip
    task = segmentation(weights=str(tmp_path / "resnet.pth"))
    assert task.model_arguments["depth"] == 18
    model = ReSeg(7, hidden_size=4, channels=4, front_stages=1)
    assert task.prepare is not None
    task.prepare(model)
    torch.testing.assert_close(model.front.conv1.weight, whole.conv1.weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "num_classes must be at least 2"),
        ({"num_classes": 3, "hidden_size": 0}, "hidden_size"),
        ({"num_classes": 3, "context": "nothing"}, "context must be 'sweeps' or 'convolutions'"),
        ({"num_classes": 3, "front_stages": 5}, "num_stages must be 1 to 4, got 5"),
        ({"num_classes": 3, "depth": 34}, "depth must be 18 or 50, got 34"),
    ],
)
def test_a_network_for_pixels_needs_sizes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReSeg(**options)
    with pytest.raises(ValueError, match=r"frames must be \(B, T, 3, H, W\), got \(1, 3, 32, 32\)"):
        ReSeg(2, hidden_size=2, channels=2)(torch.zeros(1, 3, 32, 32))


# ---- losses and measures ----


def test_a_class_weighs_the_median_frequency_over_its_own() -> None:
    labels = torch.tensor([[[0, 0, 0, 1]], [[0, 2, VOID, VOID]]])
    # frequencies: 0: 4 of 6 pixels; 1: 1 of the 4 of its picture; 2: 1 of 2
    expected = torch.tensor([0.5 / (4 / 6), 0.5 / 0.25, 0.5 / 0.5, 0.0])
    torch.testing.assert_close(class_weights(labels, 4), expected)
    assert not class_weights(torch.full((1, 2, 2), VOID), 3).any()


def test_void_pixels_are_not_learnt_from() -> None:
    logits = torch.randn(2, 1, 3, 2, 2, requires_grad=True)
    labels = torch.tensor([[[[0, 1], [2, VOID]]], [[[VOID, VOID], [VOID, VOID]]]])
    weights = torch.tensor([1.0, 2.0, 3.0])
    losses = pixel_losses(logits, Batch(torch.empty(0), labels), weights=weights)
    log_p = logits[0, 0].log_softmax(0)
    by_hand = -(log_p[0, 0, 0] + 2 * log_p[1, 0, 1] + 3 * log_p[2, 1, 0]) / 6
    torch.testing.assert_close(losses, torch.stack([by_hand, torch.tensor(0.0)]))
    losses.sum().backward()
    assert logits.grad is not None
    assert not logits.grad[0, 0, :, 1, 1].any()
    assert not logits.grad[1].any()
    share = pixels_right(torch.nn.functional.one_hot(labels.clamp_max(2), 3).permute(0, 1, 4, 2, 3)
                         .float(), Batch(torch.empty(0), labels))  # fmt: skip
    assert share.tolist() == [1.0, 0.0]


def test_intersection_over_union_is_what_sets_of_pixels_give() -> None:
    generator = torch.Generator().manual_seed(3)
    answers = torch.randint(4, (5, 40), generator=generator)
    labels = torch.randint(3, (5, 40), generator=generator)
    labels[0, :5] = VOID
    confusion = confusion_of(answers, labels, 4)
    found = PixelEvaluation(("a", "b", "c", "d"), tuple(map(tuple, confusion.tolist())), 5)
    known = {(i, j) for i, j in (labels != VOID).nonzero().tolist()}
    for number, value in enumerate(found.intersection_over_union().values()):
        of_answers = {tuple(p) for p in (answers == number).nonzero().tolist()} & known
        of_labels = {tuple(p) for p in (labels == number).nonzero().tolist()}
        assert value == pytest.approx(len(of_answers & of_labels) / len(of_answers | of_labels))
    right = sum(int(answers[p] == labels[p]) for p in known)
    assert found.accuracy == pytest.approx(right / len(known))


def test_a_class_that_never_is_has_no_intersection_over_union() -> None:
    found = PixelEvaluation(("a", "b", "c"), ((3, 1, 0), (0, 4, 0), (0, 0, 0)), 2)
    assert found.intersection_over_union() == {"a": 0.75, "b": 0.8, "c": None}
    assert found.mean_iou == pytest.approx(0.775)
    assert re.search(r"^c +-$", region_table({"test": found}), re.MULTILINE)
    empty = PixelEvaluation(("a", "b"), ((0, 0), (0, 0)), 0)
    assert (empty.mean_iou, empty.accuracy) == (0.0, 0.0)


# ---- drawn scenes ----


def test_drawn_scenes_are_the_same_for_the_same_seed_and_show_every_class() -> None:
    first, second = (draw_scenes(8, 2, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first.inputs, second.inputs)
    assert set(first.targets.unique().tolist()) == set(range(len(CLASSES)))
    assert first.inputs.shape == (8, 2, 3, 48, 64)
    assert not torch.equal(first.targets[:, 0], first.targets[:, 1])  # things move


# ---- scenes from files ----


def test_scenes_are_read(tmp_path: Path) -> None:
    sets = read_scenes(scene_folder(tmp_path))
    assert sets.classes == ("road", "car")
    assert {name: len(scenes) for name, scenes in sets.splits.items()} == {
        "train": 4, "val": 4, "test": 2
    }  # fmt: skip
    scene = sets.splits["train"][1]
    assert (scene.name, scene.sequence, scene.frame) == ("image/a1.png", "a", 1)
    assert scene.pixels.shape == (3, 36, 40)
    assert scene.labels[0].unique().tolist() == [VOID]
    assert (int(scene.labels[5, 0]), int(scene.labels[5, -1])) == (0, 1)
    smaller = read_scenes(tmp_path, (20, 18)).splits["test"][0]
    assert (smaller.pixels.shape, smaller.labels.shape) == ((3, 18, 20), (18, 20))
    assert set(smaller.labels.unique().tolist()) <= {0, 1, VOID}


def test_clips_do_not_cross_the_end_of_a_video(tmp_path: Path) -> None:
    sets = read_scenes(scene_folder(tmp_path))
    names = [[scene.name[6:8] for scene in clip] for clip in clips_of(sets.splits["val"], 3)]
    assert names == [["a4", "a5"], ["b0", "b1"]]
    source = SceneSource(sets, 2, Change(flip=False, light=0, colour=0))
    assert [batch.continues for batch in source.batches("val")] == [False, False]
    batch = source.training_batch(0, 0, 4)
    assert batch.inputs.shape == (4, 2, 3, 36, 40)
    with pytest.raises(ValueError, match="the sequence a has fewer than 5 frames"):
        SceneSource(sets, 5)


def test_gaps_in_a_video_of_pictures_are_told(tmp_path: Path) -> None:
    scene_folder(tmp_path)
    lines = (tmp_path / "list.csv").read_text().splitlines()
    (tmp_path / "list.csv").write_text("\n".join(line for line in lines if "f002" not in line))
    message = "clips go on over frames that are missing in the sequences a: 2; b: 2"
    assert frames_missing(read_scenes(tmp_path)) == (message,)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_module, "NUM_FRAMES", 2)
        assert segmentation(str(tmp_path), video=True).notes[1:] == (message,)
    assert segmentation(str(tmp_path)).notes[1:] == ()


def test_every_training_scene_is_seen_once_in_an_epoch(tmp_path: Path) -> None:
    source = SceneSource(
        read_scenes(scene_folder(tmp_path)), 1, Change(flip=False, light=0, colour=0)
    )
    batches = [source.training_batch(5, step, 2) for step in range(2)]
    values = torch.cat([batch.inputs[:, 0, 0, -1, 0] for batch in batches])
    assert sorted(values.tolist()) == [0, 0, 40, 80]


def test_a_picture_and_its_labels_change_alike() -> None:
    labels = torch.arange(24 * 32).view(1, 24, 32) // 32
    frames = (10 * labels[:, None]).expand(1, 3, 24, 32).to(torch.uint8)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        change = Change(crop=0.5, scale=0.4, light=0, colour=0)
        pixels, numbers = changed(frames, labels, change, generator)
        assert pixels.shape == (1, 3, 12, 16)
        torch.testing.assert_close(pixels[:, 0], 10.0 * numbers, atol=6.0, rtol=0)


def test_another_gamma_keeps_black_and_white() -> None:
    frames = torch.tensor([0, 64, 255], dtype=torch.uint8).expand(1, 3, 3, 3)
    labels = torch.zeros(1, 3, 3, dtype=torch.uint8)
    change = Change(flip=False, light=0, colour=0, gamma=0.5)
    found, _ = changed(frames, labels, change, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found[0, 0, 0, [0, 2]], torch.tensor([0.0, 255.0]))
    assert abs(found[0, 0, 0, 1] - 64) > 1


def test_evenly_lit_pictures_forget_gain_offset_and_tint() -> None:
    pictures = 255 * torch.rand(2, 3, 33, 36)
    lit = evenly_lit(pictures)
    torch.testing.assert_close(lit.mean((2, 3)), torch.full((2, 3), 118.0))
    torch.testing.assert_close(lit.std((2, 3), correction=0), torch.full((2, 3), 58.0))
    dusk = torch.tensor([0.2, 0.3, 0.4])[:, None, None] * pictures + 5
    torch.testing.assert_close(evenly_lit(dusk), lit, rtol=1e-4, atol=1e-2)
    assert (evenly_lit(torch.full((1, 3, 4, 4), 7.0)) == 118).all()
    model = ReSeg(3, hidden_size=4, channels=4, even_light=True, normalised=True).eval()
    answers = [model(given[:, None])[0] for given in (pictures, dusk)]
    torch.testing.assert_close(*answers, rtol=1e-3, atol=1e-4)
    assert isinstance(model.context[1], torch.nn.BatchNorm2d)


def test_weights_of_classes_to_a_power() -> None:
    labels = torch.tensor([[[0, 0], [0, 1]]])
    torch.testing.assert_close(class_weights(labels, 2, 0.5), class_weights(labels, 2).sqrt())
    assert not class_weights(torch.full((1, 2, 2), VOID), 3, 0.5).any()


def broken(root: Path, kind: str) -> None:
    """Damages a folder of scenes."""
    rows = list(csv.DictReader((root / "list.csv").read_text().splitlines()))
    if kind == "another size":
        Image.new("L", (10, 10)).save(root / "label" / "a2.png")
    elif kind == "colours":
        Image.new("RGB", (40, 36)).save(root / "label" / "a2.png")
    elif kind == "unknown id":
        Image.new("L", (40, 36), 9).save(root / "label" / "a2.png")
    elif kind == "no picture":
        (root / "image" / "a2.png").write_text("nothing")
    elif kind == "missing":
        (root / "label" / "a2.png").unlink()
    elif kind == "twice":
        write_table(root / "list.csv", [*rows, rows[0]])
    elif kind == "outside":
        write_table(root / "list.csv", [*rows, {**rows[0], "image": "../a.png"}])
    elif kind == "no test":
        write_table(root / "list.csv", [row for row in rows if row["split"] != "test"])
    elif kind == "no split":
        write_table(root / "list.csv", [{**rows[0], "split": ""}])
    elif kind == "no column":
        write_table(root / "list.csv", [{"image": "a", "split": "b"}])
    elif kind == "no rows":
        (root / "list.csv").write_text("split,image,label\n")
    elif kind == "one class":
        write_table(root / "classes.csv", [{"id": 0, "name": "road"}])
    elif kind == "no number":
        write_table(root / "classes.csv", [{"id": "x", "name": "road"}])
    elif kind == "id twice":
        write_table(root / "classes.csv", [{"id": 0, "name": "a"}, {"id": 0, "name": "b"}])
    elif kind == "no classes":
        (root / "classes.csv").unlink()
    elif kind == "no list":
        (root / "list.csv").unlink()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("another size", r"label/a2.png must be of one channel and as large as .* but is 10 x 10"),
        ("colours", r"label/a2.png: must be of one channel, but has 3 \(RGB\)"),
        ("unknown id", r"label/a2.png has the id 9, which .*classes.csv does not name"),
        ("no picture", r"image/a2.png: is not a picture in one of the formats"),
        ("missing", r"list.csv, line 4: label/a2.png: the file is missing"),
        ("twice", r"list.csv, line 12: image/a0.png: the file is named a second time"),
        ("outside", r"leads out of the folder"),
        ("no test", r"names no picture of the split test"),
        ("no split", r"list.csv, line 2: the split is empty"),
        ("no column", r"has no column label"),
        ("no rows", r"list.csv names no picture"),
        ("one class", r"classes.csv names 1 classes; two or more are needed"),
        ("no number", r"classes.csv, line 2: an id from 0 to 255 and a name are needed, got 'x'"),
        ("id twice", r"classes.csv, line 3: the id 0 was named before"),
        ("no classes", r"classes.csv cannot be read"),
        ("no list", r"there is no .*list.csv; segmentation needs a folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(tmp_path: Path, kind: str, message: str) -> None:
    broken(scene_folder(tmp_path), kind)
    with pytest.raises(ValueError, match=message):
        read_scenes(tmp_path)


def test_classes_skip_void(tmp_path: Path) -> None:
    write_table(tmp_path / "classes.csv", [{"id": 3, "name": "Void"}, {"id": 5, "name": "a"},
                                           {"id": 4, "name": "b"}])  # fmt: skip
    assert read_classes(tmp_path / "classes.csv") == (("a", "b"), {3: VOID, 5: 0, 4: 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "64x48"}, "drawn scenes have a size of their own"),
        ({"data": "x", "size": "64"}, "there is no x/list.csv|the size must be"),
        ({"context": "no"}, "context must be"),
        ({"weights": "no.pth"}, "there is no file no.pth"),
    ],
)
def test_a_task_on_pixels_needs_what_can_be_used(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        segmentation(**options)
