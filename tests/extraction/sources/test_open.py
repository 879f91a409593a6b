import os
import pickle
import struct
import tempfile
import zipfile
from pathlib import Path

import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.sources.containers.folder import FolderReader
from landmarkfer.extraction.sources.open import open_source

TREE = {
    "train/happy/x.jpg": b"1",
    "train/sad/x.jpg": b"2",
    "test/happy/été 笑.PNG": b"3",
    "test/happy/notes.txt": b"-",
    "train/happy/.hidden.jpg": b"-",
    "train/happy/Thumbs.db": b"-",
    "__MACOSX/train/happy/._x.jpg": b"-",
    "README": b"-",
}
EXPECTED = [
    ("test/happy/été 笑.PNG", "happy", "test", b"3"),
    ("train/happy/x.jpg", "happy", "train", b"1"),
    ("train/sad/x.jpg", "sad", "train", b"2"),
]


def make_folder(root):
    for name, content in TREE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def make_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train/", b"")
        for name, content in TREE.items():
            archive.writestr(name, content)
    return path


def contents(source):
    # As in a worker: the reader travels unopened, and opens the source for itself.
    reader = pickle.loads(pickle.dumps(source.reader))
    return [(e.id, e.label, e.split, reader.read(e.key)) for e in source.entries]


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_a_reader_can_be_sent_on_after_it_has_read(tmp_path, make):
    source = open_source(make(tmp_path / "faces"))
    assert source.reader.read(source.entries[0].key) == b"3"
    assert contents(source) == EXPECTED


@pytest.mark.parametrize("make", [make_folder, make_zip])
def test_folder_and_zip_are_read_alike(tmp_path, make):
    source = open_source(make(tmp_path / ("faces.zip" if make is make_zip else "faces")))
    assert contents(source) == EXPECTED
    assert source.ignored == 2, "notes.txt and README"
    assert source.classes == ["happy", "sad"]
    assert source.name in ("faces", "faces.zip")


def test_listing_changes_with_images_and_labels(tmp_path):
    make_folder(tmp_path)
    first = open_source(tmp_path).listing
    assert open_source(tmp_path).listing == first
    (tmp_path / "train/sad").rename(tmp_path / "train/fear")
    relabelled = open_source(tmp_path).listing
    (tmp_path / "train/fear/y.jpg").write_bytes(b"4")
    assert len({first, relabelled, open_source(tmp_path).listing}) == 3


def test_a_zip_made_on_windows_and_wrapped_in_a_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("set\\train\\happy\\1.jpg", "set\\train\\sad\\2.jpg"):
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, b"1")
    source = open_source(tmp_path / "a.zip")
    assert [(e.id, e.label, e.split) for e in source.entries] == [
        ("set/train/happy/1.jpg", "happy", "train"),
        ("set/train/sad/2.jpg", "sad", "train"),
    ]


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "far/happy").mkdir(parents=True)
    (tmp_path / "far/happy/a.jpg").write_bytes(b"1")
    (tmp_path / "near/sad").mkdir(parents=True)
    (tmp_path / "near/sad/b.jpg").write_bytes(b"2")
    (tmp_path / "near/happy").symlink_to(tmp_path / "far/happy")
    (tmp_path / "near/fear").symlink_to(tmp_path / "far/happy")
    (tmp_path / "near/sad/round").symlink_to(tmp_path / "near")
    found = [entry.id for entry in open_source(tmp_path / "near").entries]
    assert found == ["fear/a.jpg", "happy/a.jpg", "sad/b.jpg"]


def test_a_link_to_nothing_is_a_row_that_cannot_be_read(tmp_path):
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    source = open_source(tmp_path)
    assert [entry.id for entry in source.entries] == ["a.jpg"]
    with pytest.raises(UnreadableImage, match="no such file"):
        source.reader.read(source.entries[0].key)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "a.jpg").write_bytes(b"1")
    assert [entry.id for entry in open_source(tmp_path).entries] == ["a.jpg"]


