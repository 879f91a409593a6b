import gc
import io
import pickle
import tarfile

import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.open import open_source

TREE = {
    "./set/train/happy/a.jpg": b"1",
    "set/test/sad/b.png": b"22",
    "set/README": b"-",
    "set/.hidden.jpg": b"-",
}


def make_tar(path, mode):
    with tarfile.open(path, mode) as archive:
        for name, data in TREE.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz"), ("a.tar.bz2", "w:bz2"), ("a.txz", "w:xz")],
)
def test_a_tar_is_read_like_a_folder(tmp_path, facts, name, mode):
    source = open_source(make_tar(tmp_path / name, mode))
    assert facts(source) == [
        ("set/test/sad/b.png", "sad", "test", None),
        ("set/train/happy/a.jpg", "happy", "train", None),
    ]
    reader = pickle.loads(pickle.dumps(source.reader))
    assert [reader.read(entry.key) for entry in source.entries] == [b"22", b"1"]
    assert source.ignored == 1
    assert source.kind == "tar"


def test_what_was_unpacked_goes_with_the_source(tmp_path):
    source = open_source(make_tar(tmp_path / "a.tar.gz", "w:gz"))
    folder = source.holds.path
    assert folder.exists()
    del source
    gc.collect()
    assert not folder.exists()


def test_a_tar_that_is_cut_off_says_so(tmp_path):
    path = make_tar(tmp_path / "a.tar.gz", "w:gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match="cannot be read as a tar archive"):
        open_source(path)


def test_a_pixel_csv_in_an_archive_with_other_files(tmp_path):
    path = tmp_path / "fer2013.tar.gz"  # as the challenge handed it out
    with tarfile.open(path, "w:gz") as archive:
        text = "emotion,pixels,Usage\n3,1 2 3 4,Training\n"
        for name, data in (("fer2013/fer2013.csv", text.encode()), ("fer2013/README", b"-")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    source = open_source(path)
    assert [(entry.label, entry.split) for entry in source.entries] == [("happy", "train")]
    assert source.reader.read(source.entries[0].key).tolist() == [[1, 2], [3, 4]]
