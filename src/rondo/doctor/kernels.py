"""What kernels for the CPU need: a compiler, a folder to keep them in, threads."""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import torch

from rondo.compiler.c_compiler import NoCompilerError, compiler, compiler_version
from rondo.compiler.cache_folder import chosen_folder, limit_bytes, opened
from rondo.compiler.pool import openmp
from rondo.compiler.trust import NotTrustedError
from rondo.doctor.finding import Finding
from rondo.doctor.machine import short
from rondo.extras import pip_install
from rondo.system.cgroup import cpu_share, usable_cores

WITHOUT_COMPILER = "without one torch's operations run each step, which is slower"

WITHOUT_FOLDER = "until then every process compiles again what is not in it, in a temporary folder"


def findings() -> list[Finding]:
    """Returns what was found, in the order in which it is shown."""
    return [_compiler(), _cache(), _threads()]


# ---- the compiler ----


def _compiler() -> Finding:
    chosen = (os.environ.get("CC") or "").strip()
    facts: dict[str, object] = {"command": None, "found_by": None, "CC": chosen or None}
    try:
        command = compiler()
        facts |= {"command": shlex.join(command), "found_by": _found_by(command, chosen)}
        version = compiler_version(command).partition("\n")[0]
    except NoCompilerError as error:
        return _no_compiler(str(error), chosen, facts)
    text = f"`{facts['command']}`, {facts['found_by']}: {version or 'version unknown'}"
    return Finding("compiler", text, facts={**facts, "version": version})


def _found_by(command: tuple[str, ...], chosen: str) -> str:
    if chosen:
        return "named by CC"
    if "ziglang" in command:
        return "the wheel ziglang, since PATH has no cc, gcc or clang"
    return f"found on PATH at {short(shutil.which(command[0]) or '?')}"


def _no_compiler(reason: str, chosen: str, facts: dict[str, object]) -> Finding:
    if chosen:
        remedy = "unset CC, or set it to a C compiler that runs here, such as CC=gcc"
        return Finding("compiler", reason, "broken", remedy, facts)
    if sys.platform == "win32":
        remedy = f"use Linux or macOS, or WSL; {WITHOUT_COMPILER}"
    else:
        install = "xcode-select --install" if sys.platform == "darwin" else "apt install gcc"
        remedy = f"do: {install}   or: {pip_install('ziglang')}; {WITHOUT_COMPILER}"
    return Finding("compiler", reason.partition(":")[0], "lacks", remedy, facts)


# ---- the folder of compiled kernels ----


def _cache() -> Finding:
    facts: dict[str, object] = {
        "path": None,
        "RONDO_CACHE": os.environ.get("RONDO_CACHE"),
        "size_bytes": None,
        "limit_bytes": limit_bytes(),
        "is_writable": False,
        "is_trusted": True,
    }
    try:
        path = chosen_folder()
    except RuntimeError:
        remedy = f"set RONDO_CACHE to a folder of your own; {WITHOUT_FOLDER}"
        return Finding("kernel cache", "the user has no home folder", "lacks", remedy, facts)
    facts["path"] = str(path)
    try:
        return _cache_at(path, facts)
    except NotTrustedError as reason:
        facts["is_trusted"] = False
        text = f"{short(path)} is not trusted: {reason}"
        remedy = f"mend that, or set RONDO_CACHE to a folder of your own; {WITHOUT_FOLDER}"
    except OSError as error:
        text = f"{short(path)} cannot be written to: {error.strerror or error}"
        remedy = f"set RONDO_CACHE to a folder that you may write to; {WITHOUT_FOLDER}"
    return Finding("kernel cache", text, "lacks", remedy, facts)


def _cache_at(path: Path, facts: dict[str, object]) -> Finding:
    """What the folder holds, once something could be written into it."""
    with opened(path) as folder, folder.workplace() as place:
        (place / "probe").write_bytes(b"probe")
        entries = folder.entries()
    size = sum(entry.size_bytes for entry in entries)
    facts |= {"size_bytes": size, "num_kernels": len(entries), "is_writable": True}
    text = (
        f"{short(path)}: {len(entries)} kernels, {size / 1e6:.1f} of at most "
        f"{limit_bytes() / 1e6:g} MB; writable and trusted"
    )
    return Finding("kernel cache", text, facts=facts)


# ---- threads ----


def _threads() -> Finding:
    number, most = torch.get_num_threads(), _most_threads()
    shares_openmp = openmp() is not None
    openmp_libraries = _openmp_libraries()
    facts = {
        "torch": number,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "RONDO_OPENMP": os.environ.get("RONDO_OPENMP"),
        "openmp": openmp_libraries,
        "kernels_use_openmp": shares_openmp,
    }
    whose = "the same, by OpenMP" if shares_openmp else "threads of their own"
    libraries = ", ".join(openmp_libraries) or "none"
    text = f"torch uses {number}; kernels use {whose}; OpenMP libraries: {libraries}"
    if number <= most:
        return Finding("threads", text, facts=facts)
    remedy = (
        f"set OMP_NUM_THREADS={most} before the start: more threads than cores wait for each other"
    )
    return Finding("threads", f"{text}; this process may use {most}", "lacks", remedy, facts)


def _most_threads() -> int:
    """How many threads can run at once here."""
    share = cpu_share()
    return min(usable_cores(), math.ceil(share.cores) if share is not None else usable_cores())


def _openmp_libraries() -> list[str]:
    """The names of the OpenMP libraries in this process."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return sorted(set(re.findall(r"/(lib(?:gomp|iomp5|omp)[^/\s]*\.so[^/\s]*)", maps)))
