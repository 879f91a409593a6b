"""The table of a run's epochs, `metrics.csv`."""

from pathlib import Path

import pandas as pd

COLUMNS = [
    *("epoch", "step", "lr", "train_loss", "train_accuracy", "train_balanced_accuracy", "train_macro_f1"),
    *("val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "seconds"),
]


FOCUS = "focus"


def read_epochs(path: Path) -> pd.DataFrame:
    """The table of epochs, empty if there is none yet."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)
