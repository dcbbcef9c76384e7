"""The CRNN: its sizes, its padding, its cells, and the same network of torch.nn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from rondo.cells.named import num_parameters
from rondo.models.crnn import CRNN


def small(**arguments: object) -> CRNN:
    """A small network whose normalisation has seen something."""
    sizes = {"channels": 3, "hidden_size": 5, **arguments}
    model = CRNN(7, **sizes)  # type: ignore[arg-type]
    model(torch.rand(4, 40, 32) * 255)
    return model.eval()


def pictures(*sizes: int) -> Tensor:
    return torch.rand(*sizes, generator=torch.Generator().manual_seed(3)) * 255


def test_the_network_of_the_paper_has_its_size() -> None:
    model = CRNN(37, channels=64, hidden_size=256)
    assert num_parameters(model) == 8_326_885  # the paper says 8.3 M
    logits, state = model.eval()(torch.zeros(1, 100, 32))
    assert logits.shape == (1, 24, 37)
    assert state == ()


def test_the_same_network_of_torch() -> None:
    model, given = small(), pictures(2, 48, 32)
    mean = given.mean((1, 2), keepdim=True)
    deviation = given.var((1, 2), correction=0, keepdim=True).sqrt()
    x = ((given - mean) / (deviation + 1)).transpose(1, 2)[:, None]
    pools = [(2, 2), (2, 2), None, (2, 1), None, (2, 1), None]
    for convolution, norm, pool in zip(model.convolutions, model.norms, pools, strict=True):
        x = norm(convolution(x)).relu()
        x = x if pool is None else max_pool2d(x, pool)
    assert x.shape == (2, 24, 1, 11)
    x = x[:, :, 0].transpose(1, 2)
    for layer, join in zip(model.layers, model.joins, strict=True):
        theirs = nn.LSTM(x.shape[2], 5, batch_first=True, bidirectional=True)
        halves = (layer.forward_layer.cell, ""), (layer.backward_layer.cell, "_reverse")
        state = {
            f"{name}_l0{end}": value
            for cell, end in halves
            for name, value in cell.state_dict().items()
        }
        state |= {f"bias_hh_l0{end}": torch.zeros(20) for _, end in halves}
        theirs.load_state_dict(state)
        x = join(theirs(x)[0])
    torch.testing.assert_close(model(given)[0], x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("garbage", [0.0, 255.0, float("nan")])
def test_padding_and_batch_mates_change_no_row(garbage: float) -> None:
    model, widths = small(), [40, 8, 24, 32]
    given = pictures(4, 40, 32)
    for row, width in enumerate(widths):
        given[row, width:] = garbage
    together, _ = model(given, lengths=torch.tensor(widths))
    for row, width in enumerate(widths):
        alone, _ = model(given[row : row + 1, :width])
        torch.testing.assert_close(together[row, : width // 4 - 1], alone[0], rtol=1e-4, atol=1e-5)


def test_padding_gets_no_gradient() -> None:
    model, given = small(), pictures(2, 40, 32).requires_grad_()
    logits, _ = model(given, lengths=torch.tensor([40, 16]))
    logits[:, :3].square().sum().backward()
    assert given.grad is not None
    assert given.grad[1, :16].abs().min() > 0
    assert given.grad[1, 16:].abs().max() == 0


def test_light_and_contrast_hardly_matter_and_a_flat_picture_is_read() -> None:
    model, given = small(), pictures(1, 40, 32)
    dim = 0.2 * given + 150
    torch.testing.assert_close(model(dim)[0], model(given)[0], rtol=0.2, atol=0.05)
    assert model(torch.full((1, 40, 32), 9.0))[0].isfinite().all()


@pytest.mark.parametrize("cell", ["tanh", "gru", "lstm-projection", "lstm-1997", "lru"])
def test_any_cell_reads_and_learns(cell: str) -> None:
    model = small(cell=cell, num_layers=1)
    logits, _ = model(pictures(2, 40, 32), lengths=torch.tensor([40, 24]))
    logits.sum().backward()
    assert logits.shape == (2, 9, 7)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_classes": 1}, "num_classes must be at least 2, got 1"),
        ({"num_classes": 5, "hidden_size": 0}, "hidden_size must be at least 1, got 0"),
        ({"num_classes": 5, "num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"num_classes": 5, "channels": -1}, "channels must be at least 1, got -1"),
    ],
)
def test_wrong_sizes_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CRNN(**sizes)


@pytest.mark.parametrize(
    ("shape", "widths", "message"),
    [
        ((1, 3, 40, 32), None, r"pictures must be \(B, W, 32\), .* got \(1, 3, 40, 32\)"),
        ((1, 40, 31), None, r"columns of 32 pixels, got \(1, 40, 31\)"),
        ((1, 42, 32), None, r"multiples of 4 from 8 to the W of the pictures, 42, got \[42\]"),
        ((1, 40, 32), [4], r"multiples of 4 from 8 .*, 40, got \[4\]"),
        ((2, 40, 32), [40, 44], r"multiples of 4 from 8 .*, 40, got \[40, 44\]"),
    ],
)
def test_wrong_pictures_are_refused(
    shape: tuple[int, ...], widths: list[int] | None, message: str
) -> None:
    lengths = None if widths is None else torch.tensor(widths)
    with pytest.raises(ValueError, match=message):
        small()(torch.zeros(shape), lengths=lengths)


def test_weights_of_a_network_with_other_characters() -> None:
    earlier = small()
    model = CRNN(5, channels=3, hidden_size=5).eval()
    kept = model.joins[1].bias[3].item()
    model.take_weights(earlier, {0: 0, 1: 6, 2: 3, 4: 1})
    given = pictures(1, 40, 32)
    there, here = earlier(given)[0], model(given)[0]
    torch.testing.assert_close(here[..., [0, 1, 2, 4]], there[..., [0, 6, 3, 1]])
    assert model.joins[1].bias[3].item() == kept


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hidden_size": 6}, r"layers.0.* must be .* there"),
        ({"channels": 4}, r"convolutions.0.weight must be \(3, 1, 3, 3\), but is \(4, 1, 3, 3\)"),
        ({"num_layers": 1}, r"must be .*, but is .* there"),
        ({"cell": "gru"}, r"must be .*, but is .* there"),
    ],
)
def test_weights_of_other_sizes_are_refused(sizes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CRNN(7, channels=3, hidden_size=5).take_weights(small(**sizes), {0: 0})
