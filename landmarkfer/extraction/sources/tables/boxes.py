"""Columns that give the box of a face: as corners or as a corner, a width and a height, in pixels."""

import re

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.entry import Box
from landmarkfer.extraction.sources.tables.read import Table

# Left, top, right and bottom; or left, top, width and height. The first set that a table has is taken.
_CORNERS: tuple[tuple[str, str, str, str], ...] = (
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
    ("face_box_left", "face_box_top", "face_box_right", "face_box_bottom"),
    ("box_left", "box_top", "box_right", "box_bottom"),
    ("bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1"),
    ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
    ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax"),
    ("bbox_left", "bbox_top", "bbox_right", "bbox_bottom"),
    ("face_x0", "face_y0", "face_x1", "face_y1"),
    ("face_x1", "face_y1", "face_x2", "face_y2"),
)
_SIZES: tuple[tuple[str, str, str, str], ...] = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
    ("face_x", "face_y", "face_width", "face_height"),
    ("face_x", "face_y", "face_w", "face_h"),
    ("bbox_x", "bbox_y", "bbox_w", "bbox_h"),
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"),
    ("bbox_left", "bbox_top", "bbox_width", "bbox_height"),
    ("box_x", "box_y", "box_w", "box_h"),
)

_ONE_CELL = ("bbox", "box", "bounding_box", "face_box", "face_bbox", "rect", "face_rect")
_NUMBERS = re.compile(r"-?\d+(?:\.\d+)?")


def read_boxes(table: Table) -> tuple[list[Box | str | None], str] | None:
    """The box of each row of a table.

    Args:
        table: The table.

    Returns:
        For each row the box `(x0, y0, x1, y1)`, None without one, or what is wrong with it; and the columns'
        names. None where the table has no box columns.

    Raises:
        SourceError: Boxes are in one column, or around a centre.
    """
    _check_one_cell(table)
    for sets, as_sizes in ((_CORNERS, False), (_SIZES, True)):
        for names in sets:
            found = [table.look_for([name]) for name in names]
            columns = [column for column in found if column is not None]
            if len(columns) == 4:
                rows = zip(*(table.texts(column) for column in columns), strict=True)
                return [_box(cells, as_sizes) for cells in rows], ", ".join(columns)
    return None


def _check_one_cell(table: Table) -> None:
    """Refuse boxes in one column, which may be corners or sizes.

    Raises:
        SourceError: There is such a column.
    """
    column = table.look_for(_ONE_CELL)
    if column is not None and any(len(_NUMBERS.findall(value)) == 4 for value in table.texts(column)):
        raise SourceError(
            f"the column {column} of {table.path} holds whole boxes, which may be corners or sizes; give "
            f"them in four "
            "columns, x0,y0,x1,y1 or x,y,w,h in pixels, or --no-boxes."
        )


def _box(cells: tuple[str, ...], as_sizes: bool) -> Box | str | None:
    if not any(cells):
        return None
    try:
        a, b, c, d = map(float, cells)
    except ValueError:
        return f"its box ({', '.join(cells)}) is no four numbers"
    x0, y0, x1, y1 = (a, b, a + c, b + d) if as_sizes else (a, b, c, d)
    if not all(abs(value) < 1e7 for value in (x0, y0, x1, y1)):  # also of NaN
        return f"its box ({', '.join(cells)}) holds values that are no pixels"
    if max(x1, y1) <= 1.0:
        return f"its box ({', '.join(cells)}) is given in fractions of the image, and pixels are needed"
    if x1 - x0 < 1 or y1 - y0 < 1:
        return f"its box ({', '.join(cells)}) has no area"
    return x0, y0, x1, y1
