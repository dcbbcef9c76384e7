"""`rondo train TASK`: from options and a config file to a trained run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondo.cli.commands import SUCCESS, free_threads, run_path, say
from rondo.cli.manual import UsageError
from rondo.errors import RunError
from rondo.system.free_cores import CoreWatch

if TYPE_CHECKING:
    from rondo.training.definition import Definition
    from rondo.training.ranks import Ranks
    from rondo.training.session import Request, Session

OF_RUN = (
    *("set", "start_from", "seed", "threads", "device", "log", "report", "find_learning_rate"),
    *("print_config", "run_path", "resume", "devices", "nodes"),
)
"""The options of every training."""

BESIDE_RESUME = (
    *("resume", "data", "log", "report", "find_learning_rate", "print_config", "devices", "nodes"),
)
"""What may stand beside --resume, and what is never without a value."""


def train_help() -> str:
    """Returns what `rondo train --help` prints: the tasks."""
    from rondo.tasks.registry import definition_of, task_names

    names = task_names()
    width = max(map(len, names))
    lines = [f"  {name:{width}}  {_summary(definition_of, name)}" for name in names]
    return "\n".join([
        "usage: rondo train TASK [options]", "", "Train a network.", "", "tasks:", *lines, "",
        "`rondo train TASK --help` lists the options of a task.",
    ])  # fmt: skip


def _summary(find: Callable[[str], Definition], name: str) -> str:
    try:
        return find(name).summary
    except RunError as error:
        return f"({error})"


def train(words: Sequence[str]) -> int:
    """Trains on a task, or goes on with a run; returns the exit code."""
    from rondo.tasks.registry import definition_of

    if not words or words[0] in ("-h", "--help"):
        print(train_help())
        return SUCCESS if words else 2
    if words[0].startswith("-"):
        raise UsageError(f"rondo train needs TASK before {words[0]}; see `rondo train --help`")
    try:
        definition = definition_of(words[0])
    except RunError as error:
        raise UsageError(f"{error}; see `rondo train --help`") from error
    return _train(definition, words[1:])


def _train(definition: Definition, words: Sequence[str]) -> int:
    from rondo.cli.options import train_parser

    watch = CoreWatch()
    given = train_parser(definition).parse(words)
    if given["print_config"]:
        from rondo.cli.config_text import config_text

        print(config_text(definition, given))
        return SUCCESS
    from rondo.training.memory import keep_freed_memory

    keep_freed_memory()
    from rondo.training import launch, session
    from rondo.training.device import device_of
    from rondo.training.fit import fit
    from rondo.training.loggers import check_names
    from rondo.training.ranks import check_ranks

    if given["log"] is not None:
        check_names(given["log"])
    path = None if given["run_path"] is None else Path(given["run_path"])
    if given["find_learning_rate"]:
        return _find_learning_rate(definition, request_of(given, watch), given)
    if given["resume"] is not None:
        _check_alone(given)
    ranks = launch.join(given["devices"], given["nodes"])
    run = None
    if ranks.is_first and given["resume"] is not None:
        run = session.resume(definition, run_path(given["resume"]), given.get("data"), say)
    elif ranks.is_first:
        run = session.begin(definition, request_of(given, watch, ranks), path, say, ranks)
    run = session.shared(run, definition, ranks)
    check_ranks(ranks, run.config.recipe.num_shards, device_of(run.task, run.config.device))
    if not ranks.is_first:
        fit(run, ranks=ranks)
        return SUCCESS
    with run.folder.held(say):
        return _to_the_end(run, given["log"], ranks, with_report=given["report"] is not False)


def request_of(given: dict[str, Any], watch: CoreWatch, ranks: Ranks | None = None) -> Request:
    """Returns what the options ask for.

    Args:
        given: The options by name.
        watch: Knows how many cores are free, which decides about threads where none are given.
        ranks: The processes that share them; None: there is one.
    """
    from rondo.cli.options import is_given
    from rondo.training.request import Request

    changes = {name: value for name, value in given["recipe"].items() if value is not None}
    name = changes.pop("name", None)
    texts = [text for field in list(changes) for text in _texts(field, changes)]
    kept = ("recipe", "config", *OF_RUN)
    return Request(
        options={key: item for key, item in given.items() if key not in kept and is_given(item)},
        recipe_name=name,
        recipe=changes,
        set=[*texts, *(given["set"] or ())],
        start_from=given["start_from"],
        seed=given["seed"] or 0,
        threads=_threads(watch, ranks) if given["threads"] is None else given["threads"],
        device=given["device"] or "auto",
    )


def _threads(watch: CoreWatch, ranks: Ranks | None) -> int:
    """Threads for each process, where none are asked for."""
    return max(1, free_threads(watch) // (1 if ranks is None else ranks.number))


def _texts(field: str, changes: dict[str, Any]) -> list[str]:
    """What of the recipe is none, or holds several values, as for --set; it is taken out."""
    from rondo.cli.options import WITHIN, is_given

    value = changes[field]
    if is_given(value) and field not in WITHIN:
        return []
    del changes[field]
    if isinstance(value, dict):
        return [f"{field}.{name}={_tupled(item)}" for name, item in value.items()]
    return [f"{field}={_tupled(value)}"]


def _tupled(value: Any) -> Any:
    """Values of a config file, which knows no tuples, as Python writes them."""
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def _to_the_end(run: Session, log: str | None, ranks: Ranks, *, with_report: bool) -> int:
    """Trains a run to its end and tells what it gave; returns the exit code."""
    from rondo.training.fit import fit
    from rondo.training.loggers import make_logger
    from rondo.training.progress import result_line
    from rondo.training.records import tell_skipped

    path = run.folder.path
    say(f"run folder {path}; Ctrl-C ends after a batch, and can be resumed")
    if run.task.baseline is not None:
        say("in brackets is what always giving the most frequent answer would get")
    logger = make_logger(log, path, asdict(run.config), say)
    outcome = fit(run, say=say, logger=logger, ranks=ranks)
    if outcome.signal_number is not None:
        say(f"interrupted; go on with: {run.folder.command} --resume {path}")
        return 128 + outcome.signal_number
    print(result_line(outcome.records, run.task))
    tell_skipped(outcome.records[-1], say)
    print("\n".join(finish_lines(run, with_report=with_report)))
    return SUCCESS


def finish_lines(run: Session, *, with_report: bool = True) -> list[str]:
    """Does what ends a run of its task; returns what to print."""
    from rondo.training.definition import at_place

    if not with_report:
        return _class_lines(run)
    if run.definition.finish is not None:
        lines: list[str] = at_place(run.definition.finish)(run, say)
        return lines
    from rondo.report.run_end import report_lines

    return [*_class_lines(run), *report_lines(run, say)]


def _class_lines(run: Session) -> list[str]:
    """What the test gave class by class."""
    if run.task.classes is None:
        return []
    import torch

    from rondo.measures.classes import class_accuracy_table, confusion_table, evaluate_classes
    from rondo.training.engine import Engine

    model = run.folder.read_model()
    batches = Engine(run.config, run.task, lambda: model).examine(run.task.source.test_batches())
    parts = [(outputs.double().softmax(-1), batch.targets) for batch, outputs, *_ in batches]
    probabilities, labels = (torch.cat(values) for values in zip(*parts, strict=True))
    found = evaluate_classes(probabilities, labels, run.task.classes)
    return ["", class_accuracy_table({"test": found}, run.task.noun), "", confusion_table(found)]


def _find_learning_rate(definition: Definition, request: Request, given: dict[str, Any]) -> int:
    """Tries learning rates on the first steps; makes no run."""
    from rondo.training.network import new_engine
    from rondo.training.rate_finder import find_learning_rate
    from rondo.training.request import make_config

    for name in ("resume", "run_path", "devices", "nodes"):
        if given[name] is not None:
            word = name.removesuffix("_path")
            raise UsageError(
                f"--find-learning-rate makes no run, in one process; leave out --{word}"
            )
    config, task, start = make_config(definition, request, say)
    if start is not None:
        raise UsageError("--find-learning-rate begins with new weights; leave out --start-from")
    print(find_learning_rate(new_engine(definition, config, task)))
    return SUCCESS


def _check_alone(given: dict[str, Any]) -> None:
    """Raises `UsageError` where --resume stands beside what the run has settled."""
    given = {name: value for name, value in given.items() if name not in BESIDE_RESUME}
    given |= _flat(given.pop("recipe"))
    others = [name for name, value in given.items() if value is not None]
    words = [f"--{name.replace('_', '-').replace('run-path', 'run')}" for name in others]
    if words:
        raise UsageError(
            f"--resume goes on with the run's own settings; leave out {', '.join(words)}"
        )


def _flat(recipe: dict[str, Any]) -> dict[str, Any]:
    return {("recipe" if name == "name" else name): value for name, value in recipe.items()}
