"""The networks of the lecture's table: shapes, names, sizes, counts, and weights to start from."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import rondo
from photo_runs import SHORT, new_run, photo_data, run_config, session_of
from rondo import models
from rondo.cells.named import num_parameters
from rondo.errors import RunError
from rondo.looks.saliency import evidence, saliency
from rondo.models import ResNet, count_multiplications, load_checkpoint
from rondo.models.photo_input import PhotoInput
from rondo.models.resnet import BasicBlock
from rondo.tasks.photo import build as build_module
from rondo.tasks.photo.definition import PHOTO
from rondo.tasks.photo.networks import LECTURE_RESULTS, MODELS, build_model
from rondo.training.config import RunConfig
from rondo.training.fit import fit
from rondo.training.network import needed_bytes
from rondo.training.request import Request, make_config
from rondo.training.run_files import BYTES_PER_PARAMETER
from rondo.training.run_folder import RunFolder
from rondo.training.task import Task


def build(name: str, image_size: int = 32, **arguments: Any) -> nn.Module:
    if MODELS[name].takes_weights:
        arguments.setdefault("depth", 18)
    return build_model(name, {"image_size": image_size, "num_classes": 2, **arguments}).eval()


# --- all of them


def test_the_table_has_the_eleven_networks_of_the_lecture() -> None:
    assert set(LECTURE_RESULTS) <= set(MODELS)
    assert len(LECTURE_RESULTS) == 11
    assert LECTURE_RESULTS["cnn_2"].accuracy == 83.5
    assert LECTURE_RESULTS["lecture_rnn1"].seconds == 29571


@pytest.mark.parametrize("image_size", [32, 64, 96])
@pytest.mark.parametrize("name", MODELS)
def test_logits_of_photos(name: str, image_size: int) -> None:
    logits = build(name, image_size)(torch.rand(2, 3, image_size, image_size) * 255)
    assert logits.shape == (2, 2)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_where_it_looked_can_be_shown(name: str) -> None:
    model, photos = build(name, 64), torch.randint(0, 256, (2, 3, 64, 64)).byte()
    model.train()(photos.float())  # for running statistics that fit
    maps = saliency(model, photos)
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(2))
    spoken = evidence(model, photos)
    assert (spoken is None) == name.startswith("fcnn")
    if spoken is not None:
        places = model.evidence_map(photos.float())  # type: ignore[operator]
        logits = model(photos.float())
        torch.testing.assert_close(places.mean((2, 3)), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "lecture_rnn1"])
def test_photos_are_normalised_as_for_imagenet(name: str) -> None:
    inputs = [module for module in build(name).modules() if isinstance(module, PhotoInput)]
    assert len(inputs) == 1
    photo = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    torch.testing.assert_close(inputs[0](photo), torch.zeros(1, 3, 32, 32), rtol=0, atol=1e-5)
    assert not [key for key in build(name).state_dict() if "mean" in key and "running" not in key]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fcnn_1", 3 * 64**2 * 128 + 2 * 128 + 128 * 2 + 2),
        ("fcnn_2", 3 * 64**2 * 256 + 2 * 256 + 256 * 128 + 2 * 128 + 128 * 2 + 2),
        ("cnn_1", 97_938),
        ("cnn_2", 1_570_594),
        ("resnet_18", 11_689_512 - 513 * 998),
        ("resnet_50", 25_557_032 - 2049 * 998),
        ("lecture_rnn1", 5_640_456),
        ("sweep_net", 2_165_666),
    ],
)
def test_number_of_parameters(name: str, expected: int) -> None:
    assert num_parameters(build(name, 64)) == expected


def test_dropout_is_that_of_the_recipe() -> None:
    for name in MODELS:
        rates = [m.p for m in build(name, dropout=0.3).modules() if "Dropout" in type(m).__name__]
        assert rates == [0.3], name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.fcnn_1(0), "image_size must be at least 1, got 0"),
        (lambda: models.cnn_1(15), "image_size must be at least 16, got 15"),
        (lambda: models.cnn_2(31), "image_size must be at least 32, got 31"),
        (lambda: models.resnet_18(31), "image_size must be at least 32, got 31"),
        (lambda: models.resnet_50(num_classes=1), "num_classes must be at least 2, got 1"),
        (lambda: models.sweep_net(40), "image_size must be a multiple of 32, got 40"),
        (lambda: models.sweep_net(cell="grú"), "cell must be elman, lstm, gru, got 'grú'"),
        (
            lambda: models.sweep_net(hidden_sizes=(8,)),
            r"must be as many, got \(32, 64, 128, 256, 512\), \(1, 2, 2, 1, 1\) and \(8,\)",
        ),
        (
            lambda: models.sweep_net(convolutions=(1, 0, 2, 1, 1)),
            r"every stage must have a convolution, got \(1, 0, 2, 1, 1\)",
        ),
        (lambda: ResNet(34), "depth must be 18 or 50, got 34"),
        (lambda: models.tl_1(), "tl_1 needs either weights of a trained ResNet, .* or a depth"),
        (lambda: models.tl_2(weights="a.pt", depth=18), "tl_2 needs either weights"),
        (
            lambda: models.TransferNetwork(ResNet(18), ("layer5",)),
            "trained must name parts of .*layer4.*, got 'layer5'",
        ),
        (
            lambda: models.fcnn_1(64)(torch.zeros(1, 3, 32, 32)),
            r"must be \(B, 3, 64, 64\), the size that this network was made for, got \(1, 3, 32",
        ),
        (
            lambda: models.cnn_2(64)(torch.zeros(1, 3, 16, 64)),
            r"must be \(B, 3, H, W\) with H and W at least 32, got \(1, 3, 16, 64\)",
        ),
        (
            lambda: models.resnet_18(64)(torch.zeros(1, 1, 64, 64)),
            r"must be \(B, 3, H, W\) with H and W at least 32, got \(1, 1, 64, 64\)",
        ),
    ],
)
def test_wrong_arguments_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# --- ResNet


def resnet_shapes(depth: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's `resnet18` and `resnet50` with 1000 classes."""
    blocks, expansion = {18: ((2, 2, 2, 2), 1), 50: ((3, 4, 6, 3), 4)}[depth]
    convolutions: dict[str, tuple[int, ...]] = {"conv1": (64, 3, 7, 7)}
    before = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        for block in range(count):
            place, after = f"layer{stage + 1}.{block}", expansion * width
            if depth == 18:
                convolutions[f"{place}.conv1"] = (width, before, 3, 3)
                convolutions[f"{place}.conv2"] = (width, width, 3, 3)
            else:
                convolutions[f"{place}.conv1"] = (width, before, 1, 1)
                convolutions[f"{place}.conv2"] = (width, width, 3, 3)
                convolutions[f"{place}.conv3"] = (after, width, 1, 1)
            if block == 0 and before != after:
                convolutions[f"{place}.downsample.0"] = (after, before, 1, 1)
            before = after
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in convolutions.items():
        shapes[f"{name}.weight"] = shape
        norm = name.replace("conv", "bn").replace("downsample.0", "downsample.1")
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = shape[:1]
        shapes[f"{norm}.num_batches_tracked"] = ()
    return {**shapes, "fc.weight": (1000, before), "fc.bias": (1000,)}


