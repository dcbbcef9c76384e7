"""Starts the processes of a training, or joins those that were started already.

In go the numbers of processes and machines that the user asked for; out come the ranks. Lightning
Fabric does it: it starts the other processes of a machine by the same command, finds those that
`torchrun`, SLURM or Kubernetes has started, and has them meet.
"""

from __future__ import annotations

import logging
import os

from rondo.errors import RunError
from rondo.extras import how_to_install
from rondo.training.ranks import ALONE, Ranks, timeout_of

TIMEOUT_S = 600.0
"""Seconds after which a process that does not answer counts as lost."""


def join(devices: int | None, nodes: int | None, timeout_s: float = TIMEOUT_S) -> Ranks:
    """Returns the processes that train together, of which this is one.

    Args:
        devices: Processes on each machine; None: those that another program has started, or one.
        nodes: Machines; None: those that it has started them on, or one.
        timeout_s: Seconds after which a process that does not answer counts as lost.

    Raises:
        RunError: If what starts them is not installed, or they do not meet.
    """
    started = int(os.environ.get("WORLD_SIZE", "1"))  # by another program, or by the first process
    devices = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if devices is None else devices
    nodes = max(1, started // devices) if nodes is None else nodes
    if devices * nodes == 1:
        return ALONE
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy
    except ImportError as error:
        raise RunError(
            f"several processes need lightning-fabric: {how_to_install('scale')}"
        ) from error
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    strategy = DDPStrategy(process_group_backend="gloo", timeout=timeout_of(timeout_s))
    fabric = Fabric(accelerator="cpu", devices=devices, num_nodes=nodes, strategy=strategy)
    try:
        fabric.launch()
    except RuntimeError as error:
        raise RunError(f"the {devices * nodes} processes did not meet: {error}") from error
    return Ranks(fabric.world_size, fabric.global_rank, timeout_s)
