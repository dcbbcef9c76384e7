"""The words of the command line: its manual, and a parser that names the nearest known word."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, NoReturn

from rondo.system.threads import check_num_threads, most_threads

MANUAL = """\
Rondo runs recurrent networks as graphs with loops: any cell, compiled. This command shows what
becomes of a cell, measures layers beside torch.nn's and others, and trains networks: on sequences,
text, videos and photos (`rondo train --help` lists the tasks).
"""

DETAILS = """\
examples:
  rondo train photo                            train on drawings made by the program (minutes)
  rondo train photo --data photos/             train on photos, see below
  rondo train photo --resume last              go on with a run that was interrupted
  rondo train photo --model resnet_18          one of twelve networks; docs/photo_models.md
  rondo sweep photo --over model=cnn_1,cnn_2   many settings, compared on val; docs/sweeps.md
  rondo evaluate last --split test             accuracy by source, age and group
  rondo evaluate last --robustness             accuracy under blur, noise, darkness, crops, JPEG
  rondo predict last a.jpg b.png               a table of answers with probabilities
  rondo predict last a.jpg --min-confidence 0.9    "not sure" where the probability is below
  rondo predict last photos/ --json            every image of a folder, for programs
  rondo predict last - < a.jpg                 one image from standard input
  find . -name '*.jpg' | rondo predict last - --from-list
  rondo train adding --cell lstm-1997          add two marked numbers of a long sequence
  rondo train series --data sensors.csv        classes, numbers or forecasts of your own series
  rondo train photo --config run.toml          options from a file; docs/command_line.md
  rondo runs                                   all runs: task, state, best check and test
  rondo train characters --data book.txt       predict the next character; then:
  rondo sample last --temperature 0.8          write text like it
  rondo train text --data words/               read words in pictures; then:
  rondo predict last scans/ --csv              a table of what is read; docs/text.md
  rondo train actions                          what a drawn stick figure does; docs/actions.md
  rondo predict last drawn --stream            the answer after every frame of new figures
  rondo predict last clips.npz video.avi       of a run on such clips
  rondo bench --suite layers --module GRU      Rondo's GRU beside torch.nn's and others (minutes)
  rondo bench --quick                          does the measuring work here? (seconds)
  rondo bench map --kinds LSTM --output map/   beside torch.nn over 79 shapes (minutes)
  rondo show lstm --stage plan --output lstm.svg    draw a cell: rondo show --help
  rondo doctor                                 what this machine has and lacks, and a self-test
  rondo cache --clear                          delete the compiled kernels that are kept
  rondo web last                               a page to try photos, see cells, watch a training

data:
  Of photos a folder with labels.csv (columns file, label or sex, and optionally split, source, age
  or any other), a folder with one folder for each class, UTKFace files, IMDB-WIKI or CelebA. A
  photo of a person must show one face that fills the picture.
  Of series a table (.csv, .parquet), .npz, .ts or .tsf; of text a folder with labels.csv (columns
  file, text and optionally split); of actions a folder of npz files or of KTH's videos.
  Many tasks also take the word "drawn": data made by the program, which need no file.

a run folder, runs/TASK-DATE-N, holds:
  report.html          curves, errors, examples: open it in a browser
  model_card.md        data, use, figures and limits, to go with the network wherever it goes
  calibration.json     of photos: the temperature that divides the logits; docs/trust.md
  model.safetensors    the weights that predict; beside them best.safetensors or last.safetensors
  metrics.jsonl        one JSON object for each check and split
  config.json          every setting: enough to do the run again
  resume/              what an interrupted run needs to go on to the same numbers
  lock                 held by the process that trains; another one is refused
RUN is such a folder, or the word "last" for the newest one in ./runs.

exit codes:
  0  all went well          1  some inputs could not be read
  2  wrong use, bad input or a training that diverged
  130  ended by Ctrl-C      143  ended by SIGTERM; both can be resumed (a second Ctrl-C: at once)
  doctor: 1  something is broken: it says what to do
  bench: 1  some layer computed something else than it should, and was not timed; Ctrl-C
            prints what was measured so far; it cannot be resumed

what it must not be used for:
  Never to decide anything about a person: no hiring, credit, policing, access, prices or
  advertising; no surveillance. It guesses how annotators labelled a picture; it does not know
  anybody's identity or gender. Its errors differ by age and group: see the report.
