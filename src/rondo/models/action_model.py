"""`ActionModel`: which of some actions a sequence of frames shows, at its end or while it comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rondo.cells.named import NAMED_CELLS
from rondo.layers import Bidirectional, Recurrent, VariationalDropout
from rondo.models.frame_features import FRAMES
from rondo.models.motion import DifferenceCell

FRAMES_TOGETHER = 2048
"""Frames whose features are computed together; more would take memory without being faster."""


class ActionModel(nn.Module):
    """Features of each frame, recurrent layers, and a linear output of their mean over the steps.

    f(t) are the features of the frame x(t) and of its differences; h_0(t) = f(t),
    h_l = layer_l(h_(l-1)), and y(t) = V (1/t Σ_(s <= t) h_L(s)) + c. The answer for a whole
    sequence is y(T), with T its own length. With dropout every h_l loses the same units at all
    steps of a sequence.

    With one direction y(t) depends on no later frame, so :meth:`stream` gives the same answers
    frame by frame as `forward` gives for all frames so far.

    Args:
        cell: The name of the cell in `rondo.cells.named.NAMED_CELLS`.
        input_size: F, the numbers of a frame.
        hidden_size: The hidden size of every cell.
        output_size: K, the number of actions.
        num_layers: The number of layers.
        dropout: The probability of a dropped unit.
        bidirectional: Whether each layer has a second cell that runs from the last step to the
            first; both outputs stand side by side.
        frames: "poses", "signals" or "video" (`rondo.models.frame_features`).
        frame_shape: The shape of a frame, with F numbers: (J, D), (C,) or (H, W).
        lags: The steps over which differences are taken.

    Shape:
        x (B, T, F); y (B, K).

    Example:
        >>> import torch
        >>> from rondo.models.action_model import ActionModel
        >>> model = ActionModel("gru", input_size=30, hidden_size=8, output_size=4,
        ...                     frames="poses", frame_shape=(15, 2))
        >>> y, state = model(torch.randn(3, 20, 30), lengths=torch.tensor([20, 12, 5]))
        >>> y.shape
        torch.Size([3, 4])
    """

    def __init__(
        self,
        cell: str,
        *,
        input_size: int,
        hidden_size: int,
        output_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
        frames: str,
        frame_shape: Sequence[int],
        lags: Sequence[int] = (1,),
    ) -> None:
        super().__init__()
        self.bidirectional = bidirectional
        self.motion = Recurrent(DifferenceCell(input_size, lags))
        self.frames = FRAMES[frames](frame_shape, len(lags))
        self.layers = nn.ModuleList()
        size = self.frames.num_features
        for _ in range(num_layers):
            cells: list[Any] = [
                NAMED_CELLS[cell](size, hidden_size) for _ in range(1 + bidirectional)
            ]
            self.layers.append(Bidirectional(*cells) if bidirectional else Recurrent(*cells))
            size = len(cells) * cells[0].output_size
        self.dropout = VariationalDropout(dropout)
        self.output = nn.Linear(size, output_size)

    def forward(
        self, x: Tensor, state: tuple[Any, ...] | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Any, ...]]:
        """The answer for all frames so far, and the state, with which a next call goes on.

        Args:
            x: Frames (B, T, F).
            state: What a call before returned, where these frames follow on its frames.
            lengths: (B,) the frames of each row; default T for all.

        Returns:
            Logits (B, K), and the state.
        """
        h, states, total, num_steps = self._run(x, state, lengths)
        total = total + h.sum(1)
        num_steps = num_steps + (x.shape[1] if lengths is None else lengths.to(x.device)[:, None])
        return self._answer(total, num_steps), (*states, total, num_steps)

    def running(self, x: Tensor) -> Tensor:
        """The answers (B, T, K) after each frame of sequences of equal length."""
        h, _, total, num_steps = self._run(x, None, None)
        totals = total[:, None] + h.cumsum(1)
        steps = num_steps[:, None] + torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        return self._answer(totals, steps)

    def stream(self) -> ActionStream:
        """What answers frame by frame.

        Raises:
            ValueError: Where a layer runs backward too, so that it needs the last frame first.
        """
        return ActionStream(self)

    @torch.no_grad()
    def fit_input(self, x: Tensor, lengths: Tensor) -> None:
        """Takes from frames (B, T, F) what their features need: mean and deviation."""
        moved, _ = self.motion(x, lengths=lengths)
        self.frames.fit(moved[_is_real(x, lengths)])

    def _run(self, x: Tensor, state: tuple[Any, ...] | None, lengths: Tensor | None) -> Any:
        """The output of the last layer, the states of all loops, and the sums before x."""
        if state is None:
            state = (*[None] * (1 + len(self.layers)), 0.0, 0)
        moved, after = self.motion(x, state[0], lengths=lengths)
        h, states = self._features(moved, lengths), [after]
        for layer, before in zip(self.layers, state[1:-2], strict=True):
            h, after = layer(h, before, lengths=lengths)
            h = self.dropout(h)
            states.append(after)
        num_steps = x.new_zeros(len(x), 1, dtype=torch.long) + state[-1]
        return h, states, h.new_zeros(len(x), h.shape[2]) + state[-2], num_steps

    def _features(self, moved: Tensor, lengths: Tensor | None) -> Tensor:
        """The features of all frames, zeros in the padding."""
        is_real = _is_real(moved, lengths)
        parts = [self.frames(part) for part in moved[is_real].split(FRAMES_TOGETHER)]
        h = parts[0].new_zeros(*moved.shape[:2], parts[0].shape[1])
        h[is_real] = torch.cat(parts)
        return h

    def _answer(self, total: Tensor, num_steps: Tensor) -> Tensor:
        return self.output(total / num_steps.clamp_min(1))


class ActionStream:
    """Answers frame by frame, with the state kept; made by :meth:`ActionModel.stream`.

    Units are not dropped between the layers, and no gradient is kept. Where cells drop units of
    their own, the model must be in `eval` mode.

    Shape:
        x (B, F), the next frame of each of B sequences; the answer so far (B, K).

    Example:
        >>> import torch
        >>> from rondo.models.action_model import ActionModel
        >>> model = ActionModel("gru", input_size=9, hidden_size=8, output_size=6,
        ...                     frames="signals", frame_shape=(9,)).eval()
        >>> x = torch.randn(2, 20, 9)
        >>> stream = model.stream()
        >>> for frame in x.unbind(1):
        ...     logits = stream(frame)
        >>> torch.allclose(logits, model(x)[0], atol=1e-5)
        True
    """

    def __init__(self, model: ActionModel) -> None:
        if model.bidirectional:
            raise ValueError(
                "a stream needs a network of one direction, but this one also reads from the last "
                "frame to the first; train one without --bidirectional"
            )
        self._model = model
        self._loops = [loop.stream() for loop in (model.motion, *model.layers)]
        self._total: Any = 0.0
        self.num_steps = 0

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """The logits (B, K) for all frames so far, x the last of them."""
        motion, *layers = self._loops
        h = self._model.frames(motion(x))
        for layer in layers:
            h = layer(h)
        self._total = self._total + h
        self.num_steps += 1
        return self._model.output(self._total / self.num_steps)

    def reset(self) -> None:
        """Go back to before the first frame."""
        for loop in self._loops:
            loop.reset()
        self._total, self.num_steps = 0.0, 0


def _is_real(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Whether a step (B, T) is one of its row."""
    if lengths is None:
        return torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    return torch.arange(x.shape[1], device=x.device) < lengths.to(x.device)[:, None]
