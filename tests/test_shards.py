"""A step as a fold over shards: the numbers of one shard, whatever the parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine_cases import CASES, final_case, normalised_photos_case, photos_case, steps_case
from rondo.data.batch import Batch
from rondo.data.seeds import generator_for
from rondo.training.engine import Engine
from rondo.training.shards import Shards, Sums, folded


def weights(engine: Engine) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in engine.model.state_dict().items()}


def after_steps(engine: Engine, num_steps: int = 3) -> tuple[dict[str, Tensor], list[float]]:
    losses = []
    for _ in range(num_steps):
        engine.train_step()
        losses.append(engine.last_loss)
    return weights(engine), losses


@pytest.mark.parametrize("num_shards", [2, 4])
@pytest.mark.parametrize("name", CASES)
def test_shards_give_the_numbers_of_one(name: str, num_shards: int) -> None:
    """With six or five rows in a batch, so parts are unequal, and lengths are ragged."""
    case = CASES[name]()
    one, several = case.engine(), case.engine(num_shards=num_shards)
    (expected, losses), (found, found_losses) = after_steps(one), after_steps(several)
    assert found_losses == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert several.progress.num_right == one.progress.num_right
    assert not torch.equal(*(next(iter(each.values())) for each in (found, weights(case.engine()))))


@pytest.mark.parametrize("case", [steps_case, final_case])
def test_shards_without_rows_give_nothing(case: Any) -> None:
    few = case(num_train=3)
    expected, losses = after_steps(few.engine(batch_size=8))
    found, found_losses = after_steps(few.engine(batch_size=8, num_shards=8))
    assert found_losses == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_rows_without_steps_weigh_what_they_weigh_in_one_shard() -> None:
    case = steps_case()
    batch = case.task.source.training_batch(0, 0, 6)
    assert batch.lengths is not None
    some = Batch(batch.inputs, batch.targets, torch.tensor([0, 0, 0, 2, 3, 1]))
    found = []
    for num_shards in (1, 2):
        engine = case.engine(num_shards=num_shards)
        engine._learn(some)
        found.append((weights(engine), engine.last_loss))
    (first, loss), (second, other) = found
    assert other == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(second, first, rtol=1e-5, atol=1e-6)


def test_the_network_sees_the_rows_of_one_shard_at_a_time() -> None:
    engine = final_case().engine(num_shards=4)
    sizes = []
    engine.model.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    engine.train_step()
    assert sizes == [1, 2, 1, 2]


def test_the_sum_does_not_depend_on_who_computes_which_shards() -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(8, 1000, generator=generator)

    def sums_of(shard: int) -> Sums | None:
        return None if shard == 5 else Sums(numbers[shard].sum(), 1.0, [numbers[shard].clone()])

    whole = folded(Shards(8).mine, sums_of)
    first, second = folded(range(4), sums_of), folded(range(4, 8), sums_of)
    assert whole is not None
    assert first is not None
    assert second is not None
    parts = first.plus(second)
    assert torch.equal(parts.loss, whole.loss)
    assert parts.gradient[0] is not None
    assert whole.gradient[0] is not None
    assert torch.equal(parts.gradient[0], whole.gradient[0])
    assert (parts.num_right, whole.num_right) == (7.0, 7.0)
    in_a_row = numbers[[0, 1, 2, 3, 4, 6, 7]].double().sum(0)
    torch.testing.assert_close(whole.gradient[0].double(), in_a_row, rtol=1e-4, atol=1e-5)


def test_a_parameter_that_one_shard_uses_keeps_its_gradient() -> None:
    one, two = torch.ones(2), torch.full((2,), 2.0)
    found = Sums(torch.tensor(1.0), 0, [None, one, None]).plus(
        Sums(torch.tensor(2.0), 0, [two, one.clone(), None])
    )
    assert found.gradient[0] is two
    assert found.gradient[1] is not None
    assert found.gradient[1].tolist() == [2.0, 2.0]
    assert found.gradient[2] is None


def test_what_layers_draw_depends_on_step_and_shard() -> None:
    engine = normalised_photos_case().engine(num_shards=2)
    masks: list[Tensor] = []
    engine.model.dropout = Noted(masks)
    engine.train_step()
    assert [len(mask) for mask in masks] == [3, 3]
    assert not torch.equal(masks[0], masks[1])
    for shard, mask in enumerate(masks):
        torch.manual_seed(generator_for("model", 3, 0, shard).initial_seed())
        assert torch.equal(mask, nn.functional.dropout(torch.ones_like(mask), 0.5))


class Noted(nn.Module):
    """Dropout that notes what it has dropped."""

    def __init__(self, masks: list[Tensor]) -> None:
        super().__init__()
        self.masks = masks

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.masks.append(nn.functional.dropout(torch.ones_like(x), 0.5))
            return x * self.masks[-1]
        return x


def test_running_figures_are_folded_in_the_order_of_the_shards() -> None:
    case = normalised_photos_case()
    engine = case.engine(num_shards=2, augmentation=None, image_sizes=((1.0, 1.0),))
    engine.train_step()
    first = nn.BatchNorm2d(3)
    pixels = case.task.source.training_batch(3, 0, 6).inputs.float() / 128
    for part in (pixels[:3], pixels[3:]):
        first(part)
    found = engine.model.features[0]  # type: ignore[index]
    torch.testing.assert_close(found.running_mean, first.running_mean)
    torch.testing.assert_close(found.running_var, first.running_var)


def test_photos_of_a_batch_change_alike_in_any_number_of_shards() -> None:
    """Augmentation is drawn for the whole batch, so it knows nothing of shards."""
    seen: dict[int, list[Tensor]] = {}
    for num_shards in (1, 2):
        engine = photos_case().engine(num_shards=num_shards)
        parts = seen.setdefault(num_shards, [])
        engine.model.register_forward_pre_hook(lambda _, given, parts=parts: parts.append(given[0]))
        engine.train_step()
    assert torch.equal(torch.cat(seen[2]), seen[1][0])
