"""The split column of a table, or of data that hold one."""

from collections.abc import Mapping, Sequence

from landmarkfer.data.labels import label_key
from landmarkfer.data.split_names import StatedSplit, TwoSplits, stated_split
from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.labels import MISSING


def read_splits(
    values: Sequence[str], given: Mapping[str, str | None], where: str, asked: bool
) -> tuple[list[StatedSplit | None], list[str]]:
    """What the values of a split column state.

    Args:
        values: The values.
        given: What the user says that they mean; None for no split.
        where: The column, for messages.
        asked: Whether the user named the column; otherwise one without any split's name is left alone.

    Returns:
        Splits, None where a value is missing; and remarks.

    Raises:
        SourceError: A value names no split, or two.
    """
    stated: dict[str, StatedSplit | None] = {}
    unknown = []
    for value in dict.fromkeys(values):
        key = label_key(value)
        try:
            stated[value] = stated_split(value, given)
        except TwoSplits:
            stated[value] = None
        if stated[value] is None and key not in MISSING and key not in given:
            unknown.append(value)
    if unknown and not asked and not any(stated.values()):
        return [None] * len(values), [f"{where} names no splits ({', '.join(unknown[:3])}), and is not used."]
    if unknown:
        raise SourceError(
            f"{where} has values that name no split: {', '.join(unknown[:5])}; say what they mean with "
            f"--split-names '{unknown[0]}=train' (or val, test), or '{unknown[0]}=' for none."
        )
    return [stated[value] for value in values], []