@pytest.mark.parametrize(
    ("depth", "count", "total"), [(18, 122, 11_689_512), (50, 320, 25_557_032)]
)
def test_resnets_have_the_names_and_shapes_of_torchvision(
    depth: int, count: int, total: int
) -> None:
    model = ResNet(depth, num_classes=1000)
    found = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert found == resnet_shapes(depth)
    assert len(found) == count
    assert num_parameters(model) == total


def test_some_names_of_torchvision_written_out() -> None:
    found = ResNet(50).state_dict()
    for name, shape in (
        ("conv1.weight", (64, 3, 7, 7)),
        ("bn1.running_var", (64,)),
        ("layer1.0.downsample.0.weight", (256, 64, 1, 1)),
        ("layer1.0.downsample.1.bias", (256,)),
        ("layer2.0.conv2.weight", (128, 128, 3, 3)),
        ("layer4.2.bn3.weight", (2048,)),
    ):
        assert tuple(found[name].shape) == shape


def test_a_basic_block_is_two_convolutions_and_a_shortcut() -> None:
    block = BasicBlock(4, 6, 2).eval()
    assert block.downsample is not None
    x = torch.randn(2, 4, 8, 8)
    inner = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
    torch.testing.assert_close(block(x), (inner + block.downsample(x)).relu())
    assert BasicBlock(4, 4, 1).downsample is None


