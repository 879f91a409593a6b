"""What a file is, whatever its name says, from its first bytes."""

from pathlib import Path

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "zip archive"),
    (b"PK\x05\x06", "empty zip archive"),
    (b"Rar!\x1a\x07", "RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip archive"),
    (b"\x1f\x8b", "gzip file"),
    (b"BZh", "bzip2 file"),
    (b"\xfd7zXZ\x00", "xz file"),
    (b"\x28\xb5\x2f\xfd", "Zstandard file"),
    (b"PAR1", "Parquet file"),
    (b"ARROW1", "Arrow file"),
    (b"\x93NUMPY", "NumPy array"),
    (b"\x89HDF\r\n\x1a\n", "HDF5 file"),
    (b"MATLAB 5.0", "MATLAB file"),
    (b"SQLite format 3", "SQLite database"),
    (b"\x80\x02", "pickle, which can run code and is not opened"),
    (b"\x80\x03", "pickle, which can run code and is not opened"),
    (b"\x80\x04", "pickle, which can run code and is not opened"),
    (b"\x80\x05", "pickle, which can run code and is not opened"),
    (b"%PDF", "PDF document"),
    (b"\xd0\xcf\x11\xe0", "Excel file of the old kind (.xls)"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"\x89PNG", "PNG image"),
    (b"GIF8", "GIF image"),
    (b"RIFF", "RIFF file (WebP, AVI or WAV)"),
    (b"version https://git-lfs", "pointer of Git LFS, not the file itself: run git lfs pull"),
)
_HEAD = 1024


def format_of(path: Path) -> str:
    """What a file is: `zip archive`, `web page (HTML)`, `text file`, `file of an unknown format`.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "empty file"
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[257:262] == b"ustar":
        return "tar archive"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "web page (HTML), perhaps the login page of a download"
    if start.startswith(b"<"):
        return "XML file"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text file (UTF-16)"
    if b"\0" not in head:
        return "text file"
    if head.count(0) > len(head) // 4 and not head.translate(None, bytes(range(1, 128)) + b"\0"):
        return "text file (UTF-16)"
    return "file of an unknown format"


def called(kind: str) -> str:
    """A format with its article: `a zip archive`, `an empty file`."""
    return f"{'an' if kind[0] in 'aeiouAEIOU' or kind.startswith(('XML', 'HDF5', 'xz')) else 'a'} {kind}"
