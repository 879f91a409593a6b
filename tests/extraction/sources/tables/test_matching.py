import unicodedata

import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.tables.matching import PathIndex, table_path

IDS = ["set/train/a 1.jpg", "set/train/b.JPG", "set/test/c.png", "Zo\u00eb.jpg"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("set/train/a 1.jpg", "set/train/a 1.jpg"),
        (".\\set\\train\\a 1.jpg", "set/train/a 1.jpg"),
        ("/home/me/Downloads/set/test/c.png", "set/test/c.png"),
        ("C:\\data\\set\\test\\c.png", "set/test/c.png"),
        ("test/c.png", "set/test/c.png"),
        ("c.png", "set/test/c.png"),
        ("c", "set/test/c.png"),
        ("test/c", "set/test/c.png"),
        ("B.jpg", "set/train/b.JPG"),
        (unicodedata.normalize("NFD", "Zoë.jpg"), "Zo\u00eb.jpg"),
        ("val/c.png", None),
        ("d.png", None),
        ("", None),
    ],
)
def test_paths_are_matched_by_their_last_components(path, expected):
    assert PathIndex(IDS).match([table_path(path)]) == [expected]


def test_decomposed_names_on_the_disk_match_composed_ones():
    ids = [unicodedata.normalize("NFD", "Ærø/été.jpg")]
    assert PathIndex(ids).match(["Ærø/été.jpg"]) == ids


def test_what_fits_two_images_is_refused():
    index = PathIndex(["train/0.jpg", "test/0.jpg"])
    with pytest.raises(SourceError, match=r"0\.jpg fits train/0\.jpg and test/0\.jpg; give the paths with"):
        index.match(["0.jpg"])
    assert index.match(["test/0.jpg"]) == ["test/0.jpg"]


def test_a_table_of_two_folders_does_not_fit_one_of_them():
    with pytest.raises(
        SourceError, match=r"train/0\.jpg and test/1\.jpg would be looked for without train and"
    ):
        PathIndex(["0.jpg", "1.jpg"]).match(["train/0.jpg", "test/1.jpg"])
    assert PathIndex(["0.jpg", "1.jpg"]).match(["train/0.jpg", "train/1.jpg"]) == ["0.jpg", "1.jpg"]
