"""Pictures: nodes and edges, laid out and written as SVG, DOT and Mermaid."""

from rondo.drawing.drawing import FORMS, Drawing, check_num_steps
from rondo.drawing.picture import Arrow, Grid, Mark, Picture

__all__ = ["FORMS", "Arrow", "Drawing", "Grid", "Mark", "Picture", "check_num_steps"]
