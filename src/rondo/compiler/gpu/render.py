"""From a kernel to Triton's language, for GPUs.

In goes a :class:`Kernel`, out comes a module with a function for each phase of a step
(`phases.py`), a kernel for each phase alone, and the kernel `all_steps`, which runs all phases of
all steps. Any number of programs may run them: each does every so manyth tile of a phase. In
`all_steps` they wait for each other after most phases, so all of them must run at the same time.

A tile is some rows times some neighbouring elements of a row. The state lies there twice: steps
read one and write the other in turn.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from rondo.compiler.gpu.phases import Phase, Tiles, phases_of
from rondo.compiler.gpu.products import num_kept
from rondo.compiler.gpu.tiles import kept_lines, sums_of, work_lines
from rondo.compiler.gpu.waits import phases_with_waits
from rondo.compiler.identifiers import identifiers, with_names
from rondo.compiler.kernel import Buffer, Kernel

HEAD = '''\
"""A loop over time steps, rendered by Rondo."""

import triton
import triton.language as tl

from rondo.compiler.gpu.functions import *
'''

STEP = ("num_rows", "batch_sizes", "first_rows", "resets")
"""What every phase is told of the batch: its rows, those of each step, where a step's rows begin in
packed values, and which packed rows begin anew."""

OPTIONS = ("RESETS", "PRECISION", "KEEP", "ROWS", "COLUMNS")
"""What is known when a kernel is compiled: what resets do, how products are computed, whether their
matrices are kept on chip, and the rows and columns of a tile of a product."""

ALONE = ("first_program", "num_programs", "turn", "step")
"""What a kernel of one phase is told beside that: which programs of how many it is to be."""


def render_triton(kernel: Kernel) -> str:
    """Write a kernel down in Triton's language."""
    kernel = with_names(kernel, names_in_source(kernel))
    phases = phases_with_waits(kernel)
    keeping = [number for number, phase in enumerate(phases) if any(sums_of(kernel, phase))]
    return "\n\n".join(
        (
            HEAD,
            *(_keep(kernel, number, phases[number]) for number in keeping),
            *(_phase(kernel, number, phase) for number, phase in enumerate(phases)),
            *(_alone(kernel, number, number in keeping) for number in range(len(phases))),
            _all_steps(kernel, phases, keeping),
        )
    )


def names_in_source(kernel: Kernel) -> dict[str, str]:
    """What everything that lies in memory is called in the source, before an ending.

    Nothing else there has one of the endings: `_at`, `_states`, `_start`, `_now`, `_after`, `_sum`,
    `_product`, `_max` and `_min`.
    """
    return identifiers(kernel, frozenset(), lambda buffer: ())


def pointers_of(kernel: Kernel) -> list[tuple[str, Buffer]]:
    """What a kernel is given beside its matrices: names, and the buffers that lie there."""
    places = ("shared", "input", "output", "local", "row")
    nowhere = {target for _, target in kernel.commits}
    for item in (item for phase in phases_of(kernel) for item in phase.work):
        nowhere |= set(item.products) if isinstance(item, Tiles) else set()
    names = names_in_source(kernel)
    found = [
        (f"{names[buffer.name]}_at", buffer)
        for place in places
        for buffer in kernel.at(place)
        if buffer.name not in nowhere
    ]
    for buffer in kernel.at("state"):
        name = names[buffer.name]
        found += [(f"{name}_states", buffer), (f"{name}_start", buffer)]
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


def _keep(kernel: Kernel, number: int, phase: Phase) -> str:
    """A function that reads what a program keeps on chip for a phase of all steps."""
    found = sums_of(kernel, phase)
    body = [
        line
        for item, sums in zip(phase.work, found, strict=True)
        for line in kept_lines(kernel, item, sums)
    ]
    total = sum(num_kept(kernel, sums) for every_sums in found for sums in every_sums)
    matrices = [f"matrix_{matrix}" for matrix in range(len(kernel.matrices))]
    return "\n".join(
        (
            *_function(f"keep_{number}", ["program", *matrices], ["COLUMNS"]),
            *(f"    {line}" for line in body),
            f"    return ({' '.join(f'kept_{part},' for part in range(total))})",
        )
    )


def _phase(kernel: Kernel, number: int, phase: Phase) -> str:
    body = [
        line
        for item, sums in zip(phase.work, sums_of(kernel, phase), strict=True)
        for line in work_lines(kernel, item, sums)
    ]
    names = ["program", "num_programs", "turn", "step", "kept", *_parameters(kernel)]
    return "\n".join(
        (
            *_function(f"phase_{number}", names, OPTIONS),
            *(f"    {line}" for line in [*_opening(kernel, body), *body]),
        )
    )


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


def _alone(kernel: Kernel, number: int, keeps: bool) -> str:
    names = _parameters(kernel)
    return "\n".join(
        (
            f"@triton.jit(do_not_specialize={[*ALONE, 'num_rows']})",
            *_function(f"only_{number}", [*ALONE, *names], OPTIONS)[1:],
            "    program = first_program + tl.program_id(0)",
            *(f"    {line}" for line in _keep_call(kernel, number, keeps)),
            *(f"    {line}" for line in _phase_call(kernel, number)),
        )
    )


def _all_steps(kernel: Kernel, phases: Sequence[Phase], keeping: Collection[int]) -> str:
    body = []
    for number, phase in enumerate(phases):
        body += _phase_call(kernel, number)
        body.append(_wait(phases, number) if phase.waits else "tl.debug_barrier()")
    names = ["counter", "num_steps", *_parameters(kernel)]
    keeps = [_keep_call(kernel, number, number in keeping) for number in range(len(phases))]
    return "\n".join(
        (
            '@triton.jit(do_not_specialize=["num_steps", "num_rows"])',
            *_function("all_steps", names, ["REVERSE", *OPTIONS])[1:],
            "    program = tl.program_id(0)",
            "    num_programs = tl.num_programs(0)",
            *(f"    {line}" for lines in keeps for line in lines),
            "    for turn in range(num_steps):",
            "        step = num_steps - 1 - turn if REVERSE else turn",
            *(f"        {line}" for line in body),
            "",
        )
    )


def _wait(phases: Sequence[Phase], number: int) -> str:
    """Wait after a phase: for the how manyth time it is, times the programs that come."""
    in_step = sum(phase.waits for phase in phases)
    so_far = sum(phase.waits for phase in phases[: number + 1])
    return f"barrier(counter, (turn * {in_step} + {so_far}) * num_programs)"


def _keep_call(kernel: Kernel, number: int, keeps: bool) -> list[str]:
    """Read what the program keeps for a phase, if it keeps anything."""
    lines = [f"kept_{number} = ()"]
    if keeps:
        matrices = "".join(f"matrix_{matrix}, " for matrix in range(len(kernel.matrices)))
        lines += ["if KEEP:", f"    kept_{number} = keep_{number}(program, {matrices}COLUMNS)"]
    return lines


def _phase_call(kernel: Kernel, number: int) -> list[str]:
    return [
        f"phase_{number}(",
        f"    program, num_programs, turn, step, kept_{number},",
        *_listed([*_parameters(kernel), *OPTIONS]),
        ")",
    ]
