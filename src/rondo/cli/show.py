"""`rondo show`: a cell as a graph, unrolled, planned or compiled, as text or as a picture."""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondo.cli.manual import UsageError
from rondo.system.files import write_text

if TYPE_CHECKING:
    import rondo
    from rondo.training import GradientFlow

TEXT_ENDINGS = {"source": (".c", ".txt"), "unrolled": (".py", ".txt")}
"""The endings of files of text, by stage; of the other stages `.txt` alone."""

PLOT_ENDINGS = (".svg", ".pdf", ".png")
"""The endings of pictures of the stage gradient, which are plots."""

STAGES = ("graph", "unrolled", "plan", "backward", "source", "gradient")
NUM_STEPS = {"unrolled": 3, "gradient": 60}
BATCH_SIZE = 16  # sequences of noise, of which a gradient is measured
DESCRIPTION = """\
Show what becomes of a cell: the graph of its step with the loops, the graph unrolled in time, the
plan (what must run step by step and what need not), the plan of the backward pass, the source of
its kernel, or how far the gradient of its last output reaches back in time before it has learned
anything, with its gates. Without --output it is printed as text. A layer of several loops, such as
torch.nn.LSTM, is drawn, as graph or unrolled.

examples:
  rondo show lstm                                           the graph, as text
  rondo show gru --stage plan --output plan.svg             the plan in four colours
  rondo show lstm --stage unrolled --steps 4 -o lstm.svg    time runs to the right
  rondo show cells.py:MyCell --stage source                 the kernel of a cell of your own
  rondo show lstm --stage gradient --output flow.svg        the norms over time, and the gates
"""


def add_show(commands: Any) -> None:
    """Add the command to the parser of all commands."""
    parser = commands.add_parser(
        "show", help="show or draw a cell: its graph, plan or kernel", description=DESCRIPTION
    )
    add = parser.add_argument
    add("CELL", help="elman, gru, lstm or another name of rondo.cells.named, or FILE.py:NAME, a "
        "cell, the class of one or a layer")  # fmt: skip
    add("--stage", choices=STAGES, default="graph", metavar="STAGE",
        help=f"{', '.join(STAGES)} (default: graph)")  # fmt: skip
    add("--output", "-o", type=Path, metavar="FILE",
        help="write a picture (.svg, .dot, .gv, .mmd; of the stage gradient .svg, .pdf, .png) or "
        "text (.txt or no ending; .py of the stage unrolled, .c of source) (default: "
        "print text)")  # fmt: skip
    add("--input-size", type=int, metavar="N", help="width of the input (default: 3)")
    add("--hidden-size", type=int, metavar="N",
        help="width of the state (default: 4; 32 of the stage gradient)")  # fmt: skip
    add("--steps", type=int, metavar="N",
        help="steps of the stages unrolled (default: 3) and gradient (default: 60)")  # fmt: skip
    parser.set_defaults(run=show, parser=parser)


def show(arguments: argparse.Namespace) -> int:
    """Show a cell."""
    if arguments.steps is not None and arguments.stage not in NUM_STEPS:
        raise UsageError(
            f"--steps goes with --stage unrolled or gradient; the stage is {arguments.stage}"
        )
    if arguments.output is not None:
        _check_ending(arguments.output, arguments.stage)
    if arguments.stage == "gradient":
        return _show_gradient(arguments)
    layer = _layer(arguments)
    try:
        text = _rendered(layer, arguments.stage, _num_steps(arguments), arguments.output)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"cannot show {arguments.CELL}: {_first_line(error)}") from error
    if arguments.output is None:
        print(text)
        return 0
    try:
        write_text(arguments.output, text)
    except OSError as error:
        raise UsageError(f"cannot write {arguments.output}: {error.strerror}") from error
    print(f"wrote {arguments.output}", file=sys.stderr)
    return 0


def _show_gradient(arguments: argparse.Namespace) -> int:
    """Show how far the gradient reaches back in a cell as it starts; the same at every call."""
    import torch

    torch.manual_seed(0)
    layer = _layer(arguments)
    try:
        flow = _flow(layer, _num_steps(arguments))
    except (ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"cannot show {arguments.CELL}: {_first_line(error)}") from error
    output = arguments.output
    if output is None:
        print(flow)
        return 0
    try:
        if output.suffix.lower() in PLOT_ENDINGS:
            flow.draw(output)
        else:
            write_text(output, f"{flow}\n")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
    print(f"wrote {output}", file=sys.stderr)
    return 0


def _flow(layer: rondo.Recurrent, num_steps: int) -> GradientFlow:
    """The flow of a gradient on noise."""
    import torch

    from rondo.drawing import check_num_steps
    from rondo.training import gradient_flow

    check_num_steps(num_steps)
    like = next(layer.cell.parameters(), torch.zeros(()))
    shape = (BATCH_SIZE, num_steps) if layer.batch_first else (num_steps, BATCH_SIZE)
    size: Any = layer.cell.input_size
    return gradient_flow(layer, torch.randn(*shape, size, dtype=like.dtype))


def _num_steps(arguments: argparse.Namespace) -> int:
    steps: int | None = arguments.steps
    return NUM_STEPS.get(arguments.stage, 1) if steps is None else steps


def _check_ending(path: Path, stage: str) -> None:
    """Raises `UsageError` where the ending of a file promises something else than is written."""
    from rondo.drawing import FORMS

    ending = path.suffix.lower()
    pictures = {"gradient": PLOT_ENDINGS, "source": ()}.get(stage, tuple(FORMS))
    texts = TEXT_ENDINGS.get(stage, (".txt",))
    if ending and ending not in (*pictures, *texts):
        drawn = f"a picture ends in {', '.join(pictures)}" if pictures else "it is not drawn"
        raise UsageError(
            f"the stage {stage} cannot be written as {path.name}: {drawn}; text ends in "
            f"{', '.join(texts)} or has no ending"
        )


