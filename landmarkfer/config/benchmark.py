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

FIGURE = r"^[^.]+\.\w+$"
PROTOCOL = (
    *("test.accuracy", "test_detected.accuracy", "public.accuracy", "private.accuracy", "clean.accuracy"),
    *("test.macro_f1", "test.ece", "test.lowest_recall", "run.train_seconds", "run.parameters"),
)
COLUMNS = (*PROTOCOL, "run.macs", "run.latency_ms")
"""What a table shows unless the recipe says otherwise."""


class RowSettings(BaseModel):
    """A row: a training recipe with what is set otherwise, weights, the average of other rows, or retired."""

    model_config = FROZEN
    name: str = Field(pattern=r"^[\w .,+()-]+$", description="of the row, unique in the benchmark")
    recipe: str | None = Field(None, description="training recipe, relative to this file")
    base: str | None = Field(
        None, description="another row, whose recipe and settings this one shares; its own `set` goes on top"
    )
    set: Mapping[str, Any] = Field(
        {},
        description="settings by dotted key; in a text {seed} is replaced by the seed, and {next} by the one "
        "after it in the recipe (after the last, the first)",
    )
    run: str | None = Field(
        None,
        pattern=r"^[\w.-]*\{seed\}[\w.-]*$",
        description="names of its runs, so that benchmarks share them; <runs>-<row>-s{seed} if unset",
    )
    weights: str | None = Field(
        None,
        description="folder of a finished run, relative to this file, which is applied and never trained; "
        "{seed} is replaced by the seed",
    )
    optional: bool = Field(False, description="whether it is trained only if named with --only")
    average: Sequence[str] = Field([], description="rows whose probabilities are averaged, seed by seed")
    over_seeds: bool = Field(
        False,
        description="whether an average is one ensemble of the runs of all seeds of the benchmark, listed as "
        "of its first seed; made when all of them are there",
    )
    retired: str | None = Field(
        None, description="why it can no longer be trained; its figures are those that the CSV has"
    )

    @property
    def trained(self) -> bool:
        """Whether runs of it are trained."""
        return self.has_runs and self.weights is None

    @property
    def has_runs(self) -> bool:
        """Whether runs belong to it, trained here or given by their weights."""
        return not self.average and self.retired is None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        of_training = self.recipe or self.base or self.set or self.run or self.optional
        kinds = bool(self.average), self.retired is not None, self.weights is not None, bool(of_training)
        if sum(kinds) > 1:
            raise ValueError(
                f"row '{self.name}' is either trained (recipe, base, set, run, optional), given by its "
                "weights, an average of rows, or retired"
            )
        if self.over_seeds and not self.average:
            raise ValueError(f"row '{self.name}' states over_seeds, which is for averages")
        return self


class PublishedSettings(BaseModel):
    """A row of figures that others reported."""

    model_config = FROZEN
    name: str
    source: str
    values: Mapping[str, float] = Field(description="fractions by <subset>.<metric>, such as test.accuracy")
    model: str = ""
    graph: str = ""
    beside: str | None = Field(None, description="the row under which it stands; the end if unset")


class ContrastSettings(BaseModel):
    """What one choice contributes: the mean over seeds of a figure of `row` minus that of `against`."""

    model_config = FROZEN
    choice: str
    row: str
    against: str
    figure: str = Field("test.accuracy", pattern=FIGURE, description="<subset>.<metric>")


class PairSettings(BaseModel):
    """Two rows that are compared by expression, confusion and face, as `landmarkfer compare` does.

    On other data, their accuracy is compared by a paired test.
    """

    model_config = FROZEN
    first: str
    second: str


class MeasuredSettings(BaseModel):
    """How the figures were measured that the CSV has, but of which no predictions are stored."""

    model_config = FROZEN
    date: str | None = Field(None, pattern=r"^\d{4}-\d\d-\d\d$")
    versions: Mapping[str, str] = Field({}, description="of the packages")


