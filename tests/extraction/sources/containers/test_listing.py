import zipfile

import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.open import open_source


def test_archives_and_videos_inside_are_named(tree):
    root = tree(
        "happy/a.jpg", "sad/b.jpg", "more.zip", "sad/rest.tar.gz", "clip.mp4", "notes.txt", "x.parquet"
    )
    source = open_source(root)
    assert source.ignored == 5
    assert source.remarks[0].startswith("2 archives inside (more.zip, sad/rest.tar.gz): each is not opened")
    assert source.remarks[1].startswith("1 video inside (clip.mp4) is left out; --fps N")
    assert source.remarks[2].startswith("1 data file inside (x.parquet) is left out")


def test_a_folder_of_archives_alone_names_them(tree):
    with pytest.raises(SourceError, match=r"holds no images .*1 archive inside \(train\.zip\) is not opened"):
        open_source(tree("train.zip"))


def test_a_zip_in_a_zip_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "o.zip", "w") as archive:
        archive.writestr("test/happy/1.jpg", b"1")
        archive.writestr("inner/train.zip", b"PK")
    source = open_source(tmp_path / "o.zip")
    assert source.remarks == [
        "1 archive inside (inner/train.zip) is not opened; unpack it, or extract it on its own."
    ]
