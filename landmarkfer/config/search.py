"""The `[tune]` table of a recipe: what `landmarkfer tune` searches, and where."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from landmarkfer.config.data import FROZEN
from landmarkfer.config.recipes import explain, read_recipe
from landmarkfer.errors import SettingsError


class Range(BaseModel):
    """Numbers from `low` to `high`, whole ones if both are written so."""

    model_config = FROZEN
    low: int | float
    high: int | float
    log: bool = Field(False, description="drawn evenly in the logarithm")
    step: int | float | None = Field(None, gt=0, description="only low, low + step, ...")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a logarithmic range begins above 0 and has no step")
        return self


class SearchSettings(BaseModel):
    """The `[tune]` table of a recipe: which settings are searched, and where."""

    model_config = FROZEN
    trials: int = Field(30, ge=1, description="trainings, those of earlier calls included")
    seed: int = Field(0, ge=0, description="of the search; the training seed is the recipe's")
    prune: bool = Field(True, description="stop a training that is worse than the median at the same epoch")
    ranges: dict[str, Range | Sequence[Any]] = Field(
        min_length=1, description="by dotted key: a range, or a list of values to choose from"
    )

    @model_validator(mode="after")
    def _choices_differ(self) -> Self:
        for key, values in self.ranges.items():
            if not isinstance(values, Range) and len({json.dumps(value) for value in values}) < 2:
                raise ValueError(f"'{key}' needs at least two different values to choose from")
        return self


def read_search(recipe: Path) -> SearchSettings:
    """The `[tune]` table of a recipe.

    Raises:
        SettingsError: The file cannot be read, has no such table, or one that is wrong.
    """
    table = read_recipe(recipe).get("tune")
    if table is None:
        raise SettingsError(
            f"{recipe} has no table [tune.ranges]; write which settings to search, e.g. "
            '[tune.ranges] and below it "optimiser.lr" = {low = 1e-4, high = 1e-2, log = true}.'
        )
    try:
        return SearchSettings.model_validate(table)
    except ValidationError as error:
        raise SettingsError(explain(error, f"[tune] of {recipe}", SearchSettings)) from None
