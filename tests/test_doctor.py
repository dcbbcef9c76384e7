"""`rondo doctor`: what it finds, with real lacks, each in a process of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import rondo
from commands import STUCK_S
from rondo.compiler.cache_folder import opened
from rondo.doctor import kernels, packages
from rondo.doctor.finding import Finding
from rondo.doctor.report import Report
from rondo.doctor.self_test import self_test
from rondo.system.cgroup import CpuShare, cpu_share

SOURCE = Path(rondo.__file__).parents[1]

Diagnosis = dict[str, dict[str, Any]]


def run_doctor(
    cache: Path, *words: str, flags: tuple[str, ...] = (), **changed: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command with other variables in the environment."""
    environment = {**os.environ, "RONDO_CACHE": str(cache), **changed}
    command = [sys.executable, *flags, "-m", "rondo", "doctor", *words]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=STUCK_S, check=False
    )


def diagnosis(cache: Path, **changed: Any) -> tuple[int, Diagnosis]:
    """What the command finds: its exit code, and its findings by name."""
    done = run_doctor(cache, "--json", **changed)
    assert done.stderr == ""
    values = json.loads(done.stdout)
    assert values["is_usable"] == (done.returncode == 0)
    return done.returncode, {finding["name"]: finding for finding in values["findings"]}


def test_all_is_well_here(tmp_path: Path) -> None:
    done = run_doctor(tmp_path / "cache", CC="", OMP_NUM_THREADS="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(
        r"^ok      self-test       a new cell was compiled and equals", done.stdout, re.M
    )
    assert re.search(r"^ok      compiler        `\w+`, found on PATH at [~/]", done.stdout, re.M)
    text = " ".join(done.stdout.split())
    assert "cache: 0 kernels, 0.0 of at most 512 MB; writable and trusted" in text
    lines = [line for line in done.stdout.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 100
    for lacks in re.findall(r"^lacks .*\n(.*)", done.stdout, re.M):
        assert lacks.startswith(24 * " ")
    assert "Rondo can be used" in done.stdout


def test_a_cell_is_new_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONDO_CACHE", str(tmp_path / "cache"))
    numbers = []
    for _ in range(2):
        assert self_test().state == "ok"
        with opened(tmp_path / "cache") as folder:
            numbers.append(len(folder.entries()))
    assert numbers[1] >= numbers[0] + 2, "forward and backward are compiled"


@pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is not None, reason="ziglang is a compiler without PATH"
)
def test_without_a_compiler_it_can_be_used_and_says_what_to_install(tmp_path: Path) -> None:
    code, found = diagnosis(tmp_path / "cache", CC="", PATH=str(tmp_path))
    assert code == 0
    assert found["compiler"]["state"] == found["self-test"]["state"] == "lacks"
    assert found["compiler"]["text"] == "no C compiler was found"
    assert "pip install ziglang" in found["compiler"]["remedy"]
    assert found["self-test"]["facts"]["engine"] == "reference"
    assert "no C compiler was found" in found["self-test"]["text"]


def test_a_compiler_that_is_named_and_not_there_is_broken(tmp_path: Path) -> None:
    code, found = diagnosis(tmp_path / "cache", CC="/absent/cc")
    assert code == 1
    assert found["compiler"]["state"] == "broken"
    assert found["compiler"]["text"] == "CC is '/absent/cc', which is not there"
    assert found["compiler"]["remedy"].startswith("unset CC")


def test_a_compiler_that_compiles_nothing_is_broken(tmp_path: Path) -> None:
    script = tmp_path / "cc"
    script.write_text("#!/bin/sh\necho it is a stone >&2\nexit 1\n")
    script.chmod(0o755)
    code, found = diagnosis(tmp_path / "cache", CC=str(script))
    assert code == 1
    assert found["compiler"]["facts"]["found_by"] == "named by CC"
    assert found["self-test"]["state"] == "broken"
    assert "it is a stone" in found["self-test"]["text"]


def test_a_cache_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    code, found = diagnosis(Path("/proc/nothing/can/be/made/here"), CC="")
    assert code == 0
    cache = found["kernel cache"]
    assert cache["state"] == "lacks"
    assert "/proc/nothing/can/be/made/here cannot be written to: No such file" in cache["text"]
    assert "set RONDO_CACHE to a folder that you may write to" in cache["remedy"]
    assert not cache["facts"]["is_writable"]
    assert found["self-test"]["facts"]["engine"] == "cpu", "a temporary folder serves"


def test_a_cache_that_others_may_write_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    code, found = diagnosis(folder, CC="")
    assert code == 0
    cache = found["kernel cache"]
    assert (cache["state"], cache["facts"]["is_trusted"]) == ("lacks", False)
    assert f"others may write {folder} (chmod go-w {folder})" in cache["text"]


def test_too_many_threads_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONDO_OPENMP", "0")
    before, number = torch.get_num_threads(), 4 * (os.cpu_count() or 1)
    try:
        torch.set_num_threads(number)
        threads = kernels.findings()[-1]
    finally:
        torch.set_num_threads(before)
    assert (threads.name, threads.state) == ("threads", "lacks")
    assert threads.text.startswith(f"torch uses {number}; kernels use threads of their own")
    assert re.match(r"set OMP_NUM_THREADS=\d+ before the start", threads.remedy or "")


# ---- torch alone, and nothing at all ----


