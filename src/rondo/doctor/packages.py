"""The packages: torch, the extras of Rondo, and what a GPU needs."""

from __future__ import annotations

import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondo.doctor.finding import Finding
from rondo.extras import PACKAGES, TORCH, how_to_install, is_at_least, pip_install

if TYPE_CHECKING:
    from types import ModuleType

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
"""Is there where a GPU of NVIDIA has a driver."""

CPU_INDEX = "https://download.pytorch.org/whl/cpu"

OF_OTHER_FINDINGS = ("compiler", "gpu")
"""Extras of which the lines on the compiler and on GPUs speak, where they are needed."""


def torch_finding() -> tuple[Finding, ModuleType | None]:
    """Returns what was found of torch, and torch where it can be imported."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of NumPy, which is another finding
            import torch
    except Exception as error:  # whatever its libraries raise
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        remedy = f"install it again, for a CPU with: {_install_torch()}"
        return Finding("torch", f"cannot be imported: {said}", "broken", remedy), None
    facts: dict[str, Any] = {"version": torch.__version__, "cuda": torch.version.cuda}
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"
    text = f"{torch.__version__}, built for {built}"
    if not is_at_least(torch.__version__, TORCH):
        remedy = f"install torch {TORCH} or newer, for a CPU with: {_install_torch()}"
        return Finding("torch", f"{text}, is too old", "broken", remedy, facts), torch
    capability = torch.backends.cpu.get_cpu_capability()
    facts["cpu_capability"] = capability
    return Finding("torch", f"{text}; on the CPU it uses {capability}", facts=facts), torch


def _install_torch() -> str:
    return pip_install("torch", "--index-url", CPU_INDEX)


def extras() -> list[Finding]:
    """Returns what was found of each extra."""
    return [
        _extra(name, packages)
        for name, packages in PACKAGES.items()
        if name not in OF_OTHER_FINDINGS
    ]


def _extra(name: str, packages: dict[str, str]) -> Finding:
    versions = {package: _version(package) for package in packages}
    missing = [package for package, found in versions.items() if found is None]
    old = [
        f"{package} {found} is older than {packages[package]}"
        for package, found in versions.items()
        if found is not None and not is_at_least(found, packages[package])
    ]
    verb = "is" if len(missing) == 1 else "are"
    parts = [f"{', '.join(missing)} {verb} not installed"] if missing else []
    if not parts + old:
        return Finding(f"extra {name}", "installed", facts={"versions": versions})
    text, facts = "; ".join(parts + old), {"versions": versions}
    return Finding(f"extra {name}", text, "lacks", how_to_install(name), facts)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def gpu(torch: ModuleType) -> Finding:
    """Returns what was found of GPUs, and of Triton, in which their kernels are written."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        names = _gpu_names(torch)
    triton = _version("triton")
    facts = {"names": names, "triton": triton, "has_driver": NVIDIA_DRIVER.exists()}
    which = f"Triton {triton}" if triton else "Triton is not installed"
    if names and triton:
        return Finding("GPU", f"{', '.join(names)}; {which}", facts=facts)
    if names:
        remedy = f"do: {pip_install('triton')}   until then torch's operations run each step there"
        return Finding("GPU", f"{', '.join(names)}; {which}", "lacks", remedy, facts)
    if not NVIDIA_DRIVER.exists():
        return Finding("GPU", f"none that torch can use; {which}", facts=facts)
    why = str(told[0].message).splitlines()[0] if told else "torch does not see it"
    if torch.version.cuda is None:
        why = "torch is built for the CPU alone"
    remedy = "choose a torch for your driver at https://pytorch.org/get-started/locally"
    return Finding("GPU", f"there is a driver of NVIDIA, but {why}", "lacks", remedy, facts)


def _gpu_names(torch: Any) -> list[str]:
    """The name of each GPU, with its memory and what it can do."""
    if not torch.cuda.is_available():
        return []
    return [
        _gpu_name(torch.cuda.get_device_properties(n)) for n in range(torch.cuda.device_count())
    ]


def _gpu_name(found: Any) -> str:
    return (
        f"{found.name}, {found.total_memory / 1e9:.0f} GB, capability {found.major}.{found.minor}"
    )
