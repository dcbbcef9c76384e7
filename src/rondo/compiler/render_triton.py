"""From a kernel to Triton's language, for GPUs.

In goes a :class:`Kernel`, out comes a module with a function for each phase of a step
(`phases.py`), a kernel for each phase alone, and the kernel `all_steps`, which runs all phases of
all steps. Any number of programs may run them: each does every so manyth tile of a phase. In
`all_steps` they wait for each other after each phase, so all of them must run at the same time.

A tile is some rows times some neighbouring elements of a row. The state lies there twice: steps
read one and write the other in turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rondo.compiler.kernel import Buffer, Kernel, Product
from rondo.compiler.phases import Phase, Tiles, phases_of
from rondo.compiler.triton_tiles import lines_of, loop_lines, product_lines

HEAD = '''\
"""A loop over time steps, rendered by Rondo."""

import triton
import triton.language as tl

from rondo.compiler.triton_functions import *
'''

STEP = ("num_rows", "batch_sizes", "first_rows", "resets")
"""What every phase is told of the batch: its rows, those of each step, where a step's rows begin in
packed values, and which packed rows begin anew."""

OPTIONS = ("RESETS", "PRECISION", "ROWS", "COLUMNS")
"""What is known when a kernel is compiled: what resets do, how products are computed, and the rows
and columns of a tile of a product."""


def render_triton(kernel: Kernel) -> str:
    """Write a kernel down in Triton's language."""
    phases = phases_of(kernel)
    return "\n\n".join(
        (
            HEAD,
            *(_phase(kernel, number, phase) for number, phase in enumerate(phases)),
            *(_alone(kernel, number) for number in range(len(phases))),
            _all_steps(kernel, len(phases)),
        )
    )


def pointers_of(kernel: Kernel) -> list[tuple[str, Buffer]]:
    """What a kernel is given beside its matrices: names, and the buffers that lie there."""
    places = ("shared", "input", "output", "local", "row")
    nowhere = {target for _, target in kernel.commits}
    for item in (item for phase in phases_of(kernel) for item in phase.work):
        nowhere |= set(item.products) if isinstance(item, Tiles) else set()
    found = [
        (f"{buffer.name}_at", buffer)
        for place in places
        for buffer in kernel.at(place)
        if buffer.name not in nowhere
    ]
    for buffer in kernel.at("state"):
        found += [(f"{buffer.name}_states", buffer), (f"{buffer.name}_start", buffer)]
    return found


def _parameters(kernel: Kernel) -> list[str]:
    pointers = [name for name, _ in pointers_of(kernel)]
    return [*STEP, *pointers, *(f"matrix_{number}" for number in range(len(kernel.matrices)))]


def _listed(names: Iterable[str]) -> list[str]:
    return [f"    {name}," for name in names]


def _function(name: str, parameters: Iterable[str], constants: Iterable[str]) -> list[str]:
    return [
        "@triton.jit",
        f"def {name}(",
        *_listed([*parameters, *(f"{constant}: tl.constexpr" for constant in constants)]),
        "):",
    ]


def _phase(kernel: Kernel, number: int, phase: Phase) -> str:
    body: list[str] = []
    for item in phase.work:
        body += _work_lines(kernel, item)
    names = ["program", "num_programs", "turn", "step", *_parameters(kernel)]
    return "\n".join(
        (
            *_function(f"phase_{number}", names, OPTIONS),
            *(f"    {line}" for line in [*_opening(kernel, body), *body]),
        )
    )


def _work_lines(kernel: Kernel, item: Tiles | Product) -> list[str]:
    if isinstance(item, Product):
        return product_lines(kernel, item)
    return loop_lines(kernel, item.loop) if item.loop.num_reduced else lines_of(kernel, item)


def _opening(kernel: Kernel, body: list[str]) -> list[str]:
    """The rows of the step, and where its states lie."""
    used = set(re.findall(r"\w+", "\n".join(body)))
    lines = ["rows = tl.load(batch_sizes + step)"]
    if "first" in used:
        lines.append("first = tl.load(first_rows + step)")
    for buffer in kernel.at("state"):
        name, size = buffer.name, buffer.size
        for which, turn in (("now", "turn % 2"), ("after", "(turn + 1) % 2")):
            if f"{name}_{which}" in used:
                lines.append(f"{name}_{which} = {name}_states + {turn} * num_rows * {size}")
    return lines


def _alone(kernel: Kernel, number: int) -> str:
    names = _parameters(kernel)
    return "\n".join(
        (
            '@triton.jit(do_not_specialize=["turn", "step"])',
            *_function(f"only_{number}", ["turn", "step", *names], OPTIONS)[1:],
            f"    phase_{number}(",
            "        tl.program_id(0), tl.num_programs(0), turn, step,",
            *(f"    {line}" for line in _listed([*names, *OPTIONS])),
            "    )",
        )
    )


def _all_steps(kernel: Kernel, num_phases: int) -> str:
    names = _parameters(kernel)
    body = []
    for number in range(num_phases):
        body += [
            f"phase_{number}(",
            "    program, num_programs, turn, step,",
            *_listed([*names, *OPTIONS]),
            ")",
            f"barrier(counter, (turn * {num_phases} + {number + 1}) * num_programs)",
        ]
    head = _function("all_steps", ["counter", "num_steps", *names], ["REVERSE", *OPTIONS])
    return "\n".join(
        (
            *head,
            "    program = tl.program_id(0)",
            "    num_programs = tl.num_programs(0)",
            "    for turn in range(num_steps):",
            "        step = num_steps - 1 - turn if REVERSE else turn",
            *(f"        {line}" for line in body),
            "",
        )
    )