def test_the_bottleneck_strides_in_its_3x3_convolution() -> None:
    block = ResNet(50).layer3[0]
    assert (block.conv1.stride, block.conv2.stride) == ((1, 1), (2, 2))
    assert block.downsample[0].stride == (2, 2)


# --- sweeps


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_every_place_of_a_sweep_sees_the_whole_map(cell: str) -> None:
    model = models.SweptConvolution(4, 5, 3, block_size=2, cell=cell).eval()
    x = torch.randn(1, 4, 6, 8, requires_grad=True)
    for place in ((0, 0), (2, 3), (1, 2)):
        (gradient,) = torch.autograd.grad(model.sweep(x)[0, :, *place].sum(), x)
        assert (gradient != 0).all()


@pytest.mark.parametrize("block_size", [1, 2])
def test_sweeps_add_to_a_convolution(block_size: int) -> None:
    x = torch.randn(2, 6, 4, 4)
    layer = models.SweptConvolution(6, 8, 3, block_size=block_size)
    torch.testing.assert_close(layer(x), layer.conv(x), rtol=0, atol=0)  # a new one
    nn.init.normal_(layer.project.weight)
    added = layer.project(layer.sweep(x))
    added = added.repeat_interleave(block_size, 2).repeat_interleave(block_size, 3)
    torch.testing.assert_close(layer(x), layer.conv(x) + added)


def test_new_sweeps_learn_from_the_first_step_on() -> None:
    layer = models.SweptConvolution(4, 6, 3)
    layer(torch.randn(2, 4, 4, 4)).square().sum().backward()
    assert layer.project.weight.grad is not None
    assert layer.project.weight.grad.abs().min() > 0


def test_a_sweep_net_of_other_sizes() -> None:
    model = models.sweep_net(
        64,
        3,
        channels=(4, 6),
        convolutions=(1, 2),
        hidden_sizes=(0, 5),
        block_size=4,
        cell="lstm",
        dropout=0.1,
    )
    assert model.evidence_map(torch.zeros(2, 3, 64, 32)).shape == (2, 3, 16, 8)


# --- multiplications


def test_multiplications_against_a_count_by_hand() -> None:
    convolutions = 32**2 * 27 * 16 + 16**2 * 144 * 32 + 8**2 * 288 * 64 + 4**2 * 576 * 128
    assert count_multiplications(build("cnn_1"), torch.zeros(1, 3, 32, 32)) == (
        convolutions + 128 * 2
    )
    dense = 3 * 32**2 * 256 + 256 * 128 + 128 * 2
    assert count_multiplications(build("fcnn_2"), torch.zeros(3, 3, 32, 32)) == 3 * dense


def test_multiplications_of_the_published_networks() -> None:
    photo = torch.zeros(1, 3, 224, 224)
    assert count_multiplications(ResNet(18, num_classes=1000), photo) == 1_814_073_344
    assert count_multiplications(ResNet(50, num_classes=1000), photo) == 4_089_184_256


