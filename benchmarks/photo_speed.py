"""Training speed of the lecture's network: Rondo's layers against the same network on `nn.RNN`.

One training step on 64 photos of 64 or 128 pixels, augmentation and optimiser included, with and
without bfloat16 autocast and channels-last memory. The plain network has the same layers but for
the two spatial recurrent ones, which are written with torch.nn.RNN, as one would without Rondo.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from rondo.training.memory import keep_freed_memory

keep_freed_memory()  # before torch takes its first memory

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402

from rondo.bench.measure import machine_lines, take_turns  # noqa: E402
from rondo.data.augment import Augmentation, augment  # noqa: E402
from rondo.models import lecture_rnn1  # noqa: E402


class PlainSpatialRNN(nn.Module):
    """The spatial recurrent layer with bidirectional `nn.RNN`s (which have a second bias)."""

    def __init__(self, input_channels: int, hidden_size: int) -> None:
        super().__init__()
        self.vertical = nn.RNN(4 * input_channels, hidden_size, bidirectional=True)
        self.horizontal = nn.RNN(2 * hidden_size, hidden_size, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        i, j = height // 2, width // 2
        blocks = x.reshape(n, c, i, 2, j, 2).permute(2, 4, 0, 1, 3, 5).reshape(i, j * n, 4 * c)
        swept = self.vertical(blocks)[0].view(i, j, n, -1).transpose(0, 1)
        swept = self.horizontal(swept.reshape(j, i * n, -1))[0].view(j, i, n, -1)
        return swept.permute(2, 3, 1, 0)


def plain_network(size: int) -> nn.Module:
    """The lecture's network with the two layers replaced."""
    model = lecture_rnn1(size)
    model.features[16] = PlainSpatialRNN(256, 256)
    model.features[18] = PlainSpatialRNN(512, 512)
    return model


def training_step(
    model: nn.Module, photos: Tensor, *, bfloat16: bool, channels_last: bool
) -> Callable[[], None]:
    """One step of the default recipe's kind, as a function to time."""
    if channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, nesterov=True)
    labels = torch.arange(len(photos)) % 2
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        x = augment(photos, photos.shape[-1], Augmentation(), generator)
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss = cross_entropy(model(x).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128], help="pixels")
    arguments = parser.parse_args()
    print(machine_lines())
    print("| pixels | precision | memory format | Rondo, photos/s | plain, photos/s | ratio |")
    print("|---|---|---|---|---|---|")
    for size in arguments.sizes:
        photos = torch.randint(0, 256, (arguments.batch_size, 3, size, size)).byte()
        compare(photos, arguments.rounds)


def compare(photos: Tensor, num_rounds: int) -> None:
    """Print a row for each precision and memory format."""
    size = photos.shape[-1]
    for bfloat16 in (False, True):
        for channels_last in (False, True):
            settings = {"bfloat16": bfloat16, "channels_last": channels_last}
            times = take_turns(
                {
                    "rondo": training_step(lecture_rnn1(size), photos, **settings),
                    "plain": training_step(plain_network(size), photos, **settings),
                },
                num_rounds,
            )
            rondo_speed, plain_speed = (
                len(photos) / times[key].median for key in ("rondo", "plain")
            )
            precision = "bfloat16" if bfloat16 else "float32"
            memory_format = "channels last" if channels_last else "contiguous"
            speeds = f"{rondo_speed:.1f} | {plain_speed:.1f} | {rondo_speed / plain_speed:.2f}"
            print(f"| {size} | {precision} | {memory_format} | {speeds} |", flush=True)


if __name__ == "__main__":
    main()
