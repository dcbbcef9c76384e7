"""Recipes: their checks, and the fields that are given another value by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rondo.data.augment import Augmentation
from rondo.errors import RunError
from rondo.tasks.photo.definition import RECIPES, UNUSED
from rondo.training.recipe import Recipe
from rondo.training.recipe_changes import changed_recipe


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("recipe.learning_rate=1e-3", "learning_rate", 1e-3),
        (" learning_rate = 2 ", "learning_rate", 2.0),
        ("recipe.patience=none", "patience", None),
        ("recipe.patience=3", "patience", 3),
        ("recipe.nesterov=True", "nesterov", True),
        ("recipe.num_shards=4", "num_shards", 4),
        ("recipe.window_size=50", "window_size", 50),
        ("recipe.class_weights=balanced", "class_weights", "balanced"),
        ("recipe.keep=best", "keep", "best"),
        ("recipe.warm_up_share=0.1", "warm_up_share", 0.1),
        ("recipe.warm_up_share=none", "warm_up_share", None),
        ("recipe.schedule=cosine", "schedule", "cosine"),
        ("recipe.image_sizes=((0.5, 0.5), (0.5, 1))", "image_sizes", ((0.5, 0.5), (0.5, 1))),
    ],
)
def test_a_field_gets_another_value(text: str, name: str, value: Any) -> None:
    changed = changed_recipe(Recipe(), [text], ())
    assert changed == replace(Recipe(), **{name: value})
    assert type(getattr(changed, name)) is type(value)


def test_the_last_value_counts_and_fields_lie_within_others() -> None:
    recipe = replace(Recipe(), augmentation=Augmentation())
    texts = ["augmentation.mirror_share=1", "recipe.augmentation.mirror_share=0.25"]
    strength = changed_recipe(recipe, texts, ()).augmentation
    assert strength == replace(Augmentation(), mirror_share=0.25)
    assert changed_recipe(recipe, ["augmentation=none"], ()).augmentation is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate", "takes NAME=VALUE, such as .* but is 'learning_rate'"),
        ("recipe.wieght_decay=1", "no recipe.wieght_decay; did you mean 'weight_decay'"),
        ("momentum=much", "recipe.momentum must be a number, but is 'much'"),
        ("batch_size=2.5", "recipe.batch_size must be a whole number, but is '2.5'"),
        ("nesterov=1", "recipe.nesterov must be true or false, but is '1'"),
        ("max_grad_norm=x", "recipe.max_grad_norm must be a number or none, but is 'x'"),
        ("momentum.x=1", "recipe.momentum is 0.9 and has no x"),
        ("augmentation=strong", "must be changed field by field or none, but is 'strong'"),
        (
            "image_sizes=((1, 2, 3),)",
            "image_sizes must be pairs of numbers, such as .*, but is",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        changed_recipe(Recipe(), [text], ())


def test_a_field_that_the_task_does_not_use_is_refused() -> None:
    with pytest.raises(RunError, match=r"this task does not use recipe\.cell; leave it out"):
        changed_recipe(RECIPES["drawn"], ["recipe.cell=gru"], UNUSED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adm"}, "no optimizer 'adm'; did you mean 'adam'"),
        ({"schedule": "cosin"}, "no schedule 'cosin'; did you mean 'cosine'"),
        ({"averaging_decay": 1.0}, "the averaging decay must be at least 0 and below 1, but is 1"),
        ({"momentum": -0.1}, "the momentum must be at least 0 and below 1, but is -0.1"),
        ({"weight_decay": -1.0}, "the weight decay must be 0 or more, but is -1"),
        ({"warm_up_share": 1.0}, "the warm up share must be at least 0 and below 1, but is 1"),
        ({"num_shards": 3}, "the number of shards must be a power of two, but is 3; try 2"),
        ({"num_shards": 0}, "the number of shards must be a power of two, but is 0; try 1"),
        ({"num_shards": 64}, "must be at most the batch size, 32, but is 64"),
        (
            {"nesterov": True, "optimizer": "sgd", "momentum": 0.0},
            "nesterov needs a momentum above 0, but the momentum is 0",
        ),
        ({"window_size": 0}, "the window size must be 1 or more, but is 0"),
        ({"class_weights": "even"}, "no way of class_weights 'even'; there are: balanced, none"),
        ({"keep": "lst"}, "no kind of weights to keep 'lst'; did you mean 'last'"),
        ({"mirror": 1.5}, "the mirror must be from 0 to 1, but is 1.5"),
        ({"num_epochs": 0}, "the number of epochs must be 1 or more, but is 0"),
        ({"check_every": 0}, "between checks must be 1 or more, but is 0"),
    ],
)
def test_recipes_that_cannot_be_used_are_refused(changes: dict[str, Any], message: str) -> None:
    Recipe().check()
    with pytest.raises(RunError, match=message):
        replace(Recipe(), **changes).check()


def test_a_budget_in_epochs_is_checked_after_each() -> None:
    recipe = replace(Recipe(), num_epochs=3)
    assert (recipe.budget(10), recipe.interval(10)) == (30, 10)
    assert (recipe.budget(None), recipe.interval(None)) == (200_000, 2_000)
    assert (Recipe().budget(10), Recipe().interval(10)) == (200_000, 2_000)