def _is_picture(path: Path) -> bool:
    from rondo.drawing import FORMS

    return path.suffix.lower() in FORMS


def _rendered(layer: Any, stage: str, steps: int, output: Path | None) -> str:
    """What is to be shown, as the text of a picture or as plain text."""
    import rondo
    from rondo.drawing import FORMS

    draw: dict[str, Callable[[], Any]] = {
        "graph": lambda: rondo.draw(layer),
        "unrolled": lambda: rondo.draw(layer, steps=steps),
        "plan": lambda: layer.plan.draw(),
        "backward": lambda: layer.backward_plan.draw(),
    }
    write: dict[str, Callable[[], str]] = {
        "graph": lambda: str(layer.graph),
        "unrolled": lambda: layer.unroll(steps).code.strip(),
        "plan": lambda: str(layer.plan),
        "backward": lambda: str(layer.backward_plan),
        "source": lambda: layer.source,
    }
    if output is not None and _is_picture(output):
        return FORMS[output.suffix.lower()](draw[stage]())
    return write[stage]()


# ---- the cell ----


def _layer(arguments: argparse.Namespace) -> Any:
    """The layer that runs a cell, or a layer that is drawn as it is."""
    import rondo

    input_size = 3 if arguments.input_size is None else arguments.input_size
    default_size = 32 if arguments.stage == "gradient" else 4
    hidden_size = default_size if arguments.hidden_size is None else arguments.hidden_size
    cell, takes_sizes = _cell(arguments.CELL, input_size, hidden_size)
    if not takes_sizes and (arguments.input_size or arguments.hidden_size) is not None:
        raise UsageError(
            f"{arguments.CELL} has sizes of its own; leave out --input-size and --hidden-size"
        )
    if isinstance(cell, rondo.Recurrent):
        return cell
    if _has_several_loops(cell):
        _check_drawn_layer(arguments)
        return cell
    try:
        engine = "auto" if arguments.stage == "source" else "reference"
        layer = rondo.Recurrent(cell, engine=engine)
    except TypeError as error:
        raise UsageError(f"{arguments.CELL} is no cell: {error}") from error
    if not hasattr(cell, "input_size"):
        cell.input_size = input_size
    return layer


def _has_several_loops(thing: Any) -> bool:
    import torch

    from rondo.layers.undrawable import LAYERS

    return isinstance(thing, (*LAYERS, torch.nn.Sequential))


def _check_drawn_layer(arguments: argparse.Namespace) -> None:
    output: Path | None = arguments.output
    if arguments.stage not in ("graph", "unrolled") or output is None or not _is_picture(output):
        raise UsageError(
            f"{arguments.CELL} is a layer of several loops, which is drawn alone; write --stage "
            "graph or unrolled, and --output with a file that ends in .svg, .dot, .gv or .mmd"
        )


def _cell(word: str, input_size: int, hidden_size: int) -> tuple[Any, bool]:
    """The cell that a word names, and whether it was given the sizes."""
    from rondo.cells.named import NAMED_CELLS, named_cell

    file, colon, name = word.rpartition(":")
    if not colon:
        try:
            make = NAMED_CELLS[named_cell(word)]
        except KeyError:
            raise UsageError(
                f"there is no cell {word!r}; {_suggestion(word, NAMED_CELLS)}; a cell of your own "
                "is FILE.py:NAME"
            ) from None
        return _made(make, word, input_size, hidden_size)
    names = vars(_module(Path(file)))
    if name not in names:
        raise UsageError(f"{file} has no {name!r}; {_suggestion(name, _cells_in(names))}")
    return _made(names[name], word, input_size, hidden_size)


def _made(thing: Any, word: str, input_size: int, hidden_size: int) -> tuple[Any, bool]:
    """A cell as it is, or one made by its class or by a function."""
    import torch

    if isinstance(thing, torch.nn.Module):
        return thing, False
    if not callable(thing):
        raise UsageError(f"{word} is of type {type(thing).__name__}, not a cell or its class")
    parameters = inspect.signature(thing).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_sizes = len(positional) >= 2
    sizes = (input_size, hidden_size) if takes_sizes else ()
    try:
        return thing(*sizes), takes_sizes
    except Exception as error:
        call = f"{word.rpartition(':')[2]}({', '.join(map(str, sizes))})"
        raise UsageError(f"{call} fails: {type(error).__name__}: {_first_line(error)}") from error


def _module(path: Path) -> Any:
    """The Python file that a word names, as a module."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}; write FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file; write FILE.py:NAME")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = error.lineno if isinstance(error, SyntaxError) else _line_in(error, path)
        where = f"line {line}: " if line else ""
        raise UsageError(
            f"{path} cannot be run: {where}{type(error).__name__}: {_first_line(error)}"
        ) from error
    finally:
        sys.path.pop(0)
    return module


def _line_in(error: Exception, path: Path) -> int | None:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).name == path.name]
    return lines[-1] if lines else None


def _cells_in(names: dict[str, Any]) -> list[str]:
    import torch

    return [
        name
        for name, thing in names.items()
        if isinstance(thing, torch.nn.Module)
        or (isinstance(thing, type) and issubclass(thing, torch.nn.Module))
    ]


def _suggestion(word: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(word, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are: {', '.join(names)}" if names else "it holds no cell"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
