from pathlib import Path

import pytest
import rich_click as click

from landmarkfer.cli.train_options import next_commands, split_shares
from landmarkfer.runs.folder import RunFolder


@pytest.mark.parametrize("text", ["70/10/20", "7/1/2", "0.7/0.1/0.2"])
def test_shares_in_percent_tenths_or_fractions(text):
    assert split_shares(None, None, text) == pytest.approx(
        {"data.official": False, "split.test": 0.2, "split.validation": 0.125}
    )


@pytest.mark.parametrize("text", ["40/20/41", "3/1/1", "70/30", "70/30/0", "a/b/c"])
def test_shares_that_are_no_split(text):
    with pytest.raises(click.BadParameter):
        split_shares(None, None, text)


def runs(*names):
    return [RunFolder(Path("experiments/runs") / name) for name in names]


def test_runs_are_evaluated_and_folds_also_as_one():
    assert next_commands(runs("a", "b"), 0, 2) == ["landmarkfer evaluate a b"]
    assert next_commands(runs("m-s0-fold1of2", "m-s0-fold2of2", "m-s1-fold1of2", "m-s1-fold2of2"), 2, 2) == [
        "landmarkfer evaluate m-s0-fold1of2 m-s0-fold2of2 m-s1-fold1of2 m-s1-fold2of2",
        "landmarkfer evaluate m-s0-fold1of2 m-s0-fold2of2 --out-of-fold --out experiments/runs/m-s0-folds",
        "landmarkfer evaluate m-s1-fold1of2 m-s1-fold2of2 --out-of-fold --out experiments/runs/m-s1-folds",
    ]
