"""Networks that are made for the sake of their sizes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from commands import STUCK_S
from rondo.models.sizes_alone import FILLS, sizes_alone


def test_networks_have_sizes_and_no_memory() -> None:
    with sizes_alone():
        layer = nn.Linear(3, 4)
        nn.init.kaiming_normal_(layer.weight)
        nn.init.orthogonal_(nn.Parameter(torch.empty(2, 2)))
    assert layer.weight.is_meta
    assert layer.weight.shape == (4, 3)
    assert layer.weight.requires_grad


@pytest.mark.parametrize("fill", FILLS, ids=lambda fill: fill.__name__)
def test_outside_the_block_tensors_are_filled(fill: object) -> None:
    assert callable(fill)
    with sizes_alone():
        pass
    assert fill(torch.full((3,), torch.nan)).isfinite().all()


def test_it_does_not_load_dynamo() -> None:
    code = (
        "import sys\n"
        "from rondo.models import lecture_rnn1\n"
        "from rondo.models.sizes_alone import sizes_alone\n"
        "with sizes_alone():\n"
        "    lecture_rnn1()\n"
        "assert not {'torch._dynamo', 'sympy', 'triton'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=STUCK_S)
