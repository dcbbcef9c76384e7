"""The machine: Python, the processor, its cores and what a container may use. Needs no torch."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from rondo.doctor.finding import Finding
from rondo.system.cgroup import cpu_share, usable_cores
from rondo.system.processor import processor_names, vector_sets


def findings() -> list[Finding]:
    """Returns what was found, in the order in which it is shown."""
    return [_python(), _processor(), _cores()]


def _python() -> Finding:
    facts = {
        "version": platform.python_version(),
        "program": sys.executable,
        "system": platform.platform(),
    }
    return Finding("python", f"{facts['version']}, {facts['system']}", facts=facts)


def _processor() -> Finding:
    name, sets, kind = processor_names()[0], vector_sets(), platform.machine()
    words = ", ".join(sets) if sets else "unknown on this system"
    facts = {"name": name, "kind": kind, "vector_sets": sets}
    return Finding("processor", f"{name}, {kind}; vector sets: {words}", facts=facts)


def _cores() -> Finding:
    number, usable, share = os.cpu_count() or 1, usable_cores(), cpu_share()
    text = f"{usable} of {number} for this process"
    if share is None:
        text += "; no limit by a control group"
    else:
        text += f"; its control group (v{share.version}) may use {share.cores:g} of them"
    facts = {
        "number": number,
        "usable": usable,
        "share": None if share is None else share.cores,
        "cgroup_version": None if share is None else share.version,
    }
    return Finding("cores", text, facts=facts)


def short(path: str | Path) -> str:
    """Returns a path with ~ for the user's home, which a report need not tell.

    Example:
        >>> from pathlib import Path
        >>> from rondo.doctor.machine import short
        >>> short(Path.home() / "kernels")
        '~/kernels'
    """
    text, home = str(path), os.path.expanduser("~")
    inside = home not in ("/", "~") and (text == home or text.startswith(home + os.sep))
    return "~" + text[len(home) :] if inside else text
