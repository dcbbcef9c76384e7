"""A function is called once: in another thread, or by who wants its result."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from rondo.system import beside
from rondo.system.beside import Beside


def no_thread(function: Callable[[], None], arguments: tuple[()]) -> None:
    raise RuntimeError("can't start new thread")


def thread_that_dies(function: Callable[[], None], arguments: tuple[()]) -> None:
    """As where memory lacks: it was started and never says so."""


def test_another_thread_calls_it() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def function() -> int:
        begun.set()
        assert may_end.wait(60)
        return threading.get_ident()

    running = Beside(function)
    assert begun.wait(60)
    may_end.set()
    assert running.result() != threading.get_ident()


@pytest.mark.parametrize("start", [no_thread, thread_that_dies])
def test_without_a_thread_who_wants_the_result_calls_it(
    start: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "start_new_thread", start)
    running = Beside(threading.get_ident)
    assert [running.result(), running.result()] == [threading.get_ident()] * 2


@pytest.mark.parametrize("times", range(20))
def test_it_is_called_once(times: int) -> None:
    calls: list[int] = []
    running = Beside(lambda: calls.append(1))
    running.result()
    assert calls == [1]


def test_its_error_is_raised_where_the_result_is_wanted() -> None:
    running = Beside(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        running.result()


def test_after_waiting_it_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    later: list[Callable[[], None]] = []
    monkeypatch.setattr(beside, "start_new_thread", lambda function, _: later.append(function))
    calls: list[int] = []
    Beside(lambda: calls.append(1)).wait()
    later[0]()
    assert calls == []


def test_never_called_here() -> None:
    assert Beside(threading.get_ident).result_elsewhere() != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        Beside(lambda: 1 // 0).result_elsewhere()


@pytest.mark.parametrize("start", [no_thread, thread_that_dies])
def test_without_a_thread_it_is_refused_where_it_must_not_be_called_here(
    start: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "start_new_thread", start)
    monkeypatch.setattr(beside, "PATIENCE", 0.01)
    calls: list[int] = []
    with pytest.raises(RuntimeError, match="no other thread could be started"):
        Beside(lambda: calls.append(1)).result_elsewhere()
    assert calls == []
