"""The recipe of `landmarkfer benchmark`: which rows are compared, over which seeds, on which data."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from landmarkfer.config.data import FROZEN
from landmarkfer.config.recipes import explain, load_settings, read_recipe
from landmarkfer.config.train import TrainSettings
from landmarkfer.errors import SettingsError


class RowSettings(BaseModel):
    """A row: a training recipe with what is set otherwise, or the average of other rows."""

    model_config = FROZEN
    name: str = Field(pattern=r"^[\w .+()-]+$", description="without a comma, which separates names")
    recipe: str | None = Field(None, description="training recipe, relative to this file")
    set: Mapping[str, Any] = Field(
        {},
        description="settings by dotted key; in a text {seed} is replaced by the seed, and {next} by the one "
        "after it in the recipe (after the last, the first)",
    )
    run: str | None = Field(
        None,
        pattern=r"^[\w.-]*\{seed\}[\w.-]*$",
        description="names of its runs, so that benchmarks share them; <benchmark>-<row>-s{seed} if unset",
    )
    average: Sequence[str] = Field([], description="rows whose probabilities are averaged, seed by seed")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.average and (self.recipe is not None or self.set or self.run is not None):
            raise ValueError(f"row '{self.name}' is either trained (recipe, set, run) or an average of rows")
        return self


class PublishedSettings(BaseModel):
    """A row of somebody else's figures."""

    model_config = FROZEN
    name: str
    source: str
    values: Mapping[str, float] = Field(description="fractions by <subset>.<metric>, such as test.accuracy")
    beside: str | None = Field(None, description="the row under which it stands; the end if unset")


class PairSettings(BaseModel):
    """Two rows to be told apart: for which expressions, confusions and faces; see `differences`."""

    model_config = FROZEN
    first: str
    second: str


class BenchmarkSettings(BaseModel):
    """The whole recipe."""

    model_config = FROZEN
    title: str
    introduction: str = ""
    seeds: Sequence[int] = Field([0, 1, 2], min_length=1)
    baseline: str | None = Field(
        None, description="row that the others are tested against; the first if unset"
    )
    other_data: Mapping[str, str] = Field(
        {}, description="further caches by name, on whose test images every row is evaluated too"
    )
    rows: Sequence[RowSettings] = Field(min_length=1)
    pairs: Sequence[PairSettings] = []
    published: Sequence[PublishedSettings] = []

    @property
    def base(self) -> str:
        """The row that the others are tested against."""
        return self.baseline or self.rows[0].name

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [row.name for row in self.rows]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"there are two rows '{min(twice)}'")
        trained = {row.name for row in self.rows if not row.average}
        for row in self.rows:
            for part in row.average:
                if part not in trained:
                    raise ValueError(f"row '{row.name}' averages '{part}', which is no trained row")
        named: list[tuple[str, str | None]] = [("baseline", self.baseline)]
        named += [("beside", one.beside) for one in self.published]
        named += [("a row of a pair", name) for pair in self.pairs for name in (pair.first, pair.second)]
        for what, name in named:
            if name is not None and name not in names:
                raise ValueError(f"{what} is '{name}', and the rows are {', '.join(names)}")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds must be different numbers, none below 0")
        return self


def read_benchmark(recipe: Path) -> BenchmarkSettings:
    """The recipe of a benchmark.

    Raises:
        SettingsError: The file cannot be read, or a key or value is wrong; the message names it.
    """
    try:
        return BenchmarkSettings.model_validate(read_recipe(recipe))
    except ValidationError as error:
        raise SettingsError(explain(error, str(recipe), BenchmarkSettings)) from None


def row_settings(recipe: Path, settings: BenchmarkSettings, row: RowSettings, seed: int) -> TrainSettings:
    """What the run of a trained row and a seed is trained with.

    Args:
        recipe: The benchmark's file, which gives its runs their names.
        settings: What it holds.
        row: The row.
        seed: The training seed.

    Raises:
        SettingsError: The row's recipe cannot be read, or a setting is wrong.
    """
    order = list(settings.seeds)
    following = order[(order.index(seed) + 1) % len(order)] if seed in order else seed + 1
    overrides = {
        key: value.replace("{seed}", str(seed)).replace("{next}", str(following))
        if isinstance(value, str)
        else value
        for key, value in row.set.items()
    }
    own = {"seed": seed, "name": run_name(recipe, row, seed)}
    path = recipe.parent / row.recipe if row.recipe else None
    return load_settings(path, overrides | own)


def run_name(recipe: Path, row: RowSettings, seed: int) -> str:
    """The folder of a run: `<benchmark>-<row>-s<seed>`, unless the row says otherwise."""
    if row.run is not None:
        return row.run.replace("{seed}", str(seed))
    return f"{recipe.stem}-{plain_name(row.name)}-s{seed}"


def plain_name(name: str) -> str:
    """The name of a row as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-")
