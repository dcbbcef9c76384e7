"""What the docstring of a dataclass says of its fields."""

from __future__ import annotations

import inspect
import re

FIELD = re.compile(r"^    (\w+): (.*)$")
"""The first line of a field within `Args:`."""


def arguments_of(documented: type) -> dict[str, str]:
    """Returns the text of each field in the section `Args` of a docstring, in one line.

    Example:
        >>> from rondo.system.docstrings import arguments_of
        >>> class Point:
        ...     '''A point.
        ...
        ...     Args:
        ...         x: To the right,
        ...             in pixels.
        ...         y: Down.
        ...     '''
        >>> arguments_of(Point)
        {'x': 'To the right, in pixels.', 'y': 'Down.'}
    """
    lines = (inspect.getdoc(documented) or "").splitlines()
    found: dict[str, str] = {}
    if "Args:" not in lines:
        return found
    name = ""
    for line in lines[lines.index("Args:") + 1 :]:
        first = FIELD.match(line)
        if first:
            name, found[first[1]] = first[1], first[2]
        elif line.startswith("        ") and name:
            found[name] += f" {line.strip()}"
        else:
            break
    return found
