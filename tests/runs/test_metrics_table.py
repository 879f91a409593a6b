import numpy as np
import pandas as pd
import pytest

from landmarkfer.runs.metrics_table import COLUMNS, best_epoch, finite_figures, read_epochs

TABLE = """epoch,val_loss,val_accuracy,focus
2,0.4,0.6,sad
1,0.9,0.8,happy
3,0.4,0.8,sad
4,nan,inf,happy
"""


@pytest.fixture
def epochs(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(TABLE)
    return read_epochs(path)


@pytest.mark.parametrize(("monitor", "best"), [("val_loss", 2), ("val_accuracy", 1)])
def test_the_best_epoch_is_the_first_of_the_lowest_loss_or_the_highest_figure(epochs, monitor, best):
    assert best_epoch(epochs, monitor)["epoch"] == best


def test_there_is_no_best_epoch_without_a_finite_figure(epochs):
    assert best_epoch(epochs, "val_macro_f1") is None
    assert best_epoch(epochs.iloc[3:], "val_loss") is None
    assert best_epoch(pd.DataFrame(columns=COLUMNS), "val_loss") is None


def test_figures_are_numbers_by_epoch(epochs):
    numbers = finite_figures(epochs)
    assert numbers["epoch"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(numbers["val_accuracy"], [0.8, 0.6, 0.8, np.nan])
    assert numbers["focus"].isna().all()
    assert epochs["focus"].tolist() == ["sad", "happy", "sad", "happy"], "the table itself is as stored"


def test_a_table_that_is_missing_or_damaged(tmp_path):
    path = tmp_path / "metrics.csv"
    assert list(read_epochs(path).columns) == COLUMNS
    for content in (
        b"val_loss\n0.5\n",
        b"epoch,val_loss\n1,0.5\nx,0.4\n",
        b"",
        b"\x89PNG\r\n\x1a\n\x00,1\n2\n",
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError):
            read_epochs(path)
