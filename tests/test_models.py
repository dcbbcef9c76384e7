"""The lecture's network: its table of shapes, its rules, its forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import rondo
from rondo.models import lecture_rnn1
from rondo.models.neon import NeonBatchNorm2d, glorot_, kaiming_

# Output of every layer at 128 pixels, and its trainable parameters (facts of the lecture).
TABLE = [
    ("NeonBatchNorm2d", (3, 128, 128), 6),
    ("Conv2d", (32, 128, 128), 896),
    ("ReLU", (32, 128, 128), 0),
    ("NeonBatchNorm2d", (32, 128, 128), 64),
    ("MaxPool2d", (32, 64, 64), 0),
    ("Conv2d", (64, 64, 64), 18_496),
    ("ReLU", (64, 64, 64), 0),
    ("NeonBatchNorm2d", (64, 64, 64), 128),
    ("MaxPool2d", (64, 32, 32), 0),
    ("Conv2d", (128, 32, 32), 73_856),
    ("ReLU", (128, 32, 32), 0),
    ("NeonBatchNorm2d", (128, 32, 32), 256),
    ("MaxPool2d", (128, 16, 16), 0),
    ("Conv2d", (256, 16, 16), 295_168),
    ("ReLU", (256, 16, 16), 0),
    ("NeonBatchNorm2d", (256, 16, 16), 512),
    ("SpatialRNN", (512, 8, 8), 1_049_600),
    ("NeonBatchNorm2d", (512, 8, 8), 1_024),
    ("SpatialRNN", (1024, 4, 4), 4_196_352),
    ("NeonBatchNorm2d", (1024, 4, 4), 2_048),
]


def test_every_layer_of_the_lectures_table() -> None:
    model = lecture_rnn1(form="lecture").eval()
    x = torch.zeros(1, 3, 128, 128)
    with torch.no_grad():
        for layer, (name, shape, num_parameters) in zip(model.features, TABLE, strict=True):
            x = layer(x)
            assert (type(layer).__name__, tuple(x.shape[1:])) == (name, shape)
            assert sum(p.numel() for p in layer.parameters()) == num_parameters, name
        assert model.head(x).shape == (1, 2, 6, 6)
        assert model.evidence_map(torch.zeros(1, 3, 128, 128)).shape == (1, 2, 6, 6)


@pytest.mark.parametrize("form", ["sane", "lecture"])
def test_number_of_parameters(form: str) -> None:
    model = lecture_rnn1(form=form)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 5_640_456
    buffers = [b for name, b in model.named_buffers() if "running" in name]
    assert sum(b.numel() for b in buffers) == 4_038


def test_the_sane_form_has_no_border_and_may_be_negative() -> None:
    sane, lecture = lecture_rnn1(64), lecture_rnn1(64, form="lecture")
    photos = torch.rand(2, 3, 64, 64) * 255
    assert sane.evidence_map(photos).shape == (2, 2, 2, 2)
    assert (lecture.evidence_map(photos) >= 0).all()
    assert (sane.evidence_map(photos) < 0).any()


def test_the_lectures_head_can_die_and_the_sane_one_cannot() -> None:
    for form, dead in (("lecture", True), ("sane", False)):
        model = lecture_rnn1(32, form=form)
        with torch.no_grad():
            model.head.weight.fill_(0)
            model.head.bias.fill_(-1)
        model(torch.rand(2, 3, 32, 32) * 255).sum().backward()
        assert model.head.bias.grad is not None
        assert (model.head.bias.grad == 0).all() == dead


def test_batch_norm_by_neons_rules() -> None:
    torch.manual_seed(0)
    layer = NeonBatchNorm2d(3)
    x = torch.randn(2, 3, 2, 2) * 3 + 1
    assert (layer.running_var == 0).all()
    y = layer(x)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    expected = (x - mean.view(-1, 1, 1)) / (var + 1e-3).sqrt().view(-1, 1, 1)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(layer.running_mean, 0.1 * mean)
    torch.testing.assert_close(layer.running_var, 0.1 * var)
    layer(x).sum().backward()
    torch.testing.assert_close(layer.running_var, 0.19 * var)
    layer.eval()
    torch.testing.assert_close(
        layer(x)[0, 0, 0, 0], (x[0, 0, 0, 0] - 0.19 * mean[0]) / (0.19 * var[0] + 1e-3).sqrt()
    )


def test_initial_weights_by_neons_rules() -> None:
    torch.manual_seed(0)
    convolution = kaiming_(nn.Conv2d(64, 128, 3))
    assert convolution.weight.std().item() == pytest.approx(0.05893, rel=0.01)
    assert (convolution.bias == 0).all()
    cell = glorot_(rondo.GRUCell(1024, 256))
    assert cell.weight_ih.abs().max().item() == pytest.approx(0.06847, rel=1e-3)
    assert cell.weight_hh.abs().max().item() == pytest.approx(0.10825, rel=1e-3)
    assert (cell.bias_ih == 0).all()


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="image_size must be a multiple of 32, got 100"):
        lecture_rnn1(100)
    with pytest.raises(ValueError, match="num_classes must be at least 2, got 1"):
        lecture_rnn1(num_classes=1)
    with pytest.raises(ValueError, match="form must be 'sane' or 'lecture', got 'lecturer'"):
        lecture_rnn1(form="lecturer")
    with pytest.raises(ValueError, match=r"multiple of 32, got \(1, 3, 40, 64\)"):
        lecture_rnn1(64)(torch.zeros(1, 3, 40, 64))
