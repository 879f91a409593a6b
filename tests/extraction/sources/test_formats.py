import io
import tarfile

import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.formats import format_of
from landmarkfer.extraction.sources.open import open_source


def tar_bytes():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty file"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"Rar!\x1a\x07\x01", "RAR archive"),
        (b"  <!doctype HTML>", "web page (HTML), perhaps the login page of a download"),
        (b"<?xml version='1.0'?>", "XML file"),
        ("happy,1".encode("utf-16"), "text file (UTF-16)"),
        ("happy,1".encode("utf-16-le"), "text file (UTF-16)"),
        (b"happy,1", "text file"),
        (b"\x01\x00\xff\xfe\x00", "file of an unknown format"),
        (tar_bytes(), "tar archive"),
    ],
)
def test_files_are_named_by_their_content(tmp_path, data, name):
    (tmp_path / "x").write_bytes(data)
    assert format_of(tmp_path / "x") == name


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("faces.zip", b"<html>404</html>", "a web page"),
        ("faces.zip", b"PK\x03\x04 and no more", "its end, which lists its files, is missing"),
        ("faces.zip", b"Rar!\x1a\x07\x00", "but a RAR archive"),
        ("faces.csv", b"PAR1....", "is named like a table and is a Parquet file"),
        ("faces.7z", b"7z\xbc\xaf\x27\x1c", "but a 7-Zip archive; unpack other archives"),
        ("faces.h5", b"\x89HDF\r\n\x1a\n", "but an HDF5 file"),
        ("faces.pkl", b"\x80\x04\x95", "pickle, which can run code and is not opened"),
        ("faces.tar.gz", b"\x1f\x8b\x08 broken", "cannot be read as a tar archive"),
        ("faces.parquet", b"not parquet", "is damaged or no Parquet file"),
        ("faces.npz", b"not npz", "is damaged or no NumPy file"),
    ],
)
def test_a_file_in_another_format_is_named_for_what_it_is(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError) as caught:
        open_source(tmp_path / name)
    assert message in str(caught.value)
