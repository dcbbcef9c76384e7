"""The numbers of the frames that could be decoded of a video, where others are lost.

In go the times of the packets of a video, the times of the frames that came out of them, and how
many frames the file says that it has; out comes the number of each decoded frame in the whole
video. A packet without a frame, and a hole between packets that are evenly spaced otherwise, are
lost frames, and so is what is missing at the end. Where packets are not evenly spaced, as in
recordings of a screen, holes mean nothing.

Where the file has an index of all packets, their places in it count too: a demuxer that finds its
way again after damaged bytes goes on with its times as if nothing had been between.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import fmean, median
from typing import Any

from rondo.data.lost_frames import Runs, runs_between

EVEN = 0.25
"""A step between packets is even if it differs from the usual one by no more than this share."""

STEADY = 0.8
"""Packets are evenly spaced if so many of their steps are even."""

MOST_LOST = 4
"""Times that say that the video has more than this many times its packets tell nothing."""

CHUNK_HEADER_BYTES = 8
"""The index of an AVI file names the header of a packet, which is so much before the packet."""


@dataclass(frozen=True)
class Placement:
    """Where the decoded frames stand in a video.

    Attributes:
        numbers: The number of each decoded frame, counted from 0, increasing.
        num_frames: The frames that the video has, lost ones too.
    """

    numbers: tuple[int, ...]
    num_frames: int

    @property
    def lost(self) -> Runs:
        """The numbers of lost frames."""
        return runs_between(self.numbers, self.num_frames)

    @property
    def end(self) -> int:
        """The number after that of the last decoded frame."""
        return self.numbers[-1] + 1 if self.numbers else 0

    def at(self, number: int) -> int:
        """Returns which decoded frame stands for a number.

        It is the number's own, or for a lost one the last before it, or the first of all.
        """
        return max(0, bisect_right(self.numbers, number) - 1)


class Clock:
    """Collects the times of packets and frames, in the units of the stream.

    Args:
        declared: The frames that the head of the file speaks of, 0 where it does not.
        ends_at: The time after the last frame by the head of the file, if it says it.
        index: The place and the size, in bytes, of each packet that the file's index names.
        is_of_frames: Whether a unit of time is a frame, as in AVI files.
    """

    def __init__(
        self,
        declared: int = 0,
        ends_at: float | None = None,
        index: Iterable[tuple[int, int]] = (),
        is_of_frames: bool = False,
    ) -> None:
        self._declared, self._ends_at, self._is_of_frames = declared, ends_at, is_of_frames
        self._index = {key: number for number, key in enumerate(index)}
        self._times: list[int] = []
        self._indices: list[int] = []
        self._shown: list[int | None] = []
        self._hidden: list[int] = []
        self._is_indexed = bool(self._index)

    def add_packet(self, packet: Any) -> None:
        """Notes a packet of PyAV."""
        index = self._index_of(packet)
        self._is_indexed &= index is not None
        time = packet.dts if packet.pts is None else packet.pts
        place = -1 if index is None else index
        if packet.is_discard:
            self._hidden.append(place)
        elif time is not None:
            self._times.append(time)
            self._indices.append(place)

    def add_frame(self, time: int | None) -> None:
        """Notes a decoded frame, in the order in which frames are shown."""
        self._shown.append(time)

    def placement(self) -> Placement:
        """Returns where the frames stand."""
        times = sorted(set(self._times))
        shown = sorted(time for time in self._shown if time is not None)
        if not times or len(shown) < len(self._shown):
            return Placement(tuple(range(len(self._shown))), max(len(self._shown), self._expected))
        step = 1.0 if self._is_of_frames else _usual_step(times)
        if step is not None and (times[-1] - times[0]) / step >= MOST_LOST * len(times):
            step = None
        of_times = self._numbered(times, step)
        numbers: list[int] = []
        for time in shown:
            least = numbers[-1] + 1 if numbers else 0
            numbers.append(max(least, of_times[max(0, bisect_right(times, time) - 1)]))
        last = max([of_times[-1], *numbers[-1:]])
        num_after = 0 if self._declared else _num_after(times[-1], step, self._ends_at)
        return Placement(tuple(numbers), max(last + 1 + num_after, self._expected))

    @property
    def _expected(self) -> int:
        """The frames that the file says it has; a whole index is surer than its head."""
        declared = len(self._index) if self._is_indexed else self._declared
        return declared - len(self._hidden)

    def _numbered(self, times: Sequence[int], step: float | None) -> list[int]:
        """A number for each of increasing times: further on by as much as time or index says."""
        by_time = [1 if step is None else round((b - a) / step) for a, b in pairwise(times)]
        if not self._is_indexed or len(times) < len(self._times):
            return list(accumulate(by_time, initial=0))
        indices = sorted(self._indices)
        by_index = [after - before for before, after in pairwise(indices)]
        first = indices[0] - sum(index < indices[0] for index in self._hidden)
        return list(accumulate(map(max, by_time, by_index), initial=first))

    def _index_of(self, packet: Any) -> int | None:
        if packet.pos is None:
            return None
        keys = ((packet.pos, packet.size), (packet.pos - CHUNK_HEADER_BYTES, packet.size))
        return next((self._index[key] for key in keys if key in self._index), None)


def _usual_step(times: Sequence[int]) -> float | None:
    """The step between increasing times, None where they are not evenly spaced."""
    steps = [after - before for before, after in pairwise(times)]
    usual = median(steps) if steps else 0
    even = [step for step in steps if abs(step - usual) <= EVEN * usual]
    return fmean(even) if even and len(even) >= STEADY * len(steps) else None


def _num_after(last: int, step: float | None, end: float | None) -> int:
    """The frames that are missing at the end by the time at which the video ends."""
    return 0 if step is None or end is None else max(0, round((end - last) / step) - 1)