def test_names_that_are_no_unicode_get_an_id_that_is(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    with open(raw, "wb") as file:
        file.write(b"1")
    source = open_source(tmp_path)
    assert source.entries[0].id == "caf\\xe9.jpg"
    assert contents(source)[0][-1] == b"1"


@pytest.fixture
def stranger():
    """A folder anyone may enter; a process without root's privileges for the length of the test."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def without_privileges(function):
    if os.geteuid() != 0:
        return function()
    os.seteuid(65534)
    try:
        return function()
    finally:
        os.seteuid(0)


def test_a_file_without_permission_says_so(stranger):
    for name, mode in (("open.jpg", 0o644), ("closed.jpg", 0o000)):
        (stranger / name).write_bytes(b"1")
        (stranger / name).chmod(mode)
    reader = FolderReader(str(stranger))
    assert without_privileges(lambda: reader.read("open.jpg")) == b"1"
    with pytest.raises(UnreadableImage, match="permission denied"):
        without_privileges(lambda: reader.read("closed.jpg"))


def test_a_folder_without_permission_stops_the_listing(stranger):
    (stranger / "closed").mkdir()
    (stranger / "closed").chmod(0o000)
    with pytest.raises(SourceError, match=r"cannot list the folder .*closed: Permission denied"):
        without_privileges(lambda: open_source(stranger))


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    for reader in ("folder", "archive"):
        monkeypatch.setattr(f"landmarkfer.extraction.sources.containers.{reader}.MAX_BYTES", 3)
    (tmp_path / "a.jpg").write_bytes(b"1234")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", b"1234")
    for path in (tmp_path, tmp_path / "a.zip"):
        source = open_source(path)
        with pytest.raises(UnreadableImage, match="larger than"):
            source.reader.read(source.entries[0].key)


def test_a_damaged_member_costs_only_itself(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"AAAA")
        archive.writestr("b.jpg", b"BBBB")
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"AXAA"))
    source = open_source(path)
    with pytest.raises(UnreadableImage, match="damaged in the archive: Bad CRC"):
        source.reader.read(source.entries[0].key)
    assert source.reader.read(source.entries[1].key) == b"BBBB"


def test_a_member_under_a_password_says_so(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"AAAA")
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.index(signature) + offset
        data[place : place + 2] = struct.pack("<H", 1)  # the flag for encryption
    path.write_bytes(data)
    source = open_source(path)
    with pytest.raises(UnreadableImage, match="password"):
        source.reader.read(source.entries[0].key)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "nowhere", "does not exist; give a folder of images"),
        (lambda p: (p / "a.rar", (p / "a.rar").write_bytes(b"Rar!"))[0], "unpack other archives"),
        (lambda p: p, r"holds no images \(0 other files\); images end in"),
        (lambda p: (p / "a.zip", (p / "a.zip").write_bytes(b"PK\x05\x06" + bytes(18)))[0], "holds no images"),
    ],
)
def test_what_is_no_source_is_one_sentence(tmp_path, make, message):
    with pytest.raises(SourceError, match=message):
        open_source(make(tmp_path))


def test_columns_without_a_table_are_refused(tmp_path):
    with pytest.raises(SourceError, match="name it with --labels"):
        open_source(tmp_path, label_column="emotion")


@pytest.mark.fer2013
def test_fer2013_is_read_in_place(fer2013_zip):
    source = open_source(fer2013_zip)
    assert len(source.entries) == 35_887
    assert source.classes == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert sum(e.split == "train" for e in source.entries) == 28_709
    assert sum(e.subset == "public" for e in source.entries) == 3_589
    assert sum(e.subset == "private" for e in source.entries) == 3_589
    happy = [e for e in source.entries if e.label == "happy" and e.split == "train"]
    assert len(happy) == 7_215


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_table_inside_the_source(tmp_path, tree, form):
    root = tree("a.jpg", "sub/b.jpg")
    (root / "sub/labels.csv").write_text("image,emotion\na.jpg,happy\nb.jpg,sad\n")
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
            for file in sorted(path for path in root.rglob("*") if path.is_file()):
                archive.write(file, file.relative_to(root))
        root = tmp_path / "faces.zip"
    assert "sub/labels.csv inside may be a table of labels: --labels" in open_source(root).remarks[-1]
    source = open_source(root, labels="sub/labels.csv")
    assert [(entry.id, entry.label) for entry in source.entries] == [("a.jpg", "happy"), ("sub/b.jpg", "sad")]
    assert source.ignored == 0
    with pytest.raises(SourceError, match="does not exist, neither here nor in"):
        open_source(root, labels="other.csv")


def test_classes_that_one_split_lacks_are_said(tree):
    source = open_source(tree("train/happy/1.jpg", "train/bored/1.jpg", "test/happy/1.jpg", "test/sad/1.jpg"))
    assert source.remarks[-2:] == ["No image of sad to train on.", "No image of bored in test."]
    whole = open_source(
        tree("train/happy/1.jpg", "train/sad/1.jpg", "test/happy/1.jpg", "test/sad/1.jpg", root="b")
    )
    assert whole.remarks == []


def test_images_without_a_split_in_a_table_are_said(tree, tmp_path):
    (tmp_path / "t.csv").write_text("path,label,split\na.jpg,sad,train\nb.jpg,sad,\nc.jpg,sad,test\n")
    source = open_source(tree("a.jpg", "b.jpg", "c.jpg"), labels=tmp_path / "t.csv")
    assert source.remarks == ["1 image with a class and without a split; these are trained on."]
