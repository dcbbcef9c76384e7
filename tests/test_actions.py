"""Actions: features, network, streams, drawn figures, files, augmentation."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import rondo
from cases import slow_beyond
from rondo.data.sources import Collection, Example
from rondo.measures.classes import confusion_table, evaluate_classes
from rondo.models.action_model import ActionModel
from rondo.models.frame_features import PoseFeatures, SignalFeatures, VideoFeatures
from rondo.models.motion import DifferenceCell
from rondo.tasks.actions.augment import OTHER_SIDE, augmented, cut, mirrored, stretched
from rondo.tasks.actions.clips import hold_out
from rondo.tasks.actions.drawn import BONES, JOINTS, draw_clip, drawn_split
from rondo.tasks.actions.files import read_clips
from rondo.tasks.actions.motions import ACTIONS
from rondo.tasks.actions.task import actions, read_actions

LENGTHS = torch.tensor([11, 4, 1, 7])


def model_of(cell: str = "gru", kind: str = "poses", **options: Any) -> ActionModel:
    shape = {"poses": (15, 2), "signals": (9,), "video": (12, 16)}[kind]
    options = {"lags": (1, 4), "hidden_size": 6, "output_size": 5, **options}
    return ActionModel(
        cell, input_size=math.prod(shape), frames=kind, frame_shape=shape, **options
    ).eval()


def fitted(model: ActionModel, x: Tensor) -> ActionModel:
    model.fit_input(x, torch.full((len(x),), x.shape[1]))
    return model


# --- differences


@pytest.mark.parametrize("lags", [(1,), (3,), (1, 4), (2, 1)])
def test_differences_are_those_of_the_steps_before(lags: tuple[int, ...]) -> None:
    x = torch.randn(4, 11, 3)
    layer = rondo.Recurrent(DifferenceCell(3, lags))
    parts = [x]
    for lag in lags:
        change = torch.zeros_like(x)
        change[:, lag:] = x[:, lag:] - x[:, :-lag]
        parts.append(change)
    expected = torch.cat(parts, -1)
    assert torch.equal(layer(x)[0], expected)
    ragged = x.clone()
    for row, length in enumerate(LENGTHS):
        ragged[row, length:] = torch.nan
    y, state = layer(ragged, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS):
        assert torch.equal(y[row, :length], expected[row, :length])
        assert not y[row, length:].any()
    first, middle = layer(x[:, :5])
    assert torch.equal(torch.cat([first, layer(x[:, 5:], middle)[0]], 1), expected)
    stream = layer.stream()
    assert torch.equal(torch.stack([stream(frame) for frame in x.unbind(1)], 1), expected)
    assert torch.isfinite(torch.cat(state, 1)).all()


@pytest.mark.parametrize("lags", [(), (0,), (1, -2)])
def test_differences_need_lags(lags: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="lags must be whole numbers of at least 1, got"):
        DifferenceCell(3, lags)


# --- features of frames


def test_features_of_poses_are_as_defined() -> None:
    pose, change = torch.randn(6, 15, 2), torch.randn(6, 60)
    found = PoseFeatures((15, 2), num_lags=2).raw(torch.cat([pose.flatten(1), change], 1))
    centred, distances, rest = found.split([30, 105, 60], 1)
    torch.testing.assert_close(centred.view(6, 15, 2) + pose.mean(1, keepdim=True), pose)
    expected = [torch.dist(pose[3, i], pose[3, j]) for i in range(15) for j in range(i + 1, 15)]
    torch.testing.assert_close(distances[3], torch.stack(expected))
    assert torch.equal(rest, change)


def test_a_pose_is_the_same_anywhere() -> None:
    features, pose = PoseFeatures((15, 2), num_lags=1), torch.randn(1, 15, 2)
    moved = pose + torch.tensor([3.0, -1.0])
    both = torch.cat([torch.cat([p.flatten(1), torch.zeros(1, 30)], 1) for p in (pose, moved)])
    first, second = features(both)
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["poses", "signals"])
def test_features_have_mean_0_and_deviation_1_over_real_frames(kind: str) -> None:
    model = model_of(kind=kind)
    x = 5 * torch.randn(4, 11, model.motion.cell.input_size) + 2
    for row, length in enumerate(LENGTHS):
        x[row, length:] = torch.nan
    model.fit_input(x, LENGTHS)
    h = model._features(model.motion(x, lengths=LENGTHS)[0], LENGTHS)
    real = torch.cat([h[row, :length] for row, length in enumerate(LENGTHS)])
    torch.testing.assert_close(real.mean(0), torch.zeros(real.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        real.std(0, correction=0), torch.ones(real.shape[1]), atol=1e-3, rtol=0
    )


def test_a_feature_that_does_not_change_stays_finite() -> None:
    features = SignalFeatures((2,), num_lags=1)
    features.fit(torch.ones(7, 4))
    assert torch.equal(features(torch.ones(3, 4)), torch.zeros(3, 4))


def test_a_frame_of_a_video_is_seen_with_its_place_and_change() -> None:
    features = VideoFeatures((48, 64), num_lags=1)
    frames = torch.zeros(3, 2, 48, 64)
    frames[1, 0, :16, :16] = 255  # something in a corner
    frames[2, 1, :16, :16] = 255  # the same, as a change
    first, second, third = features(frames.flatten(1))
    assert not torch.allclose(first, second)
    assert not torch.allclose(second, third)
    frames[1, 0] = frames[1, 0].flip(0).flip(1)  # in the opposite corner
    assert not torch.allclose(features(frames.flatten(1))[1], second)


# --- the network


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}])
@pytest.mark.parametrize("kind", ["poses", "signals", "video"])
def test_padding_changes_nothing(kind: str, options: dict[str, Any]) -> None:
    model = model_of(kind=kind, **options)
    x = torch.randn(4, 11, model.motion.cell.input_size)
    padded = x.clone()
    for row, length in enumerate(LENGTHS):
        padded[row, length:] = torch.nan
    y, _ = model(padded, lengths=LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone, _ = model(x[row : row + 1, :length])
        torch.testing.assert_close(y[row], alone[0], atol=1e-5, rtol=1e-4)
    y.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_answer_is_the_output_of_the_mean_state() -> None:
    x = torch.randn(3, 9, 9)
    model = fitted(model_of("gru", "signals", lags=(1,)), x)
    reference = torch.nn.GRU(18, 6, batch_first=True)
    cell: Any = model.layers[0].cell
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(reference, f"{name}_l0").copy_(getattr(cell, name))
    change = torch.cat([torch.zeros(3, 1, 9), x[:, 1:] - x[:, :-1]], 1)
    features = torch.cat([x, change], -1)
    flat = features.flatten(0, 1)
    features = (features - flat.mean(0)) / flat.std(0, correction=0)
    expected = model.output(reference(features)[0].mean(1))
    torch.testing.assert_close(model(x)[0], expected, atol=1e-5, rtol=1e-4)


CELLS = ["tanh", "gru", "lstm", "lstm-1997", "layer-norm-lstm", "min-gru", "lstm-projection"]


@pytest.mark.parametrize("cell", slow_beyond(CELLS, ["gru", "lstm-1997", "min-gru"]))
def test_a_stream_answers_as_the_network_for_all_frames_so_far(cell: str) -> None:
    x = torch.randn(2, 9, 30)
    model = fitted(model_of(cell, num_layers=2), x)
    running = model.running(x)
    stream = model.stream()
    for _ in range(2):
        for number, frame in enumerate(x.unbind(1)):
            answer = stream(frame)
            whole, _ = model(x[:, : number + 1])
            torch.testing.assert_close(answer, whole, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(running[:, number], whole, atol=1e-5, rtol=1e-4)
            assert stream.num_steps == number + 1
        stream.reset()
    assert not torch.allclose(running[:, 0], running[:, -1], atol=1e-3)


def test_a_stream_of_video_answers_as_the_network() -> None:
    model = model_of(kind="video", lags=(1,))
    x = 255 * torch.rand(1, 6, 12 * 16)
    stream = model.stream()
    answers = torch.stack([stream(frame) for frame in x.unbind(1)], 1)
    torch.testing.assert_close(answers, model.running(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("lengths", [None, torch.tensor([5, 2])])
def test_a_call_goes_on_from_the_state_of_another(lengths: Tensor | None) -> None:
    x = torch.randn(2, 9, 30)
    model = fitted(model_of(num_layers=2), x)
    before, state = model(x[:, :5], lengths=lengths)
    after, _ = model(x[:, 5:], state)
    for row, length in enumerate([5, 5] if lengths is None else lengths.tolist()):
        frames = torch.cat([x[row, :length], x[row, 5:]])
        torch.testing.assert_close(after[row], model(frames[None])[0][0], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(before, after, atol=1e-3)


def test_a_network_of_two_directions_has_no_stream() -> None:
    with pytest.raises(ValueError, match="a stream needs a network of one direction"):
        model_of(bidirectional=True).stream()


def test_two_directions_are_two_cells() -> None:
    model = model_of("gru", "signals", bidirectional=True, num_layers=2)
    assert model.output.in_features == 12
    assert model.layers[1].backward_layer.cell.input_size == 12
    x = torch.randn(1, 9, 9)
    first = model.layers[0](model._features(model.motion(x)[0], None))[0]
    changed = x.clone()
    changed[:, -1] += 1
    second = model.layers[0](model._features(model.motion(changed)[0], None))[0]
    assert torch.equal(first[:, 0, :6], second[:, 0, :6])
    assert not torch.allclose(first[:, 0, 6:], second[:, 0, 6:])


# --- drawn figures


def test_drawn_clips_are_the_same_at_every_call_and_of_all_actions() -> None:
    val, again = drawn_split("val"), drawn_split("val")
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(val, again, strict=True))
    labels = torch.stack([clip.targets for clip in val])
    assert torch.bincount(labels).tolist() == [20] * 8
    lengths = {len(clip.inputs) for clip in val}
    assert min(lengths) >= 16
    assert max(lengths) <= 48
    assert len(lengths) > 15
    others = {clip.inputs.sum().item() for clip in drawn_split("test")}
    assert not others & {clip.inputs.sum().item() for clip in val}


def bone_lengths(figure: Tensor) -> Tensor:
    return torch.stack([(figure[:, a] - figure[:, b]).norm(dim=-1) for a, b in BONES], 1)


@pytest.mark.parametrize("action", ACTIONS)
def test_bones_keep_their_length(action: str) -> None:
    from rondo.tasks.actions.drawn import MOTIONS, _figure

    phase = torch.linspace(0, 6.3, 30)
    figure = _figure(MOTIONS[action][0](phase, 1.0, 0), [1.0, 0.9, 1.1, 1.0])
    lengths = bone_lengths(figure)
    assert figure.shape == (30, len(JOINTS), 3)
    torch.testing.assert_close(lengths, lengths[:1].expand_as(lengths))
    moved = (figure - figure[:1]).norm(dim=-1).amax(0)
    assert moved.max() > 0.15  # somebody moves


def test_feet_stay_on_the_ground_in_a_squat_and_leave_it_in_a_jump() -> None:
    from rondo.tasks.actions.drawn import MOTIONS, _figure

    phase = torch.linspace(0, 6.3, 50)
    ground = {
        action: _figure(MOTIONS[action][0](phase, 1.0, 0), [1.0] * 4)[:, 13:, 1]
        for action in ("squat", "jump")
    }
    assert ground["squat"].max() - ground["squat"].min() < 0.05
    assert ground["jump"].max() - ground["jump"].min() > 0.4


def test_the_right_arm_is_the_right_arm() -> None:
    generator = torch.Generator().manual_seed(0)
    waving = [draw_clip("wave", generator).view(-1, 15, 2) for _ in range(40)]
    ranges = torch.stack([clip[:, 11:13].std(0).sum(-1) for clip in waving])  # of the two wrists
    larger = ranges.max(1).values / ranges.min(1).values
    assert (larger > 1.5).float().mean() > 0.8  # one waves, the other hangs
    assert 10 < int((ranges[:, 0] > ranges[:, 1]).sum()) < 30


# --- files


def pose_file(path: Path, labels: list[Any], lengths: list[int], **changes: Any) -> np.ndarray:
    pose = np.random.default_rng(len(labels)).normal(size=(sum(lengths), 15, 2))
    pose = pose.astype(np.float32)
    values = {"pose": pose, "length": np.array(lengths), "label": np.array(labels), **changes}
    np.savez(path, **{name: value for name, value in values.items() if value is not None})
    return pose


def signal_file(path: Path, labels: list[int], **changes: Any) -> np.ndarray:
    x = np.random.default_rng(len(labels)).normal(size=(len(labels), 12, 3)).astype(np.float32)
    values = {"x": x, "y": np.array(labels, np.int8), **changes}
    np.savez(path, **{name: value for name, value in values.items() if value is not None})
    return x


def pose_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    words = ["walk", "run", "walk", "run", "walk", "walk", "walk"]
    pose_file(folder / "split1_train.npz", words, [3, 5, 2, 4, 6, 3, 4])
    pose_file(folder / "split1_test.npz", ["run", "walk"], [4, 2])
    return folder


def test_poses_are_read(tmp_path: Path) -> None:
    pose = pose_file(tmp_path / "a.npz", ["walk", "run"], [3, 5])
    clips = read_clips(tmp_path / "a.npz")
    assert (clips.kind, clips.shape, clips.labels) == ("poses", (15, 2), ["walk", "run"])
    assert torch.equal(clips.frames[0], torch.tensor(pose[:3]).flatten(1))
    assert torch.equal(clips.frames[1], torch.tensor(pose[3:]).flatten(1))


def test_a_folder_of_poses_becomes_a_task(tmp_path: Path) -> None:
    task = actions(str(pose_folder(tmp_path / "poses")))
    assert task.classes == ("run", "walk")
    assert isinstance(task.source, Collection)
    source = task.source
    assert [len(clip.inputs) for clip in source.train] == [5, 3, 2, 6, 3]  # run, then walk
    assert [(len(clip.inputs), int(clip.targets)) for clip in source.val] == [(4, 0), (4, 1)]
    (test,) = source.test_batches()
    assert test.targets.tolist() == [0, 1]
    assert task.right is not None
    assert task.right(torch.tensor([[2.0, 1.0], [3.0, 1.0]]), test).tolist() == [True, False]


def test_a_file_for_validation_is_taken(tmp_path: Path) -> None:
    folder = pose_folder(tmp_path / "poses")
    pose_file(folder / "val.npz", ["walk"], [9])
    found = read_actions(folder)
    assert (len(found.train), [len(clip.inputs) for clip in found.val]) == (7, [9])


def test_signals_are_read_with_the_names_of_their_classes(tmp_path: Path) -> None:
    x = signal_file(tmp_path / "train.npz", [2, 1, 2, 1, 10, 10])
    signal_file(tmp_path / "test.npz", [10, 1])
    (tmp_path / "classes.csv").write_text("id,name\n1,WALKING\n2,LAYING\n10,SITTING\n")
    found = read_actions(tmp_path)
    assert (found.kind, found.shape) == ("signals", (3,))
    assert found.classes == ("WALKING", "LAYING", "SITTING")  # 2 before 10
    assert [int(clip.targets) for clip in found.test] == [2, 0]
    assert torch.equal(found.train[0].inputs, torch.tensor(x[1]))
    signal_file(tmp_path / "train.npz", [1, 1, 2, 2], length=np.array([5, 12, 1, 7]))
    assert sorted(len(clip) for clip in read_clips(tmp_path / "train.npz").frames) == [1, 5, 7, 12]


def test_the_last_fifth_of_each_class_is_held_out() -> None:
    clips = [Example(torch.full((1, 1), n), torch.tensor(n % 2)) for n in range(30)]
    train, val = hold_out(clips, ("even", "odd"))
    assert sorted(int(clip.inputs) for clip in val) == [24, 25, 26, 27, 28, 29]
    assert sorted(int(clip.inputs) for clip in train) == list(range(24))
    with pytest.raises(ValueError, match="the class 'odd' has 1 training clip; each needs two"):
        hold_out(clips[:3], ("even", "odd"))


NAN = np.zeros((8, 15, 2), np.float32)
NAN[5, 3, 1] = np.nan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pose": NAN}, "clip 1 has a number that is NaN or infinite in frame 2; mend it"),
        ({"pose": np.zeros((8, 15))}, r"`pose` must be numbers \(sum of T, J, D\), got float64"),
        ({"pose": np.full((8, 15, 2), "a")}, "`pose` must be numbers"),
        ({"pose": np.zeros((9, 15, 2))}, "`length` sums to 8, but `pose` has 9 frames"),
        ({"pose": None}, r"must hold `pose` and `length`, or `x`, but holds length, label"),
        ({"length": None}, "has `pose` but no `length`"),
        ({"length": np.array([8, 0])}, "clip 1 has 0 frames; leave it out"),
        ({"length": np.array([9, -1])}, "clip 1 has -1 frames"),
        ({"length": np.array([3.0, 5.0])}, "`length` must be a whole number for each clip, got"),
        ({"length": np.array([], np.int64)}, "`length` must be a whole number for each clip, got"),
        ({"label": np.array(["walk"])}, "word or whole number for each of 2 clips, got"),
        ({"label": np.array([0.5, 1.0])}, "word or whole number for each of 2 clips, got float64"),
        ({"label": np.array(["walk", None], object)}, "is no npz file that can be read: .*pickle"),
    ],
)
def test_bad_poses_are_refused_with_the_file(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    pose_file(tmp_path / "a.npz", ["walk", "run"], [3, 5], **changes)
    with pytest.raises(ValueError, match=message) as caught:
        read_clips(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((2, 12))}, r"`x` must be numbers \(N, T, C\), got float64 \(2, 12\)"),
        ({"x": np.zeros((2, 0, 3))}, "`x` must be numbers"),
        ({"x": np.full((2, 12, 3), np.inf)}, "clip 0 has a number that is NaN or infinite"),
        ({"length": np.array([3])}, "`length` has 1 numbers for 2 clips"),
        ({"length": np.array([3, 13])}, "clip 1 has 13 steps, but there are 12"),
        ({"length": np.array([0, 3])}, "clip 0 has 0 frames"),
    ],
)
def test_bad_signals_are_refused_with_the_file(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    signal_file(tmp_path / "a.npz", [1, 2], **changes)
    with pytest.raises(ValueError, match=message) as caught:
        read_clips(tmp_path / "a.npz")
    assert str(tmp_path / "a.npz") in str(caught.value)


def test_what_is_no_npz_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "train.npz"
    for content in (b"", b"no npz file", b"PK\x03\x04 cut"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"train.npz is no npz file that can be read"):
            read_clips(file)
    pose_file(file, ["walk", "run"], [3, 5])
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"train.npz is no npz file that can be read"):
        read_clips(file)
    np.save(tmp_path / "one.npy", np.zeros((3, 15, 2)))
    with pytest.raises(
        ValueError, match=r"one.npy is no npz file that can be read: it holds one array"
    ):
        read_clips(tmp_path / "one.npy")
    with pytest.raises(FileNotFoundError):
        read_clips(tmp_path / "absent.npz")


def test_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absent does not exist; actions need a folder"):
        actions(str(tmp_path / "absent"))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file; actions need a folder"):
        actions(str(tmp_path / "file"))
    folder = tmp_path / "poses"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"has no file \*train\*.npz and no 00sequences.txt"):
        actions(str(folder))
    pose_file(folder / "train.npz", ["walk", "run"] * 2, [3, 5] * 2)
    with pytest.raises(ValueError, match=r"has no file \*test\*.npz"):
        actions(str(folder))
    pose_file(folder / "test.npz", ["walk", "fly"], [3, 5])
    with pytest.raises(ValueError, match=r"test.npz has the label 'fly', which no training clip"):
        actions(str(folder))
    signal_file(folder / "test.npz", [1, 2])
    with pytest.raises(ValueError, match=r"test.npz holds signals of shape \(3,\), but train.npz"):
        actions(str(folder))
    pose_file(folder / "test.npz", [], [3, 5], label=None)
    with pytest.raises(ValueError, match=r"test.npz has no `label` and no `y`, so nothing can be"):
        actions(str(folder))
    pose_file(folder / "train.npz", [], [3, 5], label=None)
    with pytest.raises(ValueError, match=r"train.npz has no `label` and no `y`; training needs"):
        actions(str(folder))
    pose_file(folder / "train.npz", ["walk"] * 3, [3, 5, 4])
    pose_file(folder / "test.npz", ["walk"], [3])
    with pytest.raises(ValueError, match="actions need two classes or more, got walk"):
        actions(str(folder))
    pose_file(folder / "more_train.npz", ["walk"], [3])
    with pytest.raises(ValueError, match=r"has more_train.npz and train.npz, and one file"):
        actions(str(folder))


def test_bad_names_of_classes_are_refused(tmp_path: Path) -> None:
    signal_file(tmp_path / "train.npz", [1, 1, 2, 2])
    signal_file(tmp_path / "test.npz", [1, 2])
    with (tmp_path / "classes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["number", "name"], [1, "WALKING"]])
    with pytest.raises(
        ValueError, match=r"classes.csv has no column id: its first line must name id,name, sep"
    ):
        actions(str(tmp_path))


# --- augmentation


@pytest.mark.parametrize(
    ("kind", "shape"), [("poses", (15, 2)), ("poses", (4, 3)), ("signals", (9,)), ("video", (6, 8))]
)
def test_clips_change_as_the_generator_says(kind: str, shape: tuple[int, ...]) -> None:
    frames = 255 * torch.rand(30, math.prod(shape))
    frames = frames.to(torch.uint8) if kind == "video" else frames
    clip = Example(frames, torch.tensor(3))

    def change(seed: int) -> Tensor:
        changed = augmented(clip, torch.Generator().manual_seed(seed), kind=kind, shape=shape)
        assert int(changed.targets) == 3
        assert changed.inputs.dtype == frames.dtype
        assert changed.inputs.shape[1] == frames.shape[1]
        assert len(changed.inputs) >= 8
        return changed.inputs

    kept = frames.clone()
    assert torch.equal(change(0), change(0))
    found = [change(seed) for seed in range(20)]
    assert len({len(one) for one in found}) > 5
    assert not any(torch.equal(one, frames) for one in found)
    assert torch.equal(frames, kept)


def test_a_mirrored_pose_has_its_sides_exchanged() -> None:
    pose = torch.randn(5, 15, 2)
    assert torch.equal(mirrored(mirrored(pose)), pose)
    for number, name in enumerate(JOINTS):
        other = name.replace("right", "?").replace("left", "right").replace("?", "left")
        assert JOINTS[OTHER_SIDE[number]] == other
    torch.testing.assert_close(mirrored(pose)[:, 3], pose[:, 4] * torch.tensor([-1.0, 1.0]))


def test_a_changed_pose_is_still_that_figure() -> None:
    from rondo.tasks.actions.augment import CHANGES

    pose = draw_clip("run", torch.Generator().manual_seed(0)).view(-1, 15, 2)
    num_mirrored = 0
    for seed in range(20):
        changed = CHANGES["poses"](pose, torch.Generator().manual_seed(seed))
        ratios = [bone_lengths(changed) / bone_lengths(one) for one in (pose, pose[:, OTHER_SIDE])]
        is_mirrored = bool(ratios[1].std() < ratios[0].std())
        ratio = ratios[is_mirrored]
        torch.testing.assert_close(ratio, ratio[:1, :1].expand_as(ratio), atol=1e-3, rtol=1e-3)
        num_mirrored += is_mirrored
    assert 4 < num_mirrored < 16


def test_a_turned_signal_keeps_the_length_of_its_vectors() -> None:
    from rondo.tasks.actions.augment import CHANGES

    signal = torch.randn(20, 6)
    turned = CHANGES["signals"](signal, torch.Generator().manual_seed(0))
    before, after = (s.view(20, 2, 3) for s in (signal, turned))
    ratio = after.norm(dim=-1) / before.norm(dim=-1)
    torch.testing.assert_close(ratio, ratio[:1, :1].expand_as(ratio))
    cosine = torch.nn.functional.cosine_similarity(before, after, dim=-1)
    assert cosine.min() < 0.9999
    torch.testing.assert_close(  # angles between the two sensors stay
        (after[:, 0] * after[:, 1]).sum(-1),
        (before[:, 0] * before[:, 1]).sum(-1) * ratio[0, 0] ** 2,
        atol=1e-4,
        rtol=1e-4,
    )


def test_clips_are_stretched_and_cut() -> None:
    clip = torch.arange(21.0)[:, None]
    slow = stretched(clip, 41 / 21)
    torch.testing.assert_close(slow, torch.arange(0, 20.5, 0.5)[:, None])
    assert len(stretched(clip, 0.01)) == 8
    assert torch.equal(stretched(clip[:3], 0.01), clip[:3])
    assert torch.equal(stretched(clip[:1], 2.0), clip[:1])
    images = clip.to(torch.uint8)
    assert set(stretched(images, 1.7).flatten().tolist()) == set(range(21))
    generator = torch.Generator().manual_seed(0)
    pieces = [cut(clip, 0.2, generator).flatten() for _ in range(200)]
    assert {int(piece[0]) for piece in pieces} == {0, 1, 2, 3, 4}
    assert {int(piece[-1]) for piece in pieces} == {16, 17, 18, 19, 20}
    assert all(torch.equal(piece.diff(), torch.ones(len(piece) - 1)) for piece in pieces)
    assert len(cut(clip[:8], 0.2, generator)) == 8
    assert torch.equal(cut(clip, 0.0, generator), clip)


# --- what answers are worth


def test_confusion_counts_what_was_taken_for_what() -> None:
    answers = [(0, 0), (0, 0), (0, 2), (1, 2), (2, 2), (2, 0)]
    probabilities = torch.full((6, 3), 0.1)
    for row, (_, answer) in enumerate(answers):
        probabilities[row, answer] = 0.8
    labels = torch.tensor([label for label, _ in answers])
    found = evaluate_classes(probabilities, labels, ("a", "b", "c"))
    assert found.confusion == ((2, 0, 1), (0, 0, 1), (1, 0, 1))
    assert found.accuracy.value == 3 / 6
    assert found.majority_rate == 3 / 6
    assert found.loss == pytest.approx(-(3 * math.log(0.8) + 3 * math.log(0.1)) / 6, rel=1e-6)
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx((0.188, 0.812), abs=1e-3)
    assert [share.num_correct for share in found.by_class().values()] == [2, 0, 1]
    lines = confusion_table(found).splitlines()
    assert lines[1].split()[:4] == ["a", "2", ".", "1"]
    assert found.to_dict()["accuracy"]["num_clips"] == 6
    found = evaluate_classes(probabilities[:3], labels[:3], ("a", "b", "c"))
    assert found.to_dict()["by_class"]["b"] == {
        "num_correct": 0, "num_clips": 0, "value": None, "low": 0.0, "high": 1.0
    }  # fmt: skip
