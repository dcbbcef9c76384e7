"""Truncated backpropagation through time in the one training loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from engine_cases import Case, final_case, photos_case, sequence_model, steps_case, streams_case
from rondo.data.batch import Batch
from rondo.errors import RunError
from rondo.models.action_model import ActionModel
from rondo.tasks.actions.task import actions
from rondo.training import Objective, tbptt
from rondo.training.windows import windows_of


def batch_of(case: Case, step: int = 0) -> Batch:
    return case.task.source.training_batch(3, step, case.task.recipe.batch_size)


def gradient_of(case: Case, batch: Batch, window_size: int | None, **changes: int) -> list[Tensor]:
    """The gradient of a batch, and its loss at the end."""
    engine = case.engine(window_size=window_size, **changes)
    found = engine.gradient.leave(batch, 0)
    gradients = [p.grad.clone() for p in engine.parameters if p.grad is not None]
    assert len(gradients) == len(engine.parameters)
    return [*gradients, torch.tensor(found.loss)]


def close(found: list[Tensor], expected: list[Tensor]) -> bool:
    pairs = zip(found, expected, strict=True)
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)


@pytest.mark.parametrize("case", [steps_case, final_case, streams_case])
def test_one_window_for_all_steps_changes_no_bit(case: type) -> None:
    whole, batch = case(), batch_of(case())
    first, second = (gradient_of(whole, batch, size) for size in (None, 1000))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("num_shards", [1, 2])
def test_an_answer_at_every_step_is_trained_as_tbptt_does(num_shards: int) -> None:
    case = steps_case()
    batch = batch_of(case)
    assert batch.lengths is not None
    model = case.engine().model
    total = torch.tensor(0.0)
    for window in tbptt(model, batch.inputs, 2, lengths=batch.lengths):
        loss = Objective("cross_entropy")(window.outputs, window.cut(batch.targets), window.lengths)
        loss.backward()
        total = total + loss.detach()
    expected = [*[p.grad for p in model.parameters() if p.grad is not None], total]
    found = gradient_of(case, batch, 2, num_shards=num_shards)
    assert close(found, expected)
    whole = gradient_of(case, batch, None)
    assert torch.allclose(whole[-1], found[-1], rtol=1e-5), "the loss is that without windows"
    assert not close(found, whole), "the gradient is cut"


@pytest.mark.parametrize("num_shards", [1, 2])
def test_one_answer_has_a_gradient_over_the_last_steps_of_each_row(num_shards: int) -> None:
    case = final_case()
    batch = batch_of(case)
    assert batch.lengths is not None
    engine = case.engine()
    model, size, total = engine.model, 2, torch.tensor(0.0)
    for row, length in enumerate(batch.lengths.tolist()):
        before = max(0, length - size)
        x, state = batch.inputs[row : row + 1, :length], None
        if before:
            with torch.no_grad():
                _, state = model(x[:, :before])
        outputs, _ = model(x[:, before:], state)
        loss = nn.functional.cross_entropy(outputs, batch.targets[row : row + 1])
        (loss / len(batch.inputs)).backward()
        total = total + loss.detach() / len(batch.inputs)
    expected = [*[p.grad for p in model.parameters() if p.grad is not None], total]
    found = gradient_of(case, batch, size, num_shards=num_shards)
    assert close(found, expected)
    assert not close(found, gradient_of(case, batch, None)), "the gradient is cut"


def test_streams_go_on_after_their_windows() -> None:
    case = streams_case()
    engine, whole = case.engine(window_size=30), case.engine()
    sizes: list[int] = []
    engine.model.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[1]))
    for _ in range(2):
        engine.train_step(0.0)
        whole.train_step(0.0)
    assert sizes == 2 * [30, 30, 30, 10]
    assert engine.last_loss == pytest.approx(whole.last_loss, rel=1e-5)
    torch.testing.assert_close(engine.gradient.carried, whole.gradient.carried)


def test_windows_end_with_the_last_step_of_all() -> None:
    batch = Batch(torch.zeros(2, 9, 1), torch.zeros(2, 9), torch.tensor([4, 1]))
    found = [window.batch for window in windows_of(batch, 3, final=False)]
    assert [part.inputs.shape[1] for part in found] == [3, 3]
    assert [part.lengths.tolist() for part in found] == [[3, 1], [1, 0]]
    assert [part.continues for part in found] == [False, True]


def test_actions_learn_from_the_last_frames() -> None:
    task = actions()
    batch = task.source.training_batch(0, 0, 4)
    recipe = replace(task.recipe, window_size=5, dropout=0.0)
    model = ActionModel(
        "gru", input_size=30, hidden_size=4, output_size=8, frames="poses", frame_shape=(15, 2)
    )
    case = Case(replace(task, recipe=recipe), lambda: model)
    engine = case.engine()
    found = engine.gradient.leave(batch, 0)
    with torch.no_grad():
        outputs, _ = model(batch.inputs, lengths=batch.lengths)
    expected = nn.functional.cross_entropy(outputs, batch.targets).item()
    assert found.loss == pytest.approx(expected, rel=1e-4), "the answer is that of all frames"
    assert all(p.grad is not None for p in engine.parameters)


class Forgetful(nn.Module):
    """A network that hands on no state."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = sequence_model(2, 3)

    def forward(
        self, x: Tensor, state: object, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, None]:
        return self.inner(x, lengths=lengths)[0], None


class BothWays(Forgetful):
    """A network that has a layer that runs backward."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.LSTM(2, 3, bidirectional=True)


def test_what_cannot_be_cut_is_refused() -> None:
    steps = steps_case()
    with pytest.raises(RunError, match=r"steps cannot be trained in windows: LSTM runs from the"):
        Case(steps.task, BothWays).engine(window_size=2)
    engine = Case(steps.task, Forgetful).engine(window_size=2)
    with pytest.raises(RunError, match=r"its network returns no state .* leave out recipe.window"):
        engine.train_step()
    with pytest.raises(RunError, match=r"photo cannot be .*: its network carries no state"):
        photos_case().engine(window_size=2)
    whole = replace(steps.task, loss=lambda outputs, batch: outputs.sum((1, 2)))
    with pytest.raises(RunError, match="its loss is that of whole sequences, no sum over their st"):
        Case(whole, steps.build).engine(window_size=2)
    Case(whole, steps.build).engine()
