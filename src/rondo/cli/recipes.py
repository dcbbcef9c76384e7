"""What the tasks on sequences take where an option is not given, for their help.

The tasks say it themselves (`rondo.tasks`), but to read them takes as long as to load torch, for
which help does not wait. A test holds that both say the same.
"""

from __future__ import annotations

COMMON: dict[str, object] = {
    "cell": "lstm",
    "hidden_size": 32,
    "num_layers": 1,
    "embedding_size": None,
    "batch_size": 32,
    "learning_rate": 0.005,
    "optimizer": "adam",
    "max_grad_norm": 1.0,
    "num_sequences": 200_000,
    "patience": None,
    "dropout": 0.0,
    "weight_noise": 0.0,
}
"""What holds where a task says nothing else."""

_OF_FEATURES = {"cell": "gru", "hidden_size": 64, "batch_size": 32, "learning_rate": 0.003,
                "dropout": 0.5}  # fmt: skip
_OF_WORDS = {"hidden_size": 128, "num_layers": 2, "learning_rate": 0.002, "max_grad_norm": 10.0,
             "dropout": 0.2}  # fmt: skip
_OF_SERIES = {"cell": "gru", "learning_rate": 0.002, "num_sequences": 12_000}

OWN: dict[str, dict[str, dict[str, object]]] = {
    "reber": {"": {"batch_size": 8, "num_sequences": 40_000}},
    "copy": {"": {"cell": "gru", "hidden_size": 64, "num_sequences": 100_000}},
    "parity": {"": {"hidden_size": 16, "learning_rate": 0.01, "num_sequences": 100_000}},
    "music": {
        "": {"cell": "gru", "hidden_size": 48, "batch_size": 8, "learning_rate": 0.003,
             "num_sequences": 45_800, "patience": 15}
    },
    "characters": {
        "": {"hidden_size": 128, "embedding_size": 64, "batch_size": 50, "learning_rate": 0.003,
             "num_sequences": 100_000, "patience": 3, "dropout": 0.1}
    },
    "digits-by-row": {
        "": {"cell": "gru", "hidden_size": 64, "batch_size": 64, "learning_rate": 0.003,
             "num_sequences": 120_000, "patience": 5}
    },
    "text": {
        "drawn": {**_OF_WORDS, "num_sequences": 48_000},
        "files": {**_OF_WORDS, "num_sequences": "100 epochs"},
    },
    "actions": {
        "drawn": {"cell": "gru", "batch_size": 16, "learning_rate": 0.01, "num_sequences": 3_840,
                  "dropout": 0.2},
        "poses": {**_OF_FEATURES, "num_sequences": 20_000},
        "signals": {**_OF_FEATURES, "num_sequences": 16_000},
        "video": {**_OF_FEATURES, "batch_size": 16, "learning_rate": 0.001,
                  "num_sequences": 20_000},
    },
    "segmentation": {
        "drawn": {"cell": "gru", "hidden_size": 24, "batch_size": 16, "max_grad_norm": 5.0,
                  "num_sequences": 4_000},
        "files": {"cell": "gru", "hidden_size": 100, "num_layers": 2, "batch_size": 8,
                  "learning_rate": 0.002, "max_grad_norm": 5.0, "num_sequences": 58_720,
                  "dropout": 0.2},
    },
    "captions": {
        "drawn": {"cell": "gru", "hidden_size": 96, "embedding_size": 48, "learning_rate": 0.003,
                  "max_grad_norm": 5.0, "num_sequences": 24_000},
        "files": {"cell": "gru", "hidden_size": 256, "embedding_size": 128, "batch_size": 64,
                  "learning_rate": 0.002, "max_grad_norm": 5.0, "num_sequences": 60_000,
                  "dropout": 0.5},
    },
    "series": {
        "classify": {**_OF_SERIES, "hidden_size": 64, "batch_size": 16, "dropout": 0.3},
        "regress": {**_OF_SERIES, "hidden_size": 64, "batch_size": 16, "dropout": 0.3},
        "forecast": {**_OF_SERIES, "patience": 6, "dropout": 0.1},
    },
}  # fmt: skip
"""What a task says, by the kind of its data where that matters."""


def default_of(task: str, option: str) -> str:
    """Returns what holds where an option is not given, for the end of its help.

    Example:
        >>> from rondo.cli.recipes import default_of
        >>> default_of("reber", "batch_size"), default_of("adding", "patience")
        ('(default: 8)', '(default: none)')
        >>> default_of("segmentation", "num_sequences")
        '(default: drawn 4000, files 58720)'
    """
    found = {
        kind: _words({**COMMON, **own}[option]) for kind, own in OWN.get(task, {"": {}}).items()
    }
    if len(set(found.values())) == 1:
        return f"(default: {next(iter(found.values()))})"
    return f"(default: {', '.join(f'{kind} {words}' for kind, words in found.items())})"


def _words(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
