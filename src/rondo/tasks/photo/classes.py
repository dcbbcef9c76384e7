"""The classes of photos: what labels call them, how they are sorted, whether they are of people.

In go the words of label files and the names of folders, out come the classes of a data set. Words
that all mean a person's sex give the classes `SEXES`; any others are classes of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

SEXES = ("female", "male")
"""The classes of a person's sex, in this order everywhere: label 0 is female, label 1 is male."""

SEX_WORDS = {"female": 0, "f": 0, "woman": 0, "women": 0, "male": 1, "m": 1, "man": 1, "men": 1}
"""What label files and folders may call them, in lower case."""

PEOPLE = {"female", "females", "male", "males", "woman", "women"}
"""A class with one of these words in its name is said of a person."""

PEOPLE_ALONE = PEOPLE | {"man", "men", "girl", "girls", "boy", "boys"}
"""So is a class whose whole name is one of these."""

NUM_NAMED = 5
"""Classes that a message names, at most."""

LONGEST_NAME = 40
"""Letters of a name that a message shows."""


def are_of_people(classes: Iterable[str]) -> bool:
    """Whether some of the classes say a person's sex.

    Example:
        >>> from rondo.tasks.photo.classes import are_of_people
        >>> are_of_people(("female", "male")), are_of_people(("cat", "dog"))
        (True, False)
        >>> are_of_people(("boy", "woman_2")), are_of_people(("e", "f", "m"))
        (True, False)
    """
    return any(
        name.casefold() in PEOPLE_ALONE or PEOPLE & set(re.findall(r"[^\W\d_]+", name.casefold()))
        for name in classes
    )


def clean_name(word: str) -> str:
    """Returns a word of the labels without spaces around it, and with single ones within."""
    return " ".join(word.split())


def classes_of(words: Iterable[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Returns the classes that the words of labels mean, and the number of each word's class.

    Whole numbers are sorted by value, all else by its letters.

    Raises:
        ValueError: If two words differ in nothing but capitals or their Unicode form.

    Example:
        >>> from rondo.tasks.photo.classes import classes_of
        >>> classes_of(["10", "9", "cat"])
        (('9', '10', 'cat'), {'9': 0, '10': 1, 'cat': 2})
        >>> classes_of(["Man", "f"])[0]
        ('female', 'male')
    """
    found = sorted(set(words))
    if found and all(word.lower() in SEX_WORDS for word in found):
        return SEXES, {word: SEX_WORDS[word.lower()] for word in found}
    _check_apart(found)
    names = {word: unicodedata.normalize("NFC", word) for word in found}
    classes = tuple(sorted(names.values(), key=_order))
    numbers = {name: number for number, name in enumerate(classes)}
    by_class = sorted(names.items(), key=lambda item: numbers[item[1]])
    return classes, {word: numbers[name] for word, name in by_class}


def _check_apart(words: Sequence[str]) -> None:
    alike: dict[str, str] = {}
    for word in words:
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", word).casefold())
        if key in alike:
            raise ValueError(
                f"the classes {alike[key]!a} and {word!a} differ only in capitals or in "
                "their Unicode form: write them alike if they are one class, and rename one of "
                "them if they are two"
            )
        alike[key] = word


def _order(name: str) -> tuple[bool, int, str]:
    is_number = name.isdecimal() and len(name) < 19
    return not is_number, int(name) if is_number else 0, name


def names_of(names: Iterable[str]) -> str:
    """Returns names for a message: the first few, each in quotation marks.

    Example:
        >>> from rondo.tasks.photo.classes import names_of
        >>> names_of("abcdefg")
        "'a', 'b', 'c', 'd', 'e' and 2 more"
    """
    found = list(names)
    shown = ", ".join(f"'{_cut(name)}'" for name in found[:NUM_NAMED])
    more = len(found) - NUM_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."
