"""Programs go with their layers, and what is kept in memory has a bound and can be let go."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch

import rondo
from rondo.compiler import operators, registry
from rondo.compiler.attributes import MAX_REMEMBERED, _names_in
from rondo.compiler.cache_folder import chosen_folder
from rondo.layers import compiled
from rondo.layers.compiled import MAX_PROGRAMS

X = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))


def program_of(layer: rondo.Recurrent) -> weakref.ref[object]:
    layer(X)[0].sum().backward()
    with torch.no_grad():
        layer.step(X[:, 0])
        layer.stream()(X[:, 0])
    return weakref.ref(layer._program())


def test_the_programs_of_a_layer_go_with_it() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 4))
    program = program_of(layer)
    assert program() is not None
    del layer
    gc.collect()
    assert program() is None


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="it reads /proc")
def test_a_search_over_sizes_leaves_no_program_and_no_library() -> None:
    def num_libraries() -> int:
        lines = Path("/proc/self/maps").read_text().splitlines()
        return sum(str(chosen_folder()) in line for line in lines)

    program_of(rondo.Recurrent(rondo.LSTMCell(3, 4)))  # loads what stays: it is for all kernels
    gc.collect()
    before = len(operators.PROGRAMS), num_libraries()
    for size in range(5, 13):
        program_of(rondo.Recurrent(rondo.LSTMCell(3, size)))
    gc.collect()
    assert (len(operators.PROGRAMS), num_libraries()) == before


def test_a_backward_pass_keeps_what_it_needs_of_a_layer_that_is_gone() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 4))
    weight = layer.cell.weight_hh
    loss = layer(X)[0].sum()
    del layer
    gc.collect()
    loss.backward()
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_several_layers_share_a_key_and_any_of_them_serves() -> None:
    first, second = (rondo.Recurrent(rondo.GRUCell(3, 4)) for _ in range(2))
    program_of(first)
    program_of(second)
    key = first._program().key
    assert second._program().key == key
    del first
    gc.collect()
    assert operators.find(key).key == key
    del second
    gc.collect()
    with pytest.raises(RuntimeError, match="no cell was compiled to the program"):
        operators.find(key)


def test_a_graph_outlives_its_layer_until_all_is_let_go() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 4))
    graph = torch.export.export(layer, (X,)).module()
    with torch.no_grad():
        expected = layer(X)[0]
    del layer
    gc.collect()
    with torch.no_grad():
        torch.testing.assert_close(graph(X)[0], expected)


def test_what_is_kept_for_graphs_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_KEPT", 3)
    kept, programs = registry.Kept(), []
    for size in range(4, 9):
        layer = rondo.Recurrent(rondo.GRUCell(3, size))
        programs.append(program_of(layer))
        kept.add(layer._program())
        del layer
    gc.collect()
    assert [program() is not None for program in programs] == [False, False, True, True, True]
    kept.clear()
    gc.collect()
    assert not any(program() for program in programs)


def test_a_layer_keeps_a_bounded_number_of_programs() -> None:
    layer = rondo.Recurrent(rondo.ElmanCell(3, 4), engine="reference")
    with torch.no_grad(), rondo.checking(False):
        for number in range(MAX_PROGRAMS + 10):
            layer.cell.label = f"number {number}"
            layer(X)
    programs = layer._programs
    assert len(programs.by_kind) <= MAX_PROGRAMS
    assert len(programs.variants) <= MAX_PROGRAMS
    assert len(programs.checked) <= MAX_PROGRAMS


def test_what_is_remembered_of_code_has_a_bound() -> None:
    assert _names_in.cache_info().maxsize == MAX_REMEMBERED


def test_all_is_let_go_and_made_again() -> None:
    layer = rondo.Recurrent(rondo.GRUCell(3, 4))
    stream = layer.stream()
    with torch.no_grad():
        y = layer(X)[0]
        first = stream(X[:, 0])
    program = weakref.ref(layer._program())
    assert layer._programs in compiled.ALL
    rondo.clear_cache()
    assert not layer._programs.by_kind
    with torch.no_grad():
        torch.testing.assert_close(stream(X[:, 1]), y[:, 1])
        torch.testing.assert_close(first, y[:, 0])
        torch.testing.assert_close(layer(X)[0], y)
    gc.collect()
    assert program() is None
