"""What a training does with memory that it frees."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")

# Page faults of writing 64 MB ten times, each time freed before; then what stays when the block has ended.
FAULTS = """
import contextlib, resource, sys
from landmarkfer.training.memory import keep_freed_memory


def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


before = held()
with keep_freed_memory() if sys.argv[1] == "kept" else contextlib.nullcontext():
    bytearray(b"1") * 64_000_000
    first = faults()
    for _ in range(10):
        bytearray(b"1") * 64_000_000
    caused = faults() - first
print(caused, (held() - before) / 64e6)
"""


def measure(way):
    done = subprocess.run([sys.executable, "-c", FAULTS, way], capture_output=True, text=True, check=True)
    return [float(figure) for figure in done.stdout.split()]


def test_freed_memory_is_used_again_and_given_back_at_the_end():
    (kept, still_held), (usual, _) = measure("kept"), measure("usual")
    assert kept < 0.1 * usual
    assert still_held < 0.5
