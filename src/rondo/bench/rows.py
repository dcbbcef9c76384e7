"""What was measured: a row holds the times of all sides, and says what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, field

from rondo.bench.cells import TORCH_CELLS
from rondo.bench.measure import Spread
from rondo.bench.options import OURS, Sizes, Work
from rondo.bench.peak import Peak

OUR_LSTM = "rondo's LSTM"
"""The contender that others' time per multiplication is measured by."""

IN_SEQUENCE = f"{OURS}, in a sequence"
"""The contender whose time for a step is the arithmetic alone: one call runs many steps."""

YARDSTICKS = (OUR_LSTM, IN_SEQUENCE)
"""Contenders that no ratio is told of."""

LSTM_GATES = TORCH_CELLS["LSTM"][1]


@dataclass(frozen=True)
class Row:
    """What was measured side by side.

    Args:
        suite: The name of the suite.
        case: What was run.
        run: "forward", "training" (forward and backward), "step" or "import".
        sizes: Of the batch and the layer, where there are any.
        times: The time of each contender in each round, in seconds.
        base: The contender that the others' times are divided by.
        num_gates: Products, each H wide, of a step of the base, where its work is counted.
        bars: The most that a ratio should be, by contender; for the base, its time in seconds.
        failures: What is wrong with the contenders that failed the conformance check.
        compile_s: Seconds that compiling took, where it is worth telling.
    """

    suite: str
    case: str
    run: str
    sizes: Sizes | None
    times: dict[str, Spread]
    base: str = OURS
    num_gates: int | None = None
    bars: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    compile_s: dict[str, float] = field(default_factory=dict)

    def ratios(self) -> dict[str, Spread]:
        """The time of the others over that of the base, round by round, but for yardsticks."""
        if self.base not in self.times:
            return {}
        base = self.times[self.base]
        others = {n: t for n, t in self.times.items() if n not in (self.base, *YARDSTICKS)}
        return {name: times.over(base) for name, times in others.items()}

    @property
    def work(self) -> Work | None:
        """What the base cannot do without, where it is counted."""
        if self.num_gates is None or self.sizes is None:
            return None
        return self.sizes.work(self.num_gates, training=self.run == "training")

    def share_of_bound(self, peak: Peak) -> float | None:
        """The least time that the machine needs, over the time of the base."""
        if self.work is None or self.base not in self.times:
            return None
        return peak.bound_s(self.work) / self.times[self.base].median

    def per_multiplication(self) -> Spread | None:
        """The time for a multiplication, over that of Rondo's LSTM in the same rounds."""
        if OUR_LSTM not in self.times or self.num_gates is None:
            return None
        ratio = self.times[self.base].over(self.times[OUR_LSTM])
        return ratio.scaled(LSTM_GATES / self.num_gates)

    def beyond_arithmetic(self) -> Spread | None:
        """The time of a step beyond that of a step within a sequence, in seconds."""
        if IN_SEQUENCE not in self.times:
            return None
        return self.times[self.base].minus(self.times[IN_SEQUENCE])
