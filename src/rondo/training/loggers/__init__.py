"""Where the records of a run go beside `metrics.jsonl`, for those who asked for it with `--log`.

In go the names of loggers and a run folder, out comes one object that is given every record.
`metrics.jsonl` and the report hold all figures without any of this, so a run has no logger until
somebody asks: to import one takes up to seconds, and what a run leaves does not depend on what else
is installed. `loggers.json` in the run folder keeps the names, so that a run that goes on has the
same ones, and how far each has got. A logger that fails is told of once and left out; the training
goes on.
"""

from rondo.training.loggers.choice import LOGGERS, check_names, make_logger
from rondo.training.loggers.logger import Logger

__all__ = [
    "LOGGERS",
    "Logger",
    "check_names",
    "make_logger",
]
