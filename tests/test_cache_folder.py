"""The folder of compiled libraries: whose it is, what it may hold, what happens when it fails."""

from __future__ import annotations

import gc
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import rondo as rondo_package
from commands import Run
from rondo.compiler import c_compiler, cache_folder, runtime
from rondo.compiler.trust import NotTrustedError, check_above, check_own

SOURCE = "int answer(void) { return 42; }\n"
SOMEBODY = 65534
IS_ROOT = os.geteuid() == 0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder; and nothing that was found out before."""
    monkeypatch.setenv("RONDO_CACHE", str(tmp_path / "cache"))
    rondo_package.clear_cache()
    yield tmp_path / "cache"
    rondo_package.clear_cache()


def answer(source: str = SOURCE) -> int:
    """What a library gives that is loaded anew."""
    gc.collect()
    return int(runtime.load(source).answer())


def libraries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.so"))


def give_away(path: Path) -> None:
    os.chown(path, SOMEBODY, -1)


def link_elsewhere(path: Path) -> None:
    moved = path.with_name("moved")
    path.rename(moved)
    path.symlink_to(moved)


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "others may write it": (lambda folder: folder.chmod(0o777), "others may write"),
    "a group may write it": (lambda folder: folder.chmod(0o770), "others may write"),
    "others may write its library": (
        lambda folder: libraries(folder)[0].chmod(0o722),
        "others may write .*so",
    ),
    "others may write its checksum": (
        lambda folder: libraries(folder)[0].with_suffix(".sum").chmod(0o666),
        "others may write .*sum",
    ),
    "others may write above it": (
        lambda folder: folder.parent.chmod(0o777),
        "others may write .*above it",
    ),
    "its library is a link": (
        lambda folder: link_elsewhere(libraries(folder)[0]),
        "is a symbolic link",
    ),
}
if IS_ROOT:
    BAD_FOLDERS |= {
        "it is somebody's": (give_away, "belongs to"),
        "its library is somebody's": (lambda folder: give_away(libraries(folder)[0]), "belongs to"),
        "what is above is somebody's": (
            lambda folder: give_away(folder.parent),
            "above it, belongs to",
        ),
    }


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_nothing_is_loaded_that_somebody_else_may_have_written(
    name: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answer() == 42
    spoil, reason = BAD_FOLDERS[name]
    before = {path.name for path in cache.iterdir()}
    spoil(cache)
    loaded: list[str] = []
    load_file = cache_folder.load_file

    def noted(path: str) -> object:
        loaded.append(os.path.realpath(path))
        return load_file(path)

    monkeypatch.setattr(cache_folder, "load_file", noted)
    monkeypatch.setattr(runtime, "load_file", noted)
    with pytest.warns(rondo_package.EngineWarning, match=reason) as seen:
        assert answer() == 42
    answer(SOURCE.replace("42", "43"))
    assert len(seen) == 1
    assert str(cache) in str(seen[0].message)
    assert loaded[0].startswith(str(cache_folder._temporary_folder()))
    if "its" not in name:  # the folder as a whole
        assert loaded[1].startswith(str(cache_folder._temporary_folder()))
        assert {path.name for path in cache.iterdir()} == before


def test_a_folder_for_everybody_as_tmp_is_no_reason() -> None:
    check_above(Path("/tmp/rondo-of-mine"))


def test_the_folder_and_those_above_are_made_for_the_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RONDO_CACHE", str(tmp_path / "a" / "b"))
    before = os.umask(0)
    try:
        assert answer() == 42
        assert answer() == 42
    finally:
        os.umask(before)
    for path in (tmp_path / "a", tmp_path / "a" / "b", *(tmp_path / "a" / "b").iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path
    check_own((tmp_path / "a").stat(), "a")


def test_a_link_to_a_folder_of_the_users_own_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("RONDO_CACHE", str(tmp_path / "link"))
    assert answer() == 42
    assert len(libraries(tmp_path / "real")) == 1
    (tmp_path / "real").chmod(0o777)
    with pytest.raises(NotTrustedError, match="others may write"):
        cache_folder.opened(tmp_path / "link").__enter__()


def test_a_folder_that_cannot_be_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file, where a folder is wanted")
    monkeypatch.setenv("RONDO_CACHE", str(blocked))
    assert answer() == 42
    monkeypatch.setenv("RONDO_CACHE", "/proc/nothing/can/be/made/here")
    assert answer() == 42


FULL = """#!/bin/sh
for last in "$@"; do :; done
case "$TMPDIR" in "{cache}"*) echo "cc: error: {words}" >&2; exit 1;; esac
exec cc "$@"
"""


@pytest.mark.parametrize("words", ["No space left on device", "Disk quota exceeded"])
def test_a_full_disk_is_no_obstacle(
    words: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "cc"
    script.write_text(FULL.format(cache=cache, words=words))
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    assert answer() == 42
    assert not libraries(cache)


@pytest.mark.parametrize("moment", ["while it compiles", "before it is kept"])
def test_the_folder_may_be_deleted_meanwhile(
    moment: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled, keep = c_compiler._compiled, cache_folder.Folder.keep

    def compiled_and_deleted(*arguments: object) -> Path:
        shutil.rmtree(cache, ignore_errors=True)
        return compiled(*arguments)  # type: ignore[arg-type]

    def deleted_and_kept(*arguments: object) -> None:
        shutil.rmtree(cache)
        keep(*arguments)  # type: ignore[arg-type]

    if moment == "while it compiles":
        monkeypatch.setattr(c_compiler, "_compiled", compiled_and_deleted)
    else:
        monkeypatch.setattr(cache_folder.Folder, "keep", deleted_and_kept)
    assert answer() == 42
    monkeypatch.undo()
    monkeypatch.setenv("RONDO_CACHE", str(cache))
    assert answer() == 42
    assert len(libraries(cache)) == 1


def test_a_layer_goes_on_when_the_folder_and_the_temporary_one_are_deleted(cache: Path) -> None:
    layer, x = rondo_package.Recurrent(rondo_package.GRUCell(3, 4)), torch.randn(2, 5, 3)
    with torch.no_grad():
        before, _ = layer(x)
        shutil.rmtree(cache)
        shutil.rmtree(cache_folder._temporary_folder(), ignore_errors=True)
        assert torch.equal(layer(x)[0], before)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rondo_package.Recurrent(rondo_package.GRUCell(3, 7))(x)


def test_where_nothing_can_be_run_from_another_folder_serves(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = os.fstatvfs

    class NoExec:
        def __init__(self, number: int) -> None:
            own = os.readlink(f"/proc/self/fd/{number}").startswith(str(cache))
            self.f_flag = os.ST_NOEXEC if own else state(number).f_flag

    monkeypatch.setattr(os, "fstatvfs", NoExec)
    assert answer() == 42
    assert not libraries(cache)


def test_it_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RONDO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder.chosen_folder() == Path("/somewhere/rondo")


# ---- its bound ----


def test_those_that_were_not_used_for_longest_go_first(cache: Path) -> None:
    sources = [SOURCE.replace("42", str(number)) for number in range(4)]
    for number, source in enumerate(sources):
        assert answer(source) == number
    with cache_folder.opened(cache) as folder:
        for number, entry in enumerate(folder.entries()):
            os.utime(cache / f"{entry.name}.so", (number, number))
        entries = folder.entries()
        assert [entry.used for entry in entries] == [0, 1, 2, 3]
        used = next(s for s in sources if entries[0].name.startswith(runtime._index(s)))
        answer(used)  # loading it is a use
        limit = sum(entry.size_bytes for entry in entries[:2]) + 10
        gone = folder.shrink(limit)
        assert [entry.name for entry in gone] == [entry.name for entry in entries[1:3]]
        assert {e.name for e in folder.entries()} == {entries[0].name, entries[3].name}


def test_a_process_keeps_it_within_the_bound(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONDO_CACHE_MB", "0.05")
    monkeypatch.setattr(cache_folder, "SHRINK_AFTER", 1)
    for number in range(6):
        assert answer(SOURCE.replace("42", str(number))) == number
    assert sum(path.stat().st_size for path in cache.iterdir()) < 60_000
    assert libraries(cache)


def test_a_bound_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONDO_CACHE_MB", "much")
    with pytest.warns(rondo_package.EngineWarning, match="RONDO_CACHE_MB is 'much'"):
        assert cache_folder.limit_bytes() == cache_folder.DEFAULT_MB * 1e6


def test_what_ended_processes_left_is_deleted(cache: Path) -> None:
    answer()
    left = [cache / "build-old", cache / "old.lock"]
    left[0].mkdir()
    left[1].touch()
    for path in left:
        os.utime(path, (0, 0))
    (cache / "build-new").mkdir()
    with cache_folder.opened(cache) as folder:
        folder.shrink(10**9)
    assert not any(path.exists() for path in left)
    assert (cache / "build-new").exists()


# ---- the command ----


def test_the_command_lists_and_deletes(rondo: Run, cache: Path) -> None:
    code, out, _ = rondo("cache")
    assert (code, out) == (0, f"{cache}: not there yet\n")
    answer()
    assert "1 kernels" in rondo("cache")[1]
    (name,) = (path.stem for path in libraries(cache))
    assert rondo("cache", "--list")[1].split()[-1] == name
    assert "deleted 1 kernels" in rondo("cache", "--clear")[1]
    assert not libraries(cache)


def test_the_command_leaves_a_folder_alone_that_is_not_trusted(rondo: Run, cache: Path) -> None:
    answer()
    cache.chmod(0o777)
    code, _, err = rondo("cache", "--clear")
    assert code == 2
    assert "others may write" in err
    assert libraries(cache)
