"""What a network that was trained on photos may be used for, and what not.

What is said of people has rules of its own; of any other classes there are cautions.

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


NEUTRAL = (
    "This network names the class of a photo. Its answers are guesses about how those who labelled "
    "the training photos would have labelled it."
)
"""What the answers of a network are that knows other classes."""

NEUTRAL_USES = (
    "Sorting photos like those it was trained and tested on, where a wrong answer does no harm or "
    "is found.",
    "Comparing networks and recipes on the same photos.",
)
"""What it is good for."""

CAUTIONS = (
    "It gives one of its classes to any picture, also to one that shows none of them.",
    "The figures hold for photos like those of the test: taken in the same way, of the same things "
    "in the same shares.",
    "If people are in the photos or are touched by its answers, measure for whom it errs, and "
    "leave decisions about them to people.",
)
"""What must be minded before it is used."""


def to_html(text: str) -> str:
    """Returns a text with its emphasis as HTML.

    Example:
        >>> to_html("**never** <here>")
        '<b>never</b> &lt;here&gt;'
    """
    return re.sub(r"\*\*(.*?)\*\*", r"<b>\1</b>", escape(text, quote=False))


WARNING = (
    '<section class="warning"><h2>What this must not be used for</h2>'
    f"<p>{to_html(NATURE)}</p><ul>"
    + "".join(f"<li>{to_html(use)}</li>" for use in FORBIDDEN)
    + "</ul></section>"
)
"""The section on wrong uses of what is said of people."""

LIMITS = (
    "<section><h2>What to mind before it is used</h2><div class='card'><ul>"
    + "".join(f"<li>{to_html(caution)}</li>" for caution in CAUTIONS)
    + "</ul></div></section>"
)
"""The section on the limits of any other classes."""
