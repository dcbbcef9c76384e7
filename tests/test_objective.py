"""The training problem J, by hand."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import rondo
from rondo.training import Objective

LENGTHS = torch.tensor([3, 1])
OUTPUTS = torch.tensor([[[1.0, 2.0], [0.0, 0.0], [3.0, 0.0]], [[0.0, 4.0], [9.0, 9.0], [9.0, 9.0]]])
TARGETS = torch.zeros(2, 3, 2)
# ½ ‖ỹ - y‖² by step: 2.5, 0, 4.5 and 8


def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).abs().sum(-1)


def test_sums_over_steps_and_averages_over_sequences() -> None:
    objective = Objective("euclidean")
    assert objective(OUTPUTS, TARGETS, LENGTHS).item() == (2.5 + 4.5 + 8) / 2
    assert objective.distances(OUTPUTS, TARGETS, LENGTHS).tolist() == [[2.5, 0, 4.5], [8, 0, 0]]
    assert objective(OUTPUTS, TARGETS).item() == (2.5 + 4.5 + 8 + 81 + 81) / 2


def test_a_mean_over_steps_lets_every_sequence_weigh_the_same() -> None:
    objective = Objective("euclidean", per_step_mean=True)
    assert objective(OUTPUTS, TARGETS, LENGTHS).item() == pytest.approx((7 / 3 + 8) / 2)
    assert objective(OUTPUTS, TARGETS).item() == pytest.approx((7 / 3 + 170 / 3) / 2)


def test_cross_entropy() -> None:
    logits = torch.zeros(2, 3, 4)
    logits[0, 0, 1] = math.log(3)  # the class 1 has half of the probability
    targets = torch.tensor([[1, 0, 3], [2, -7, 99]])  # padding holds anything
    by_hand = (math.log(2) + math.log(4) + math.log(4) + math.log(4)) / 2
    J = Objective("cross_entropy")(logits, targets, LENGTHS)
    assert J.item() == pytest.approx(by_hand)
    int32 = targets.to(torch.int32)
    assert Objective("cross_entropy")(logits, int32, LENGTHS).item() == J.item()


def test_binary_cross_entropy_sums_over_notes() -> None:
    notes = torch.tensor([[[0.0, 1.0], [1.0, 1.0]]])
    a = math.log(3)  # σ(a) = 3/4
    J = Objective("binary_cross_entropy")(torch.full((1, 2, 2), a), notes)
    assert J.item() == pytest.approx(math.log(4) + 3 * math.log(4 / 3))
    assert Objective("binary_cross_entropy")(torch.full((1, 2, 2), a), notes.bool()).item() == J


def test_a_distance_of_ones_own() -> None:
    J = Objective(absolute)(OUTPUTS, TARGETS, LENGTHS)
    assert J.item() == (3 + 0 + 3 + 4) / 2


def test_one_output_of_a_whole_sequence_is_one_step() -> None:
    assert Objective("euclidean")(OUTPUTS[:, 0], TARGETS[:, 0]).item() == (2.5 + 8) / 2
    classes = torch.tensor([0, 1])
    expected = functional.cross_entropy(OUTPUTS[:, 0], classes)
    for per_step_mean in (False, True):
        objective = Objective("cross_entropy", per_step_mean=per_step_mean)
        torch.testing.assert_close(objective(OUTPUTS[:, 0], classes), expected)


@pytest.mark.parametrize("distance", ["euclidean", "cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("per_step_mean", [False, True])
def test_time_first_is_the_same(distance: str, per_step_mean: bool) -> None:
    outputs = torch.randn(4, 6, 3, dtype=torch.float64)
    targets = torch.randint(0, 2, (4, 6) if distance == "cross_entropy" else (4, 6, 3))
    targets = targets.double() if distance == "euclidean" else targets
    lengths = torch.tensor([6, 0, 3, 1])
    J = Objective(distance, per_step_mean)(outputs, targets, lengths)
    other = Objective(distance, per_step_mean, batch_first=False)
    assert J.dtype == torch.float64
    assert J.shape == ()
    torch.testing.assert_close(
        other(outputs.transpose(0, 1), targets.transpose(0, 1), lengths), J, rtol=1e-14, atol=0
    )


def test_padding_is_never_read_and_gets_no_gradient() -> None:
    outputs, targets = OUTPUTS.clone(), TARGETS.clone()
    outputs[1, 1:] = targets[1, 1:] = torch.nan
    outputs.requires_grad_()
    J = Objective("euclidean")(outputs, targets, LENGTHS)
    J.backward()
    assert J.item() == 7.5
    expected = OUTPUTS / 2
    expected[1, 1:] = 0
    assert torch.equal(outputs.grad, expected)


@pytest.mark.parametrize("per_step_mean", [False, True])
@pytest.mark.parametrize("shape", [(0, 5, 2), (3, 0, 2), (0, 0, 2), (0, 2)])
def test_nothing_gives_0(shape: tuple[int, ...], per_step_mean: bool) -> None:
    outputs = torch.zeros(shape, requires_grad=True)
    J = Objective("euclidean", per_step_mean)(outputs, torch.zeros(shape))
    J.backward()
    assert J.item() == 0


def test_a_row_of_no_steps_counts_among_the_rows() -> None:
    lengths = torch.tensor([3, 0])
    assert Objective("euclidean")(OUTPUTS, TARGETS, lengths).item() == 3.5
    assert Objective("euclidean", True)(OUTPUTS, TARGETS, lengths).item() == pytest.approx(7 / 6)


def test_trains_a_layer_as_padded_rows_alone() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 2).double())
    x, targets = torch.randn(2, 5, 3).double(), torch.randn(2, 5, 2).double()
    objective, lengths = Objective("euclidean"), torch.tensor([5, 2])
    together = objective(layer(x, lengths=lengths)[0], targets, lengths)
    alone = [
        objective(layer(x[n : n + 1, :length])[0], targets[n : n + 1, :length])
        for n, length in enumerate(lengths.tolist())
    ]
    torch.testing.assert_close(together, sum(alone) / 2)


def test_in_a_graph_of_torch() -> None:
    objective = torch.compile(Objective("euclidean", True), backend="eager", fullgraph=True)
    assert objective(OUTPUTS, TARGETS, LENGTHS).item() == pytest.approx((7 / 3 + 8) / 2)


def test_on_half_precision() -> None:
    assert Objective("euclidean")(OUTPUTS.bfloat16(), TARGETS.bfloat16(), LENGTHS).item() == 7.5


@pytest.mark.parametrize(
    ("outputs", "targets", "distance", "message"),
    [
        (OUTPUTS, TARGETS[:, :2], "euclidean", "have their rows and steps, got outputs (2, 3, 2) "),
        (OUTPUTS, TARGETS[..., :1], "euclidean", "euclidean must be (2, 3, 2) for these outputs"),
        (OUTPUTS, TARGETS[..., 0], "euclidean", "must be (2, 3, 2) for these outputs, got (2, 3)"),
        (OUTPUTS, TARGETS, "cross_entropy", "must be (2, 3) for these outputs, got (2, 3, 2)"),
        (OUTPUTS, TARGETS[:1], "binary_cross_entropy", "have their rows and steps, got"),
        (torch.zeros(3), torch.zeros(3), "euclidean", "outputs must be (B, T, K) or (B, K)"),
        (OUTPUTS[None], TARGETS[None], "euclidean", "for each step, (1, 2), got (1, 2, 3); sum"),
        (OUTPUTS, TARGETS, torch.sub, "for each step, (2, 3), got (2, 3, 2)"),
    ],
)
def test_refuses_shapes_that_do_not_fit(
    outputs: Tensor, targets: Tensor, distance: str, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Objective(distance)(outputs, targets)


def test_refuses_what_it_cannot_take() -> None:
    with pytest.raises(ValueError, match="distance must be 'euclidean' or 'cross_entropy' or"):
        Objective("hamming")
    with pytest.raises(ValueError, match="distance must be 'euclidean' or"):
        Objective(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must be whole numbers, a class for each step, got torch"):
        Objective("cross_entropy")(OUTPUTS, TARGETS[..., 0])
    with pytest.raises(ValueError, match=r"takes no lengths; sequences are \(B, T, K\)"):
        Objective("euclidean")(OUTPUTS[:, 0], TARGETS[:, 0], LENGTHS)
    with pytest.raises(ValueError, match="between 0 and T = 3, got 4"):
        Objective("euclidean")(OUTPUTS, TARGETS, torch.tensor([4, 1]))
    packed = torch.nn.utils.rnn.pack_padded_sequence(OUTPUTS, [3, 1], batch_first=True)
    with pytest.raises(TypeError, match="outputs must be a padded tensor, got PackedSequence"):
        Objective("euclidean")(packed, TARGETS)
    nested = torch.nested.nested_tensor([OUTPUTS[0]], layout=torch.jagged)
    with pytest.raises(TypeError, match="targets must be a padded tensor, got a nested tensor"):
        Objective("euclidean")(OUTPUTS, nested)
