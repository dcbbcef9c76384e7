"""What a network that was trained on photos of faces may be used for, and what not.

`**` stands around what is most important, as in Markdown.
"""

from __future__ import annotations

import re
from html import escape

INTENDED = (
    "Learning and teaching how recurrent networks work, on the running example of a lecture.",
    "Comparing networks and recipes on the same photos, with their errors by group.",
    "Measuring what such a classifier gets wrong, and for whom.",
)
"""What it is made for."""

NATURE = (
    "This is an exercise in recurrent networks. Its answers are guesses about how annotators "
    "labelled pictures."
)
"""What its answers are."""

FORBIDDEN = (
    "**Never to decide anything about a person**: not hiring, pay, credit, insurance, policing, "
    "borders, access to places or services, prices or advertising.",
    "Not for surveillance, tracking, counting or sorting people, with or without their knowledge.",
    "It says nothing about **identity, gender identity** or who somebody is. The labels are binary "
    "and were given by others from looks; people who do not fit them are left out or labelled "
    "wrongly.",
    "Its errors **differ by age, group and kind of photo**; the report of a run shows how, where "
    "the labels allow to measure it. An accuracy over all hides that.",
    "The probabilities hold for pictures like those it was tested on, and for no others.",
)
"""What it must not be used for, and why."""


def to_html(text: str) -> str:
    """Returns a text with its emphasis as HTML.

    Example:
        >>> to_html("**never** <here>")
        '<b>never</b> &lt;here&gt;'
    """
    return re.sub(r"\*\*(.*?)\*\*", r"<b>\1</b>", escape(text, quote=False))
