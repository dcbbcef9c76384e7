"""Launches a rendered kernel: how many programs, together or phase by phase.

In go a kernel, what it reads and writes, and the steps; what it writes is then there. In Triton's
interpreter, on the CPU, phases are always run one by one.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from rondo.compiler.gpu.grid import Grid, grid_of
from rondo.compiler.gpu.waits import phases_with_waits
from rondo.compiler.kernel import Kernel
from rondo.compiler.reference import Resets, Steps, warn

INTERPRETED_PROGRAMS, INTERPRETED_MEMORY = 3, 1 << 20
"""Programs of a phase in the interpreter, which runs one after the other, and the bytes that each
may keep."""


class BuildError(Exception):
    """What Triton cannot compile or load, and why."""


class Launcher:
    """A kernel that is ready to run.

    Args:
        kernel: The kernel.
        module: What was rendered of it.
        interpreted: Whether Triton's interpreter runs it.
    """

    def __init__(self, kernel: Kernel, module: ModuleType, interpreted: bool) -> None:
        self.kernel, self.module, self.interpreted = kernel, module, interpreted
        self.phases = phases_with_waits(kernel)
        self.may_keep = True

    def run(
        self, given: Mapping[str, Tensor], num_rows: int, steps: Steps, resets: Resets | None
    ) -> None:
        """Run all phases of all steps.

        Args:
            given: What the kernel reads and writes, by the names that it has there.
            num_rows: The rows of the batch.
            steps: The steps.
            resets: The rows that begin anew.

        Raises:
            BuildError: Where Triton cannot build the kernel.
        """
        device = next(iter(given.values())).device
        grid = self._grid(num_rows, len(steps.batch_sizes), device)
        batch_sizes, first_rows = _sizes_on(steps.batch_sizes, device)
        flags = batch_sizes if resets is None else resets.flags.to(device)
        arguments = {
            "num_rows": num_rows,
            "batch_sizes": batch_sizes,
            "first_rows": first_rows,
            "resets": _as_bytes(flags.contiguous()),
            **{name: _as_bytes(tensor) for name, tensor in given.items()},
            "RESETS": 0 if resets is None else 2 if resets.divert else 1,
            "PRECISION": "ieee" if _is_exact() else "tf32",
            "KEEP": grid.keep,
            "ROWS": grid.rows,
            "COLUMNS": grid.columns,
            "num_warps": grid.num_warps,
            "num_stages": grid.num_stages,
        }
        together = len(steps.batch_sizes) > 1 and not self.interpreted
        run = self.run_together if together else self.run_apart
        try:
            with torch.cuda.device_of(batch_sizes), _building():
                run(arguments, len(steps.batch_sizes), steps.reverse, grid.num_programs)
        except BuildError as error:
            if not grid.keep or type(error.__cause__).__name__ != "OutOfResources":
                raise
            message = f"weights are read in each step, for they do not fit on chip: {error}"
            warn(message)
            self.may_keep = False
            self.run(given, num_rows, steps, resets)

    def _grid(self, num_rows: int, num_steps: int, device: torch.device) -> Grid:
        """The programs that run the kernel.

        To keep matrices pays for more than one step, and where products are computed by the GPU's
        units for them, which exact ones in float32 are not.
        """
        processors, memory = INTERPRETED_PROGRAMS, INTERPRETED_MEMORY
        if not self.interpreted:
            processors, memory = _resources(device)
            if num_steps == 1 or (_is_exact() and self.kernel.stored == torch.float32):
                memory = 0
        memory = memory if self.may_keep else 0
        return grid_of(self.kernel, self.phases, num_rows, processors, memory)

    def run_together(
        self, arguments: dict[str, Any], num_steps: int, reverse: bool, num_programs: int
    ) -> None:
        """All steps by one kernel, whose programs wait for each other."""
        device = arguments["batch_sizes"].device
        counter = torch.zeros(1, dtype=torch.int32, device=device)
        at_once = {} if self.interpreted else {"launch_cooperative_grid": True}
        self.module.all_steps[(num_programs,)](
            counter=counter, num_steps=num_steps, REVERSE=reverse, **arguments, **at_once
        )

    def run_apart(
        self, arguments: dict[str, Any], num_steps: int, reverse: bool, num_programs: int
    ) -> None:
        """One kernel for each phase of each step."""
        for turn in range(num_steps):
            step = num_steps - 1 - turn if reverse else turn
            for number in range(len(self.phases)):
                self.run_phase(number, range(num_programs), num_programs, arguments, turn, step)

    def run_phase(
        self,
        number: int,
        programs: range,
        num_programs: int,
        arguments: dict[str, Any],
        turn: int,
        step: int,
    ) -> None:
        """What some of all programs do in a phase of a step, which is the `turn`th to be run."""
        kernel = getattr(self.module, f"only_{number}")
        kernel[(len(programs),)](
            first_program=programs.start,
            num_programs=num_programs,
            turn=turn,
            step=step,
            **arguments,
        )


@contextmanager
def _building() -> Iterator[None]:
    """Launches, which build a kernel first where they must; says apart what fails in that."""
    from triton.errors import TritonError

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (TritonError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{type(error).__name__}: {error}") from error


def _is_exact() -> bool:
    """Whether products in float32 must not be computed in fewer digits."""
    return torch.get_float32_matmul_precision() == "highest"


def _as_bytes(tensor: Tensor) -> Tensor:
    """Truth values as numbers of one byte, which kernels read and write."""
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor


@functools.lru_cache(maxsize=64)
def _sizes_on(batch_sizes: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """The rows of each step, and the number of its first row, where kernels read them."""
    with torch.inference_mode(False):
        sizes = torch.tensor(batch_sizes, dtype=torch.int32, device="cpu")
        firsts = torch.cumsum(sizes, 0, dtype=torch.int64) - sizes
        return sizes.to(device), firsts.to(device)


@functools.cache
def _resources(device: torch.device) -> tuple[int, int]:
    """The programs that run at once, and the bytes of shared memory that each may have."""
    properties = torch.cuda.get_device_properties(device)
    memory = getattr(properties, "shared_memory_per_block_optin", 0)  # on AMD's it has none
    return properties.multi_processor_count, memory
