"""One of several processes that train the cases together; tests/test_ranks.py starts them.

    python ranks_program.py FOLDER RANK NUMBER CASES [STEP]

Each case is trained in FOLDER/CASE. With STEP, the last rank ends there as if it were killed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch.distributed

from engine_cases import CASES, Case, case_run, normalised_photos_case
from rondo.errors import RunError
from rondo.training import saving
from rondo.training.engine import Engine
from rondo.training.ranks import Ranks, timeout_of

NUM_SHARDS, TIMEOUT_S = 4, 120


def case_of(name: str) -> Case:
    return normalised_photos_case() if name == "normalised" else CASES[name]()


def main() -> int:
    folder, rank, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    names, fatal = sys.argv[4].split(","), int(sys.argv[5]) if len(sys.argv) > 5 else None
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=number,
        timeout=timeout_of(TIMEOUT_S),
    )
    ranks = Ranks(number, rank, TIMEOUT_S)
    saving.SAVE_SECONDS = 0.0

    def die(engine: Engine) -> None:
        if engine.progress.step == fatal and rank == number - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in names:
        torch.distributed.barrier()
        run = case_run(folder / name, case_of(name), num_shards=NUM_SHARDS) if rank == 0 else None
        torch.distributed.barrier()
        run = run or case_run(folder / name, case_of(name), num_shards=NUM_SHARDS)
        try:
            run.fit(die, ranks)
        except RunError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # gloo would wait for the others
