"""`Drawing`: a picture that shows itself in notebooks and saves itself to files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rondo.drawing.layout import lay_out
from rondo.drawing.picture import Picture, unrolled
from rondo.drawing.placed import Layout
from rondo.drawing.svg import to_svg
from rondo.drawing.text import to_dot, to_mermaid
from rondo.system.files import write_text


@dataclass(frozen=True)
class Drawing:
    """A picture, folded or unrolled; a notebook shows it.

    Args:
        picture: What is drawn, with its loops.
        num_steps: For how many steps it is unrolled; None where it stays folded.

    Example:
        >>> import torch, rondo
        >>> drawing = rondo.draw(rondo.Recurrent(rondo.ElmanCell(3, 5)))
        >>> drawing.svg[:4], drawing.dot[:9], drawing.mermaid[:12]
        ('<svg', 'digraph {', 'flowchart BT')
    """

    picture: Picture
    num_steps: int | None = None

    def __post_init__(self) -> None:
        check_num_steps(self.num_steps)

    @cached_property
    def layout(self) -> Layout:
        """Where everything lies."""
        return lay_out(self.picture, self.num_steps)

    @cached_property
    def svg(self) -> str:
        """The drawing as an SVG document."""
        return to_svg(self.layout, self.picture.legend)

    @property
    def dot(self) -> str:
        """The drawing as a DOT graph, for Graphviz."""
        return to_dot(self._flat)

    @property
    def mermaid(self) -> str:
        """The drawing as a Mermaid flow chart."""
        return to_mermaid(self._flat)

    def save(self, path: str | Path) -> Drawing:
        """Write the drawing to a file whose ending says the form; return the drawing.

        Raises:
            ValueError: Where the ending is none of .svg, .dot, .gv, .mmd.
        """
        path = Path(path)
        write_text(path, self.form_of(path)(self))
        return self

    @staticmethod
    def form_of(path: Path) -> Callable[[Drawing], str]:
        """What writes a drawing in the form that the ending of a file names."""
        if path.suffix.lower() not in FORMS:
            raise ValueError(
                f"a drawing is saved as {', '.join(FORMS)}, got {str(path)!r}; give the file one "
                "of these endings"
            )
        return FORMS[path.suffix.lower()]

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        steps = "" if self.num_steps is None else f", {self.num_steps} steps"
        picture = self.picture
        return f"Drawing({len(picture.marks)} nodes, {len(picture.arrows)} edges{steps})"

    @property
    def _flat(self) -> Picture:
        return self.picture if self.num_steps is None else unrolled(self.picture, self.num_steps)


FORMS: dict[str, Callable[[Drawing], str]] = {
    ".svg": lambda drawing: drawing.svg,
    ".dot": lambda drawing: drawing.dot,
    ".gv": lambda drawing: drawing.dot,
    ".mmd": lambda drawing: drawing.mermaid,
}
"""The forms of a saved drawing, by the ending of the file."""


def check_num_steps(num_steps: object) -> None:
    """Raise `ValueError` where a number of steps is no whole number of at least 1."""
    is_number = isinstance(num_steps, int) and not isinstance(num_steps, bool)
    if num_steps is None or (is_number and num_steps >= 1):  # type: ignore[operator]
        return
    raise ValueError(f"the number of steps must be a whole number of at least 1, got {num_steps!r}")
