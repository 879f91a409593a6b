"""Which columns of a table hold what, by their names and by what is in them."""

from collections.abc import Sequence

from landmarkfer.data.labels import canonical_label, is_known_label, label_key
from landmarkfer.data.split_names import TwoSplits, stated_split
from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.containers.listing import VIDEO_SUFFIXES, is_image
from landmarkfer.extraction.sources.labels import MISSING
from landmarkfer.extraction.sources.tables.matching import PathIndex, table_path
from landmarkfer.extraction.sources.tables.read import Table

# Column names that are recognised, in this order.
PATH_COLUMNS = (
    *("path", "image", "file", "filename", "file_name", "filepath", "image_path", "name", "id"),
    *("image_name", "img", "img_path", "image_file", "img_name", "pth", "file_path", "image_id", "imageid"),
    *("file_id", "frame", "subdirectory_filepath"),
)
LABEL_COLUMNS = (
    *("label", "emotion", "expression", "class"),
    *("labels", "emotions", "expression_label", "emotion_label", "facial_expression", "category", "target"),
    *("label_name", "expression_name", "emotion_name", "class_name", "mood"),
)
SPLIT_COLUMNS = ("split", "usage", "subset", "set", "partition")
GROUP_COLUMNS = (
    *("group", "person", "person_id", "subject", "subject_id", "subjectid", "identity", "actor", "actor_id"),
    *("participant", "participant_id", "individual", "speaker", "pid"),
    *("sequence", "sequence_id", "video", "video_id"),
)
_FLAGS = (
    "is_test",
    "is_train",
    "is_training",
    "is_val",
    "is_valid",
    "test",
    "train",
    "fold",
    "kfold",
    "cv_fold",
)
_MANY = 200  # values that are looked at


def find_paths(table: Table, wanted: str | None, index: PathIndex) -> str:
    """The column of paths: the one that is asked for, looks like paths, or is usually named so.

    Args:
        table: The table.
        wanted: The name that the user gave.
        index: The images.

    Raises:
        SourceError: There is none, or two columns fit different images.
    """
    usual = [name for key in PATH_COLUMNS if (name := table.columns.get(key))]
    if wanted or (not usual and not _like_paths(table)):
        return table.find(wanted, PATH_COLUMNS, "--path-column")
    candidates = list(dict.fromkeys(_like_paths(table) or usual))
    if len(candidates) == 1:
        return candidates[0]
    fitting: dict[str, list[str | None]] = {}
    failure: SourceError | None = None
    for name in candidates:
        try:
            matched = index.match([table_path(value) for value in table.texts(name)])
        except SourceError as error:
            failure = failure or error
            continue
        if any(matched):
            fitting[name] = matched
    if len(set(map(tuple, fitting.values()))) > 1:
        best = sorted(fitting, key=lambda name: -sum(one is not None for one in fitting[name]))
        if sum(map(bool, fitting[best[0]])) == sum(map(bool, fitting[best[1]])):
            raise SourceError(
                f"the columns {best[0]} and {best[1]} of {table.path} fit different images; name the paths' "
                f"with "
                "--path-column."
            )
        return best[0]
    if not fitting and failure is not None:
        raise failure
    return next(iter(fitting), candidates[0])


def find_labels(table: Table, wanted: str | None) -> str | None:
    """The column of labels; None where there is one for each expression instead.

    Raises:
        SourceError: There is none, or two columns contradict each other.
    """
    there = [name for key in LABEL_COLUMNS if (name := table.columns.get(key))]
    if wanted or len(there) == 1:
        return table.find(wanted, LABEL_COLUMNS, "--label-column")
    if not there:
        if len(expression_columns(table)) >= 3:
            return None
        return table.find(None, LABEL_COLUMNS, "--label-column")
    named = [name for name in there if _share_of_expressions(table, name) > 0.5]
    chosen = named or there
    read = {name: [canonical_label(value) for value in table.texts(name)] for name in chosen}
    if any(read[name] != read[chosen[0]] for name in chosen):
        raise SourceError(
            f"the columns {' and '.join(chosen[:2])} of {table.path} hold different labels; name the one "
            f"that is "
            "meant with --label-column."
        )
    return chosen[0]


def expression_columns(table: Table) -> list[str]:
    """The columns that are named like expressions."""
    return [name for name in map(str, table.frame.columns) if is_known_label(name)]


def labels_of_columns(table: Table) -> list[str]:
    """The labels of a table with a column of 0 and 1 for each expression.

    Raises:
        SourceError: The columns hold other values, or a row has two labels.
    """
    columns = expression_columns(table)
    labels = []
    for number, cells in enumerate(zip(*(table.texts(name) for name in columns), strict=True)):
        keys = [label_key(cell) for cell in cells]
        marked = [name for name, key in zip(columns, keys, strict=True) if key in ("1", "true")]
        if len(marked) > 1 or not set(keys) <= {"0", "1", "true", "false", *MISSING}:
            raise SourceError(
                f"{table.path} has a column for each expression ({', '.join(columns[:3])}, ...), and row "
                f"{number + 1} holds other values than one 1; give one column of labels, with --label-column."
            )
        labels.append(marked[0] if marked else "")
    return labels


def find_splits(table: Table, wanted: str | None) -> tuple[str | None, list[str]]:
    """The column of splits, or None; and remarks on columns that may be one.

    Raises:
        SourceError: There is no column of the name that the user gave, or two state different splits.
    """
    usual = table.look_for(SPLIT_COLUMNS)
    if wanted or usual:
        return table.find(wanted, SPLIT_COLUMNS, "--split-column"), []
    stating = [name for name in map(str, table.frame.columns) if _states_splits(table.texts(name))]
    if len({tuple(table.texts(name)) for name in stating}) > 1:
        raise SourceError(
            f"the columns {' and '.join(stating[:2])} of {table.path} both state splits; name the one that "
            f"is meant "
            "with --split-column."
        )
    if stating:
        return stating[0], []
    flags = [name for key, name in table.columns.items() if key in _FLAGS]
    if not flags:
        return None, []
    return None, [
        f"The column {flags[0]} may state splits and is not used; --split-column {flags[0]} with "
        f"--split-names "
        "uses it."
    ]


def _like_paths(table: Table) -> list[str]:
    """The columns of which half of the values are named like images or videos."""
    found = []
    for name in map(str, table.frame.columns):
        values = [value.lower() for value in table.texts(name)[:_MANY] if value]
        files = sum(is_image(value) or value.endswith(VIDEO_SUFFIXES) for value in values)
        if values and files >= len(values) / 2:
            found.append(name)
    return found


def _share_of_expressions(table: Table, name: str) -> float:
    values = [value for value in table.texts(name)[:_MANY] if value.lower() not in MISSING]
    return sum(map(is_known_label, values)) / len(values) if values else 0.0


def _states_splits(values: Sequence[str]) -> bool:
    """Whether all values that are there name splits, of which at least two."""
    stated = set()
    for value in set(values):
        if value.lower() in MISSING:
            continue
        try:
            split = stated_split(value)
        except TwoSplits:
            return False
        if split is None:
            return False
        stated.add(split.split)
    return len(stated) > 1


def used_columns(**names: str | None) -> str:
    """The columns that are used, in words."""
    used = ", ".join(f"{what} from {name}" for what, name in names.items() if name is not None)
    return used
