"""Compiling and loading of generated C: which compiler, and what becomes of its failures."""

from __future__ import annotations

import contextvars
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import rondo
from cases import slow_beyond
from rondo.compiler import c_compiler, cache_folder, runtime
from rondo.compiler.c_compiler import NoCompilerError

SOURCE = "int answer(void) { return 42; }\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder; and nothing that was found out before."""
    monkeypatch.setenv("RONDO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    rondo.clear_cache()
    yield tmp_path / "cache"
    rondo.clear_cache()


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a shell script the compiler."""

    def make(text: str) -> Path:
        script = tmp_path / "my compiler"
        script.write_text(text)
        script.chmod(0o755)
        monkeypatch.setenv("CC", f"'{script}'")
        return script

    return make


def libraries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.so"))


def load_anew(source: str = SOURCE) -> int:
    """The answer of a library that was not loaded yet."""
    gc.collect()
    return int(runtime.load(source).answer())


def test_compiles_once_and_then_finds_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_anew() == 42
    assert len(libraries(cache)) == 1
    monkeypatch.setattr(runtime, "_built", lambda *_: pytest.fail("it was compiled again"))
    assert load_anew() == 42


def test_another_source_or_processor_is_another_library(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_anew() == 42
    assert load_anew(SOURCE.replace("42", "43")) == 43
    assert len(libraries(cache)) == 2
    monkeypatch.setattr(runtime, "_processor", lambda: "another processor")
    assert load_anew() == 42
    assert len(libraries(cache)) == 3


def test_a_library_is_closed_when_nobody_uses_it(cache: Path) -> None:
    def is_loaded() -> bool:
        return str(cache) in Path("/proc/self/maps").read_text()

    library = runtime.load(SOURCE)
    answer = library.answer
    assert runtime.load(SOURCE) is library
    del library
    gc.collect()
    assert is_loaded()
    assert answer() == 42
    del answer
    gc.collect()
    assert not is_loaded()


@pytest.mark.parametrize("damage", ["cut short", "empty", "gone", "other bytes", "another's"])
def test_a_damaged_library_is_made_again(cache: Path, damage: str) -> None:
    assert load_anew() == 42
    (path,) = libraries(cache)
    whole = path.read_bytes()
    load_anew(SOURCE.replace("42", "43"))
    (other,) = (file for file in libraries(cache) if file != path)
    bad = {"cut short": whole[: len(whole) // 2], "empty": b"", "other bytes": b"x" * 999}
    bad["another's"] = other.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(bad[damage])
    if damage == "another's":
        path.with_suffix(".sum").write_bytes(other.with_suffix(".sum").read_bytes())
    assert load_anew() == 42
    assert path.read_bytes() == whole


def test_kernels_of_two_compilers_lie_side_by_side(
    cache: Path, compiler: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_anew() == 42
    compiler('#!/bin/sh\nexec cc "$@"\n')
    assert load_anew() == 42
    assert len(libraries(cache)) == 2
    monkeypatch.setattr(runtime, "_built", lambda *_: pytest.fail("it was compiled again"))
    assert load_anew() == 42
    monkeypatch.delenv("CC")
    assert load_anew() == 42


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_compiler.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(c_compiler.importlib.util, "find_spec", lambda _: None)
    c_compiler.forget_broken()


def test_kernels_in_the_cache_run_where_no_compiler_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_anew() == 42
    without_compiler(monkeypatch)
    assert load_anew() == 42
    with pytest.raises(NoCompilerError, match=r"install gcc or clang, or do, .*\[compiler\]"):
        load_anew(SOURCE.replace("42", "43"))


def test_a_cc_that_is_not_there_is_named_also_where_the_cache_has_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_anew() == 42
    monkeypatch.setenv("CC", "nothing-of-this-name")
    with pytest.warns(rondo.EngineWarning, match="CC is 'nothing-of-this-name'.*another compiler"):
        assert load_anew() == 42
    assert load_anew() == 42  # it is told once


def test_cc_chooses_the_compiler(tmp_path: Path, compiler: Callable[[str], Path]) -> None:
    mark = tmp_path / "was called"
    compiler(f"#!/bin/sh\ntouch '{mark}'\nexec cc \"$@\"\n")
    assert load_anew() == 42
    assert mark.exists()


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ("nothing-of-this-name", "CC is 'nothing-of-this-name', which is not there"),
        ("'unbalanced", "CC is .*, which is no command"),
        ("/etc/passwd", "CC is '/etc/passwd', which cannot be executed"),
    ],
)
def test_a_cc_that_is_nonsense_is_named(
    chosen: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", chosen)
    with pytest.raises(NoCompilerError, match=reason):
        runtime.load(SOURCE.replace("42", "44"))


FAILING = {
    "fails": ('#!/bin/sh\necho "no licence" >&2\nexit 3\n', "failed: no licence"),
    "fails in silence": ("#!/bin/sh\nexit 3\n", "failed: it said nothing.*status is 3"),
    "writes nothing": ("#!/bin/sh\necho hello\n", "wrote no library, and said: hello"),
    "writes rubbish": (
        '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho rubbish > "$2"\n',
        "wrote something else than a library",
    ),
    "writes another library": (
        "#!/bin/sh\n"
        'while [ "$1" != -o ]; do shift; done\n'
        'printf "int other;" | cc -shared -fPIC -x c - -o "$2"\n',
        "wrote a library of something else",
    ),
    "crashes": ("#!/bin/sh\nkill -SEGV $$\n", "was ended by SIGSEGV"),
    "is no program": ("this is neither a script nor a program\n", "cannot be run: .*Exec format"),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_compiler_that_fails_is_named_with_what_it_said(
    name: str, compiler: Callable[[str], Path], cache: Path
) -> None:
    text, reason = FAILING[name]
    script = compiler(text)
    for _ in range(2):
        with pytest.raises(NoCompilerError, match=reason) as error:
            runtime.load(SOURCE)
        assert str(script) in str(error.value)
    assert not libraries(cache)
    assert not list(cache.glob("build-*"))


@pytest.mark.parametrize("name", ["fails", "writes nothing", "is no program"])
def test_a_compiler_that_fails_gives_one_warning_and_the_reference_engine(
    name: str, compiler: Callable[[str], Path]
) -> None:
    script, calls = compiler(FAILING[name][0]), []
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for cell in (rondo.GRUCell(3, 4), rondo.GRUCell(3, 4), rondo.LSTMCell(3, 4)):
            layer, x = rondo.Recurrent(cell), torch.randn(2, 5, 3)
            layer(x)[0].sum().backward()
            with torch.no_grad():
                calls.append(layer(x)[0])
    (warning,) = seen
    assert str(script) in str(warning.message)
    assert "GRUCell runs on the slower reference engine" in str(warning.message)
    with pytest.raises(ValueError, match="cannot run GRUCell: CC is"):
        rondo.Recurrent(rondo.GRUCell(3, 4), engine="cpu")(x)


def test_a_compiler_that_never_ends_is_given_up_and_asked_once(
    compiler: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "calls"
    compiler(f"#!/bin/sh\necho called >> '{mark}'\nsleep 60\n")
    monkeypatch.setattr(c_compiler, "TIMEOUT_S", 0.5)
    for source in (SOURCE, SOURCE.replace("42", "43")):
        with pytest.raises(NoCompilerError, match=r"did not end within 0\.5 seconds"):
            runtime.load(source)
    assert mark.read_text() == "called\n"


def test_a_source_that_cannot_be_compiled_is_no_fault_of_the_compiler() -> None:
    with pytest.raises(NoCompilerError, match=r"failed: .*error"):
        runtime.load("this is not C")
    assert load_anew() == 42


def test_a_process_that_the_compiler_leaves_behind_is_not_waited_for(
    compiler: Callable[[str], Path],
) -> None:
    compiler('#!/bin/sh\nsleep 30 &\nexec cc "$@"\n')
    begin = time.monotonic()
    assert load_anew() == 42
    assert time.monotonic() - begin < 25


@pytest.mark.parametrize(
    "handler",
    [signal.SIG_IGN, lambda *_: [None for _ in iter(collect_one_child, None)]],
    ids=["ignored", "collected"],
)
def test_the_ends_of_children_may_be_ignored_or_collected(handler: object) -> None:
    before = signal.signal(signal.SIGCHLD, handler)  # type: ignore[arg-type]
    try:
        assert load_anew() == 42
        with pytest.raises(NoCompilerError, match="error"):
            runtime.load("this is not C")
    finally:
        signal.signal(signal.SIGCHLD, before)


def collect_one_child() -> int | None:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] or None
    except ChildProcessError:
        return None


def test_nobody_waits_for_a_compilation_that_was_given_up(compiler: Callable[[str], Path]) -> None:
    compiler("#!/bin/sh\nsleep 60\n")
    errors: list[BaseException] = []

    def run() -> None:
        try:
            runtime.load(SOURCE)
        except BaseException as error:
            errors.append(error)

    def interrupted() -> None:
        with c_compiler.given_up_on_error():
            thread = threading.Thread(target=contextvars.copy_context().run, args=(run,))
            thread.start()
            time.sleep(0.2)
            try:
                raise KeyboardInterrupt
            finally:
                threads.append(thread)

    threads: list[threading.Thread] = []
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    threads[0].join()
    assert time.monotonic() - begin < 30
    assert isinstance(errors[0], c_compiler.GivenUpError)


@pytest.mark.parametrize("number", slow_beyond([3, 8], [3]))
def test_many_processes_build_the_same_and_one_compiles(
    number: int, cache: Path, compiler: Callable[[str], Path], tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    compiler(f"#!/bin/sh\necho called >> '{calls}'\nsleep 0.5\nexec cc \"$@\"\n")
    code = f"from rondo.compiler.runtime import load; print(load({SOURCE!r}).answer())"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(number)
    ]
    assert [process.communicate()[0].strip() for process in processes] == ["42"] * number
    assert calls.read_text() == "called\n"
    assert sorted(path.suffix for path in cache.iterdir() if path.name != "shrunk") == [
        ".c",
        ".so",
        ".sum",
    ]


def test_who_waits_goes_on_when_the_builder_dies(
    cache: Path, compiler: Callable[[str], Path], tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    compiler(f"#!/bin/sh\n[ -e '{begun}' ] && exec cc \"$@\"\ntouch '{begun}'\nsleep 60\n")
    code = f"from rondo.compiler.runtime import load; load({SOURCE!r})"
    builder = subprocess.Popen([sys.executable, "-c", code])
    while not begun.exists():
        assert builder.poll() is None
        time.sleep(0.01)
    builder.kill()
    builder.wait()
    begin = time.monotonic()
    assert load_anew() == 42
    assert time.monotonic() - begin < cache_folder.LOCK_WAIT_S / 2


def test_who_waits_too_long_compiles_too(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_folder, "LOCK_WAIT_S", 0.1)
    name = f"{runtime._index(SOURCE)}-{c_compiler.fingerprint(c_compiler.compiler())}"
    with cache_folder.opened(cache) as folder, folder.alone(name):
        assert load_anew() == 42