"""

WEIGHTS = (
    "for tl_1, tl_2 and tl_3: weights of a trained ResNet-18 or -50, a file or owner/name on the "
    "Hugging Face hub"
)
"""What `--weights` takes."""


KINDS = {"int": "a whole number", "float": "a number"}
"""What an option takes, in words, by the type that Python names."""


class UsageError(Exception):
    """A wrong word or option; the message says what to write instead."""


class Parser(argparse.ArgumentParser):
    """An argument parser that names the nearest known word."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raises the message in the words of this program."""
        raise UsageError(f"{self._in_own_words(message)}; see `{self.prog} --help`")

    def _in_own_words(self, message: str) -> str:
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            known = re.findall(r"[\w.-]+", choice[2])
            return f"there is no {choice[1]!r} here; {_suggest(choice[1], known)}"
        missing = re.fullmatch(r"the following arguments are required: (.*)", message)
        if missing:
            named = f"; there are: {', '.join(self._subcommands)}" if self._subcommands else ""
            return f"{self.prog} needs {missing[1].replace(', ', ' and ')}{named}"
        for kind, words in KINDS.items():
            message = message.replace(f"invalid {kind} value: ", f"must be {words}, but is ")
        return message

    @property
    def _subcommands(self) -> list[str]:
        """The commands or tasks that may follow."""
        actions = self._subparsers._group_actions if self._subparsers is not None else []
        return [name for action in actions for name in action.choices or ()]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses what is known; before a command or a task no unknown option may stand.

        The word after such an option would else be taken for the command.
        """
        known = self._subcommands
        for word in takewhile(lambda word: word not in known, args or () if known else ()):
            is_option = word.startswith("-") and not self._negative_number_matcher.match(word)
            if is_option and word.split("=")[0] not in self._option_string_actions:
                self._refuse(word)
        return super().parse_known_args(args, namespace)

    def parse_all(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Returns the parsed arguments; an unknown option is answered with the nearest one."""
        parsed, unknown = self.parse_known_args(arguments)
        if unknown:
            getattr(parsed, "parser", self)._refuse(unknown[0])
        return parsed

    def _refuse(self, given: str) -> NoReturn:
        """Raises that a word cannot stand here."""
        word = given.split("=")[0]
        known = [option for option in self._option_string_actions if option.startswith("--")]
        is_option = word.startswith("-")
        if is_option and self._subcommands:
            known_here = near(word, known) or "options of a command stand after it"
        elif is_option:
            known_here = _suggest(word, known)
        else:
            known_here = near(word, known) or "it is one word too many"
        raise UsageError(
            f"{self.prog} does not take {word!r}; {known_here}; see `{self.prog} --help`"
        )


def words_of(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Returns the type of an option that takes some known words with commas between them, or all.

    Args:
        known: The words; they may be given in small or large letters.
    """
    chosen_by_all = tuple(known)
    by_small = {word.lower(): word for word in (*chosen_by_all, "all")}

    def words(text: str) -> tuple[str, ...]:
        given = text.split(",")
        for word in given:
            if word.lower() not in by_small:
                raise argparse.ArgumentTypeError(
                    f"invalid choice: {word!r} (choose from {', '.join(by_small.values())})"
                )
        chosen = dict.fromkeys(by_small[word.lower()] for word in given)
        return chosen_by_all if "all" in chosen else tuple(chosen)

    return words


FREE = "one for each core that other programs leave free"
"""The threads of a new run where none are asked for."""


def add_threads(parser: argparse.ArgumentParser, default: str = "one for each core") -> None:
    """Adds the option that says how many threads compute."""
    parser.add_argument("--threads", type=num_threads, metavar="N",
        help=f"threads, from 1 to {most_threads()} here (default: {default})")  # fmt: skip


def num_threads(text: str) -> int:
    """The type of an option that takes a number of threads of this machine."""
    try:
        return check_num_threads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def number_from_1(text: str) -> int:
    """The type of an option that takes a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, but is {text!r}")
    return int(text)


def _suggest(word: str, known: Sequence[str]) -> str:
    return near(word, known) or f"there are: {', '.join(known)}"


def near(word: str, known: Sequence[str]) -> str:
    """The nearest known word, as a question; empty where none is near."""
    by_small = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_small, n=1)
    return f"did you mean {by_small[near[0]]!r}?" if near else ""