def test_multiplications_of_the_lectures_network() -> None:
    """The lecture's layers, multiplied out by hand."""
    model = models.lecture_rnn1(form="lecture")
    assert count_multiplications(model, torch.zeros(1, 3, 128, 128)) == 374_939_648
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("batch_first", [True, False])
def test_multiplications_of_a_loop(batch_first: bool) -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 5), batch_first=batch_first)
    assert count_multiplications(layer, torch.zeros(2, 7, 3)) == 2 * 7 * 3 * (3 * 5 + 5 * 5)


# --- weights of a trained ResNet


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file with the weights of a ResNet-18 that differs from any new one."""
    return saved(trained(18), tmp_path / "resnet18.pth")


def trained(depth: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    state = ResNet(depth, num_classes=3).state_dict()
    for name, value in state.items():
        if value.is_floating_point():
            start = 1.0 if "var" in name or (value.ndim == 1 and "weight" in name) else 0.0
            value.uniform_(start - 0.05, start + 0.05, generator=generator)
    return state


def saved(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def test_weights_are_read_from_every_kind_of_file(tmp_path: Path, weights: Path) -> None:
    state = trained(18)
    save_file(state, tmp_path / "w.safetensors")
    others = [
        tmp_path / "w.safetensors",
        saved({"state_dict": state, "epoch": 3}, tmp_path / "run.tar"),
        saved({f"module.{name}": value for name, value in state.items()}, tmp_path / "parallel.pt"),
        saved({k: v for k, v in state.items() if k[:2] != "fc"}, tmp_path / "features.bin"),
        saved(
            {k: v for k, v in state.items() if "tracked" not in k}, tmp_path / "without_counts.pth"
        ),
    ]
    first = load_checkpoint(weights)
    assert first.depth == 18
    for path in others:
        assert load_checkpoint(path).fingerprint == first.fingerprint, path
    changed = {**state, "bn1.bias": state["bn1.bias"] + 1e-3}
    assert load_checkpoint(saved(changed, tmp_path / "c.pt")).fingerprint != first.fingerprint


@pytest.mark.parametrize("depth", [18, 50])
def test_the_depth_is_found_from_the_file(tmp_path: Path, depth: int) -> None:
    path = saved(trained(depth), tmp_path / "w.pth")
    model = models.tl_1(32, weights=path)
    assert model.network.depth == depth
    state = trained(depth)
    for name, value in model.network.state_dict().items():
        same = value.shape == state[name].shape and torch.equal(value, state[name])
        assert same == (not name.startswith("fc.")), name


class Payload:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def resnet_34() -> dict[str, Tensor]:
    state = trained(18)
    extra = {n.replace("layer1.1", "layer1.2"): v for n, v in state.items() if "layer1.1" in n}
    return {**state, **extra}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("code.pth", Payload(), "cannot be read as weights: .* never unpickled"),
        ("model.pth", {"state_dict": {"a": 1}}, "holds no weights: no tensors by name"),
        ("empty.pth", {}, "holds no weights"),
        ("list.pth", [torch.zeros(1)], "holds no weights"),
        ("other.pth", {"a": torch.zeros(1)}, "another network .*: it has no conv1.weight"),
        ("34.pth", resnet_34(), "another network .*: it has layer1.2.conv1.weight beside"),
        (
            "wide.pth",
            {**trained(50), "layer1.0.conv1.weight": torch.zeros(128, 64, 1, 1)},
            r"its layer1.0.conv1.weight is \(128, 64, 1, 1\) and should be \(64, 64, 1, 1\)",
        ),
        (
            "nan.pth",
            {**trained(18), "bn1.weight": torch.full((64,), float("nan"))},
            "its bn1.weight holds something else than finite numbers",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".pth") else "",
)
def test_what_holds_no_such_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(content, tmp_path / name)
    with pytest.raises(ValueError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_missing_and_damaged_files_are_refused(tmp_path: Path, weights: Path) -> None:
    for name in ("absent.pth", "some/absent.safetensors", "a/b/c", "resnet18"):
        with pytest.raises(ValueError, match=f"there is no file {name}; give a file of weights"):
            load_checkpoint(name)
    with pytest.raises(ValueError, match="is a folder; give the file of weights in it"):
        load_checkpoint(tmp_path)
    contents = weights.read_bytes()
    for ending in ("pth", "safetensors"):
        broken = tmp_path / f"broken.{ending}"
        broken.write_bytes(contents[: len(contents) // 2])
        with pytest.raises(ValueError, match="cannot be read as weights"):
            load_checkpoint(broken)
    with (tmp_path / "old.bin").open("wb") as file:
        pickle.dump(Payload(), file)
    with pytest.raises(ValueError, match="cannot be read as weights"):
        load_checkpoint(tmp_path / "old.bin")


def test_weights_come_from_the_hub(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(trained(18), tmp_path / "model.safetensors")
    asked = []

    def download(name: str, file: str) -> str:
        asked.append((name, file))
        if name == "no/such":
            raise OSError("404 Client Error.\nRepository Not Found")
        return str(tmp_path / file)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))
    found = load_checkpoint("timm/resnet18.a1_in1k")
    assert asked == [("timm/resnet18.a1_in1k", "model.safetensors")]
    assert found.fingerprint == load_checkpoint(weights).fingerprint
    with pytest.raises(ValueError, match=r"hub \(404 Client Error\.\)"):
        load_checkpoint("no/such")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r'is not installed; do, .* pip install -e "\.\[hub\]"$'):
        load_checkpoint("timm/resnet18.a1_in1k")


def test_weights_of_another_depth_are_refused(weights: Path) -> None:
    with pytest.raises(ValueError, match=r"is a ResNet-50, and .* holds a ResNet-18"):
        models.tl_1(32, depth=50).start_from(load_checkpoint(weights))


# --- training


def transfer_config(name: str, weights: Path) -> RunConfig:
    checkpoint = load_checkpoint(weights)
    return run_config(
        photo_data(),
        replace(SHORT, num_epochs=1, learning_rate=0.1),
        model=name,
        weights=str(weights),
        depth=checkpoint.depth,
        weights_fingerprint=checkpoint.fingerprint,
    )


def trained_on_photos(folder: RunFolder) -> None:
    fit(session_of(folder), say=lambda line: None)


@pytest.mark.parametrize(
    ("name", "trained_parts"),
    [
        ("tl_2", ("layer4", "fc")),
        pytest.param("tl_1", ("fc",), marks=pytest.mark.slow),
        pytest.param("tl_3", None, marks=pytest.mark.slow),
    ],
)
def test_frozen_parts_stay_bit_for_bit(
    tmp_path: Path, weights: Path, name: str, trained_parts: tuple[str, ...] | None
) -> None:
    """After an epoch by the default recipe, with momentum, decay, clipping and an average."""
    folder = new_run(tmp_path / "run", transfer_config(name, weights))
    trained_on_photos(folder)
    state = folder.read_state()
    assert state is not None
    before = trained(18)
    average = {
        key.removeprefix("module."): value
        for key, value in state["average"].items()
        if key != "n_averaged"
    }
    for kept in (state["model"], average, folder.read_model().state_dict()):
        for key, value in kept.items():
            part = key.removeprefix("network.").split(".")[0]
            if part == "fc":
                continue
            is_trained = trained_parts is None or part in trained_parts
            same = torch.equal(value, before[key.removeprefix("network.")])
            assert same != is_trained, key


def test_a_run_goes_on_without_its_first_weights_and_begins_only_with_them(
    tmp_path: Path, weights: Path
) -> None:
    config = transfer_config("tl_1", weights)
    done = new_run(tmp_path / "done", config)
    trained_on_photos(done)
    saved({**trained(18), "bn1.bias": torch.ones(64)}, weights)
    trained_on_photos(done)
    begun = new_run(tmp_path / "begun", config)
    with pytest.raises(RunError, match="are not those that the run began with; put the unchanged"):
        trained_on_photos(begun)
    weights.unlink()
    with pytest.raises(RunError, match="cannot use the weights: there is no file"):
        trained_on_photos(begun)


def asked(recipe: dict[str, Any] | None = None, **options: Any) -> tuple[RunConfig, Task]:
    """The settings of a run on few drawings, and its task."""
    small = {"num_drawn": 8, "image_size": 32, **options}
    config, task, _ = make_config(PHOTO, Request(small, recipe=recipe or {}))
    return config, task


def test_the_settings_hold_the_fingerprint_and_the_depth(weights: Path) -> None:
    config, task = asked(model="tl_2", weights=str(weights))
    assert config.options.weights == str(weights.absolute())
    assert config.options.weights_fingerprint == load_checkpoint(weights).fingerprint
    assert config.options.depth == 18
    assert config.recipe.learning_rate == 0.01
    size = num_parameters(models.tl_2(32, depth=18))
    assert needed_bytes(PHOTO, task, config.recipe) == 64 * 2**20 + BYTES_PER_PARAMETER * size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "tl_1"}, "tl_1 needs weights of a trained ResNet-18 or -50, and no weights"),
        ({"model": "tl_1", "weights": "absent.pt"}, "cannot use the weights: there is no file"),
        ({"model": "cnn_1", "weights": "x.pt"}, "cnn_1 starts from nothing; --weights goes with"),
        ({"model": "cnn_1", "form": "sane"}, "cnn_1 has one form only; leave out --form"),
        ({"model": "resnet18"}, "there is no model 'resnet18'; did you mean 'resnet_18'"),
        (
            {"model": "fcnn_1", "recipe": {"batch_size": 1}},
            "the batch size must be 2 or more, but is 1: fcnn_1 normalises over the batch",
        ),
        (
            {"model": "resnet_18", "recipe": {"batch_size": 1}, "image_size": 32},
            "the batch size must be 2 or more, but is 1: resnet_18 .* one photo of 32 pixels",
        ),
        (
            {"model": "fcnn_3", "num_drawn": 1},
            "the number of drawn portraits must be 2 or more, but is 1",
        ),
    ],
)
def test_options_that_cannot_be_used_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        asked(**changes)


def test_a_network_of_one_size_sees_the_full_size_from_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build_module, "load_data", lambda *_, **__: photo_data())
    growing, _ = asked(data="photos", model="cnn_1")
    assert len(growing.recipe.image_sizes) == 3
    fixed, _ = asked(data="photos", model="fcnn_1")
    assert fixed.recipe.image_sizes == ((1.0, 1.0),)
    one, _ = asked({"batch_size": 1}, model="cnn_2", image_size=64)
    assert one.recipe.batch_size == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_network_trains_evaluates_and_predicts(
    tmp_path: Path, weights: Path, name: str
) -> None:
    def command(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "rondo", *words], capture_output=True, text=True, check=True
        )
        return done.stdout

    run = str(tmp_path / "run")
    extra = ["--weights", str(weights)] if MODELS[name].takes_weights else []
    words = ["--num-drawn", "16", "--image-size", "32", "--epochs", "1", "--batch-size", "8"]
    trained = command("train", "photo", "--model", name, "--run", run, *words, *extra)
    first, _, rest = trained.partition("\n")
    assert first.startswith("ended after 16 photos; test: ")
    assert rest.startswith(command("evaluate", run))
    from PIL import Image

    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    assert "a.png" in command("predict", run, str(tmp_path / "a.png"))
    page = (tmp_path / "run" / "report.html").read_text()
    assert ("cannot be shown" in page) == name.startswith("fcnn")