def _files_of(name: str, done: set[str]) -> Iterator[Path]:
    """What a package and those that it needs have put into the folder of packages."""
    if name in done:
        return
    done.add(name)
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return  # of another system
    for file in found.files or ():
        yield Path(str(found.locate_file(file.parts[0])))
    for line in found.requires or ():
        if "extra ==" not in line:
            yield from _files_of(re.split(r"[^\w.-]", line)[0], done)


def test_torch_alone_is_enough(tmp_path: Path) -> None:
    alone = tmp_path / "packages"
    alone.mkdir()
    for path in set(_files_of("torch", set())):
        if path.name not in ("..", "__pycache__"):
            (alone / path.name).symlink_to(path)
    places = os.pathsep.join([str(alone), str(SOURCE)])
    code, found = diagnosis(tmp_path / "cache", flags=("-S",), CC="", PYTHONPATH=places)
    assert code == 0
    assert found["self-test"]["state"] == "ok"
    extras = {name: each for name, each in found.items() if name.startswith("extra ")}
    assert {each["state"] for each in extras.values()} == {"lacks"}
    assert extras["extra hub"]["text"] == "huggingface-hub is not installed"
    assert extras["extra photo"]["remedy"].endswith('pip install -e ".[photo]"')
    assert extras["extra tasks"]["text"] == "jsonargparse, pillow, safetensors are not installed"


def test_without_torch_it_says_how_to_install_it(tmp_path: Path) -> None:
    code, found = diagnosis(tmp_path / "cache", flags=("-S",), PYTHONPATH=str(SOURCE))
    assert code == 1
    assert found["torch"]["state"] == "broken"
    assert found["torch"]["text"] == "cannot be imported: No module named 'torch'"
    assert "pip install torch --index-url" in found["torch"]["remedy"]
    assert "self-test" not in found


# ---- packages ----


def test_an_old_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = importlib.metadata.version("pytest")
    monkeypatch.setattr(packages, "PACKAGES", {"web": {"pytest": "9999.1", "absent-one": "1"}})
    (found,) = packages.extras()
    assert found.state == "lacks"
    assert found.text == f"absent-one is not installed; pytest {installed} is older than 9999.1"


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch is built for GPUs")
def test_a_gpu_that_torch_is_not_built_for_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "version"
    driver.touch()
    assert packages.gpu(torch).state == "ok" or packages.NVIDIA_DRIVER.exists()
    monkeypatch.setattr(packages, "NVIDIA_DRIVER", driver)
    found = packages.gpu(torch)
    assert found.state == "lacks"
    assert found.text == "there is a driver of NVIDIA, but torch is built for the CPU alone"
    assert "pytorch.org" in (found.remedy or "")


# ---- the report ----


def test_a_report_says_what_is_broken_and_what_to_do() -> None:
    report = Report(
        (
            Finding("a thing", "it is there"),
            Finding("another", "it is not " * 12, "lacks", "do this and that, " * 8),
            Finding("a third", "it does not run", "broken", "mend it"),
        )
    )
    assert not report.is_usable
    lines = str(report).splitlines()
    assert lines[2] == "ok      a thing         it is there"
    assert lines[3].startswith("lacks   another         it is not it is not")
    assert any(line.startswith(24 * " " + "-> do this and that,") for line in lines)
    assert lines[-3:-1] == [24 * " " + "-> mend it", ""]
    assert lines[-1] == "Rondo cannot be used as it is: mend what is marked as broken"


def test_a_finding_that_is_not_well_says_what_to_do() -> None:
    with pytest.raises(AssertionError):
        Finding("a thing", "it is not there", "lacks")


# ---- control groups, laid out as Linux does ----


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "30 25 0:27 /box /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "31 25 0:28 /box /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory\n"
)
V1_GROUPS = "5:memory:/box\n4:cpu,cpuacct:/box/job\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"mounts": V2, "groups": "0::/\n"}, None),
        ({"mounts": V2, "groups": "0::/\n", "cpu.max": "150000 100000\n"}, CpuShare(1.5, 2)),
        ({"mounts": V2, "groups": "0::/a/b\n", "a/b/cpu.max": "max 100000\n"}, None),
        (
            {
                "mounts": V2,
                "groups": "0::/a/b\n",
                "a/b/cpu.max": "400000 100000\n",
                "a/cpu.max": "200000 100000\n",
            },
            CpuShare(2.0, 2),
        ),
        ({"mounts": V2, "groups": "0::/a/b\n", "cpu.max": "50000 100000\n"}, CpuShare(0.5, 2)),
        (
            {
                "mounts": V1,
                "groups": V1_GROUPS,
                "cpu,cpuacct/job/cpu.cfs_quota_us": "300000\n",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
                "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            CpuShare(3.0, 1),
        ),
        (
            {
                "mounts": V1,
                "groups": V1_GROUPS,
                "cpu,cpuacct/cpu.cfs_quota_us": "80000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            CpuShare(0.8, 1),
        ),
    ],
)
def test_the_share_of_a_control_group(
    tmp_path: Path, files: dict[str, str], expected: CpuShare | None
) -> None:
    places = {"mounts": "proc/self/mountinfo", "groups": "proc/self/cgroup"}
    root = _write(
        tmp_path, {places.get(name, f"sys/fs/cgroup/{name}"): text for name, text in files.items()}
    )
    assert cpu_share(root) == expected
