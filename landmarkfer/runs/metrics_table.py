"""The table of a run's epochs, `metrics.csv`, and which of them is the best."""

from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = [
    *("epoch", "step", "lr", "train_loss", "train_accuracy", "train_balanced_accuracy", "train_macro_f1"),
    *("val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "seconds"),
]


FOCUS = "focus"


def read_epochs(path: Path) -> pd.DataFrame:
    """The table of epochs, one row each; empty if there is none yet.

    Raises:
        ValueError: The file is damaged, or a row has no epoch.
    """
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    table = pd.read_csv(path)
    if "epoch" not in table or pd.to_numeric(table["epoch"], errors="coerce").isna().any():
        raise ValueError(f"{path.name} has a row without an epoch")
    return table


def finite_figures(epochs: pd.DataFrame) -> pd.DataFrame:
    """The table by epoch as numbers, with NaN for all that is no finite number."""
    numbers = epochs.apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf], np.nan)
    return numbers.sort_values("epoch", kind="stable", ignore_index=True)


def lower_is_better(monitor: str) -> bool:
    """Whether the best epoch is the one of the lowest figure: of losses, and not of scores."""
    return monitor.startswith("val_loss")


def best_epoch(epochs: pd.DataFrame, monitor: str) -> pd.Series | None:
    """The epoch whose weights a run stores: the first of the lowest loss, or of the highest other figure.

    Args:
        epochs: See `read_epochs`.
        monitor: The column that decides.

    Returns:
        The row as numbers; None if no epoch has a finite value.
    """
    numbers = finite_figures(epochs)
    if monitor not in numbers or numbers[monitor].isna().all():
        return None
    values = numbers[monitor]
    best = values.min() if lower_is_better(monitor) else values.max()
    return numbers[values == best].iloc[0]
