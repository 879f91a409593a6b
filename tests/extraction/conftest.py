"""A source that misbehaves on demand, for tests of the worker processes; none of its images has a face."""

import importlib
import sys
import textwrap

import pytest

# In a file of its own, because worker processes have to import it.
ODD_READER = '''
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from landmarkfer.extraction.decode import UnreadableImage


@dataclass
class OddReader:
    """Does what a key says: `die:SIGNAL`, `once:SIGNAL`, `exit:CODE`, `wait:SECONDS`, or nothing."""

    marks: str

    def read(self, key):
        with open(os.path.join(self.marks, "read"), "a") as file:
            file.write(f"{key}\\\\n")
        deed, _, value = str(key).partition(":")
        mark = Path(self.marks, f"{deed}-{value}")
        if deed == "die" or (deed == "once" and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), int(value))
            time.sleep(10)
        if deed == "exit":
            os.write(2, b"last words\\\\n")
            os._exit(int(value))
        if deed == "wait":
            time.sleep(float(value))
        raise UnreadableImage(f"read {key}")
'''


@pytest.fixture
def odd_source(tmp_path, monkeypatch):
    """A function from keys to a source, with a list of the keys that were read as `source.read()`."""
    from landmarkfer.extraction.sources.entry import Entry, Source

    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "odd_reader.py").write_text(textwrap.dedent(ODD_READER).replace("\\\\", "\\"))
    monkeypatch.syspath_prepend(tmp_path / "code")
    sys.modules.pop("odd_reader", None)
    reader = importlib.import_module("odd_reader").OddReader(str(tmp_path))

    def source(*keys):
        entries = [Entry(f"{number:03d}", key, label="happy") for number, key in enumerate(keys)]
        return Source("odd", "odd", entries, reader)

    source.read = lambda: (tmp_path / "read").read_text().split() if (tmp_path / "read").exists() else []
    return source


@pytest.fixture
def unused_model(tmp_path):
    """A file that passes for a model as long as no image has to be searched."""
    path = tmp_path / "unused.task"
    path.write_bytes(b"")
    return path