class BenchmarkSettings(BaseModel):
    """The whole recipe."""

    model_config = FROZEN
    title: str
    introduction: str = ""
    notes: str = Field("", description="Markdown after the tables")
    commands: Sequence[str] = Field([], description="shell lines that come before the benchmark")
    machine: str = Field("", description="what the times were measured on")
    measured: MeasuredSettings = MeasuredSettings()
    seeds: Sequence[int] = Field([0, 1, 2], min_length=1)
    runs: str | None = Field(
        None, pattern=r"^[\w.-]+$", description="prefix of the names of runs; the name of the recipe if unset"
    )
    baseline: str | None = Field(
        None, description="row that the others are tested against; without it there are no tests"
    )
    other_data: Mapping[str, str] = Field(
        {},
        description="further caches by name, on whose test images every row is evaluated too; of a row that "
        "was trained on such a cache, they are its own test images",
    )
    columns: Sequence[str] = Field(
        COLUMNS, min_length=1, description="figures of the table, as <subset>.<metric>"
    )
    rows: Sequence[RowSettings] = Field(min_length=1)
    contrasts: Sequence[ContrastSettings] = []
    pairs: Sequence[PairSettings] = []
    published: Sequence[PublishedSettings] = []

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [row.name for row in self.rows]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"there are two rows '{min(twice)}'")
        trained = {row.name for row in self.rows if row.trained}
        with_runs = {row.name for row in self.rows if row.has_runs}
        earlier: set[str] = set()
        for row in self.rows:
            for part in row.average:
                if part not in with_runs:
                    raise ValueError(f"row '{row.name}' averages '{part}', which is no trained row")
            if row.base is not None and row.base not in earlier & trained:
                raise ValueError(
                    f"row '{row.name}' has the base '{row.base}', which is no trained row above it"
                )
            earlier.add(row.name)
        named: list[tuple[str, str | None]] = [("baseline", self.baseline)]
        named += [("beside", one.beside) for one in self.published]
        named += [("a row of a contrast", name) for one in self.contrasts for name in (one.row, one.against)]
        named += [("a row of a pair", name) for pair in self.pairs for name in (pair.first, pair.second)]
        for what, name in named:
            if name is not None and name not in names:
                raise ValueError(f"{what} is '{name}', and the rows are {', '.join(names)}")
        for figure in self.columns:
            if not re.match(FIGURE, figure):
                raise ValueError(f"the column '{figure}' is no <subset>.<metric>, such as test.accuracy")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds must be different numbers, none below 0")
        return self

    def row(self, name: str) -> RowSettings:
        """The row of a name."""
        return next(row for row in self.rows if row.name == name)


def read_benchmark(recipe: Path) -> BenchmarkSettings:
    """The recipe of a benchmark.

    Raises:
        SettingsError: The file cannot be read, or a key or value is wrong; the message names it.
    """
    content = read_recipe(recipe)
    if "rows" not in content and content.keys() & {*TrainSettings.model_fields, "tune"}:
        raise SettingsError(
            f"{recipe} is the recipe of a training (it has no rows), not of a benchmark; "
            f"train with it: `landmarkfer train --recipe {recipe}`."
        )
    try:
        return BenchmarkSettings.model_validate(content)
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
    training_recipe, changes = _inherited(settings, row)
    overrides = {
        key: value.replace("{seed}", str(seed)).replace("{next}", str(following))
        if isinstance(value, str)
        else value
        for key, value in changes.items()
    }
    own = {"seed": seed, "name": run_name(recipe, settings, row, seed)}
    path = recipe.parent / training_recipe if training_recipe else None
    return load_settings(path, overrides | own)


def _inherited(settings: BenchmarkSettings, row: RowSettings) -> tuple[str | None, Mapping[str, Any]]:
    """The training recipe of a row and what it sets, those of its base included."""
    if row.base is None:
        return row.recipe, row.set
    recipe, changes = _inherited(settings, settings.row(row.base))
    return row.recipe or recipe, {**changes, **row.set}


def run_name(recipe: Path, settings: BenchmarkSettings, row: RowSettings, seed: int) -> str:
    """The folder of a run: `<runs>-<row>-s<seed>`, unless the row says otherwise."""
    if row.run is not None:
        return row.run.replace("{seed}", str(seed))
    return f"{settings.runs or recipe.stem}-{plain_name(row.name)}-s{seed}"


def weights_folder(recipe: Path, row: RowSettings, seed: int) -> Path | None:
    """The folder of a run that is given by its weights; None where the row is trained."""
    return None if row.weights is None else recipe.parent / row.weights.replace("{seed}", str(seed))


def plain_name(name: str) -> str:
    """The name of a row as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-")
