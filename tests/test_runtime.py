"""Compiling and caching of generated C."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rondo.compiler import runtime

SOURCE = "int answer(void) { return 42; }\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder; and nothing that was found out before."""
    monkeypatch.setenv("RONDO_CACHE", str(tmp_path / "cache"))
    runtime.compiler.cache_clear()
    yield tmp_path / "cache"
    runtime.compiler.cache_clear()


def libraries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.so"))


def test_compiles_once_and_then_finds_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime.load(SOURCE).answer() == 42
    assert len(libraries(cache)) == 1
    monkeypatch.setattr(runtime, "_build", lambda *_: pytest.fail("it was compiled again"))
    assert runtime.load(SOURCE).answer() == 42


def test_another_source_or_processor_is_another_library(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.load(SOURCE)
    assert runtime.load(SOURCE.replace("42", "43")).answer() == 43
    assert len(libraries(cache)) == 2
    monkeypatch.setattr(runtime, "_processor", lambda: "another processor")
    assert runtime.load(SOURCE).answer() == 42
    assert len(libraries(cache)) == 3


@pytest.mark.parametrize("damage", ["cut short", "empty", "gone", "other bytes"])
def test_a_damaged_library_is_made_again(cache: Path, damage: str) -> None:
    runtime.load(SOURCE)
    (path,) = libraries(cache)
    whole = path.read_bytes()
    path.unlink()  # the one that is loaded stays as it is
    if damage != "gone":
        bad = {"cut short": whole[: len(whole) // 2], "empty": b"", "other bytes": b"x" * 999}
        path.write_bytes(bad[damage])
    assert runtime.load(SOURCE).answer() == 42
    assert path.stat().st_size > 999


def test_many_processes_build_the_same_at_once(cache: Path) -> None:
    code = f"from rondo.compiler.runtime import load; print(load({SOURCE!r}).answer())"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [process.communicate()[0].strip() for process in processes] == ["42"] * 4
    assert len(libraries(cache)) == 1
    assert not list(cache.glob("build-*"))


def test_a_folder_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file, where a folder is wanted")
    monkeypatch.setenv("RONDO_CACHE", str(blocked))
    assert runtime.load(SOURCE).answer() == 42


def test_a_full_disk_is_no_obstacle(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = runtime._build

    def full(source: str, command: tuple[str, ...], path: Path) -> None:
        if path.parent == cache:
            raise OSError(28, "No space left on device")
        build(source, command, path)

    monkeypatch.setattr(runtime, "_build", full)
    assert runtime.load(SOURCE).answer() == 42
    assert not libraries(cache)


def test_cc_chooses_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "was called"
    script = tmp_path / "my compiler"
    script.write_text(f"#!/bin/sh\ntouch '{mark}'\nexec {runtime.compiler()[0]} \"$@\"\n")
    script.chmod(0o755)
    runtime.compiler.cache_clear()
    monkeypatch.setenv("CC", f"'{script}'")
    assert runtime.load(SOURCE).answer() == 42
    assert mark.exists()


def test_a_cc_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "nothing-of-this-name")
    with pytest.raises(runtime.NoCompilerError, match="CC is 'nothing-of-this-name'"):
        runtime.load(SOURCE)


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(runtime.shutil, "which", lambda _: None)
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(runtime.NoCompilerError, match="install gcc or clang, or `pip install zig"):
        runtime.load(SOURCE)


def test_what_the_compiler_says_is_passed_on() -> None:
    with pytest.raises(runtime.NoCompilerError, match=r"failed: .*error"):
        runtime.load("this is not C")


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RONDO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    if sys.platform.startswith("linux"):
        assert next(runtime._folders()) == Path("/somewhere/rondo")
    *_, last = runtime._folders()
    assert last.stat().st_mode & 0o077 == 0  # nobody else can put a file there


def test_a_compiler_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "slow"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    monkeypatch.setattr(runtime, "TIMEOUT_S", 0.2)
    with pytest.raises(runtime.NoCompilerError, match=r"did not end within 0\.2 seconds"):
        runtime.load(SOURCE)
