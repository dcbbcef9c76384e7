"""Modules that have moved: their former places lead to the new ones, with a warning.

Who writes `from rondo.tasks.video import read_frames` gets it from `rondo.data.video`, and a
`DeprecationWarning` that names the new place. The table is for one version and goes with the next.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED = {
    "predictor": "tasks.photo.answers",
    "tasks.action_augmentation": "tasks.actions.augment",
    "tasks.action_files": "tasks.actions.files",
    "tasks.action_set": "tasks.actions.clips",
    "tasks.adding": "tasks.memory.adding",
    "tasks.augmentation": "data.augment",
    "tasks.caption_files": "tasks.captions.files",
    "tasks.copying": "tasks.memory.copying",
    "tasks.corruptions": "measures.corruptions",
    "tasks.drawn": "tasks.photo.drawn",
    "tasks.drawn_scenes": "tasks.segmentation.drawn",
    "tasks.drawn_shapes": "tasks.captions.drawn",
    "tasks.drawn_words": "tasks.text.drawn",
    "tasks.face_archives": "tasks.photo.archives",
    "tasks.face_layouts": "tasks.photo.layouts",
    "tasks.face_lists": "tasks.photo.lists",
    "tasks.faces": "tasks.photo.files",
    "tasks.files": "data.files",
    "tasks.kth": "tasks.actions.kth",
    "tasks.label_maps": "tasks.segmentation.label_maps",
    "tasks.label_tables": "data.label_tables",
    "tasks.lost_frames": "data.lost_frames",
    "tasks.matlab": "data.matlab",
    "tasks.parity": "tasks.memory.parity",
    "tasks.photo_files": "data.pictures",
    "tasks.photo_networks": "tasks.photo.networks",
    "tasks.picture_features": "tasks.captions.features",
    "tasks.portrait_shapes": "tasks.photo.portrait_shapes",
    "tasks.reber": "tasks.memory.reber",
    "tasks.scenes": "tasks.segmentation.scenes",
    "tasks.seeds": "data.seeds",
    "tasks.segmentation_augmentation": "tasks.segmentation.augment",
    "tasks.segmentation_files": "tasks.segmentation.files",
    "tasks.sequence_tasks": "tasks.registry",
    "tasks.skipped": "data.skipped",
    "tasks.sources": "data.sources",
    "tasks.splits": "data.splits",
    "tasks.stick_figures": "tasks.actions.drawn",
    "tasks.temporal_order": "tasks.memory.temporal_order",
    "tasks.turns": "data.turns",
    "tasks.video": "data.video",
    "tasks.video_clock": "data.video_clock",
    "tasks.vocabulary": "tasks.captions.vocabulary",
    "tasks.word_distortions": "tasks.text.distort",
    "tasks.word_pictures": "tasks.text.words",
    "training.abstention": "measures.abstention",
    "training.batches": "data.order",
    "training.buckets": "data.buckets",
    "training.calibration": "measures.calibration",
    "training.columns": "system.columns",
    "training.flow": "looks.flow",
    "training.flow_picture": "looks.flow_picture",
    "training.model_card": "tasks.photo.report.card",
    "training.plots": "report.plots",
    "training.report": "tasks.photo.report.build",
    "training.report_input": "tasks.photo.report.input",
    "training.report_looks": "tasks.photo.report.looks",
    "training.report_page": "report.page",
    "training.report_trust": "tasks.photo.report.trust",
    "training.run_error": "errors",
    "training.saliency": "looks.saliency",
    "training.shares": "measures.intervals",
    "training.sweeps": "looks.sweeps",
    "training.tables": "tasks.photo.report.tables",
    "training.time_plot": "tasks.photo.time_plot",
    "training.trust_plots": "tasks.photo.report.trust_plots",
    "training.uses": "tasks.photo.report.uses",
}
"""The former place of each module and its new one, within `rondo`."""


class FormerPlaces(MetaPathFinder, Loader):
    """Finds a module at its former place."""

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns where a module is that has moved; None for any other."""
        package, _, place = name.partition(".")
        return ModuleSpec(name, self) if package == "rondo" and place in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Returns the module at its new place."""
        new = f"rondo.{MOVED[spec.name.partition('.')[2]]}"
        warnings.warn(f"{spec.name} is {new} now", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        self.kept = module.__spec__, module.__loader__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Gives the module back what says where it is; it has run already."""
        module.__spec__, module.__loader__ = self.kept


def attributes_of(module: str) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package that was a module: it gives what the module gave.

    Args:
        module: Where that is now, within the package.
    """
    package = module.rpartition(".")[0]

    def attribute(name: str) -> Any:
        is_part = importlib.util.find_spec(f"{package}.{name}") is not None
        if name.startswith("_") or is_part or not hasattr(importlib.import_module(module), name):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        warnings.warn(f"{package}.{name} is {module}.{name} now", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(module), name)

    return attribute


def find_former_places() -> None:
    """Has modules found at their former places."""
    if not any(isinstance(finder, FormerPlaces) for finder in sys.meta_path):
        sys.meta_path.append(FormerPlaces())
