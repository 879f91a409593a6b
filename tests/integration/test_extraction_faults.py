"""Everything that can go wrong in an extraction, with the real detector and real processes."""

import io
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.extraction import ExtractSettings, extract


@pytest.fixture(scope="module")
def portrait():
    from skimage.data import astronaut

    return Image.fromarray(astronaut()[:256, 100:356]).resize((96, 96), Image.Resampling.LANCZOS)


def png(width, height, rows=b""):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def make_faulty_folder(root, portrait):
    grey = np.asarray(portrait.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise, so stored after one to the other side
    alpha = portrait.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(portrait.size).point(lambda value: 155 + value // 3))
    files = {
        "happy/same name.png": encoded(portrait),
        "sad/same name.png": encoded(portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        "happy/turned.jpg": encoded(portrait.rotate(90), "JPEG", quality=95, exif=exif),
        "happy/palette.png": encoded(portrait.quantize(64)),
        "happy/sixteen-bit.png": encoded(Image.fromarray(grey.astype(np.uint16) * 257)),
        "happy/cmyk.jpg": encoded(portrait.convert("CMYK"), "JPEG", quality=95),
        "happy/alpha.png": encoded(alpha),
        "happy/глаза 笑顔 é.png": encoded(portrait),
        "sad/one pixel.png": encoded(portrait.resize((1, 1))),
        "sad/grey.png": encoded(Image.new("L", (64, 64), 128)),
        "sad/truncated.jpg": encoded(portrait, "JPEG")[:900],
        "sad/empty.jpg": b"",
        "sad/text.jpg": b"This is not an image.",
        "sad/bomb.png": png(30_000, 30_000),
        "sad/readme.txt": b"no image, and not named like one",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "sad/gone.jpg").symlink_to(root / "nowhere.jpg")
    if os.geteuid() != 0:  # root may read anything; test_sources.py tests it with root's privileges put down
        (root / "sad/closed.png").write_bytes(encoded(portrait))
        (root / "sad/closed.png").chmod(0)
    return root


def test_every_faulty_image_gets_its_row_and_its_reason(detector, portrait, tmp_path):
    source = make_faulty_folder(tmp_path / "faces", portrait)
    summary = extract(source, tmp_path / "cache", workers=1, part_rows=4)
    frame = summary.cache.frame().set_index("id")
    assert len(frame) == sum(path.suffix != ".txt" and not path.is_dir() for path in source.rglob("*"))
    assert summary.cache.manifest.source.ignored == 1

    faces = [name for name in frame.index if name.startswith("happy/") or name == "sad/same name.png"]
    assert frame.loc[faces, "status"].tolist() == ["ok"] * 8
    assert frame.loc[faces, ["width", "height"]].to_numpy().tolist() == [[96, 96]] * 8
    landmarks = dict(zip(frame.index, summary.cache.landmarks(), strict=True))
    reference = landmarks["happy/same name.png"]
    for name in set(faces) - {"sad/same name.png"}:
        # The nose's tip, an eye, the chin: within 3 % of the image however the pixels were stored.
        np.testing.assert_allclose(landmarks[name][[1, 33, 152], :2], reference[[1, 33, 152], :2], atol=0.03)
    assert landmarks["sad/same name.png"][1, 0] == pytest.approx(1 - reference[1, 0], abs=0.03)

    assert frame.loc[["sad/grey.png", "sad/one pixel.png"], "status"].tolist() == ["no_face"] * 2
    assert frame.loc["sad/grey.png", "attempts"].count("=0") == 8
    reasons = {
        "sad/truncated.jpg": "damaged: .*truncated",
        "sad/empty.jpg": "the file is empty",
        "sad/text.jpg": "not an image of a known format",
        "sad/bomb.png": "decompression bomb",
        "sad/gone.jpg": "no such file",
    }
    if os.geteuid() != 0:
        reasons["sad/closed.png"] = "permission denied"
    for name, reason in reasons.items():
        assert frame.loc[name, "status"] == "unreadable"
        assert re.search(f"(?i){reason}", frame.loc[name, "error"]), name
    assert summary.counts == {"ok": 8, "no_face": 2, "unreadable": len(reasons)}
    assert frame.loc["happy/same name.png", "sha256"] == frame.loc["happy/глаза 笑顔 é.png", "sha256"]

    stored = dict(zip(frame.index, summary.cache.faces(range(len(frame))), strict=True))
    assert stored["happy/same name.png"] == (source / "happy/same name.png").read_bytes()
    assert stored["happy/turned.jpg"] != (source / "happy/turned.jpg").read_bytes()
    assert all(stored[name] is None for name in reasons)


@pytest.fixture(scope="module")
def faces(tmp_path_factory, portrait):
    """Twenty-eight different pictures of one face."""
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for number in range(28):
        picture = np.asarray(portrait.rotate(rng.uniform(-15, 15))).astype(int) + rng.integers(-20, 20)
        folder = root / ("train" if number % 2 else "test") / ("happy" if number % 3 else "sad")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{number:02d}.png")
    return root


# Several passes make an image take long enough for a run to be met in its middle.
SETTINGS = ExtractSettings(passes=5)
START = """
import sys
from landmarkfer.extraction import ExtractSettings, extract
extract(sys.argv[1], sys.argv[2], ExtractSettings(passes=5), workers=int(sys.argv[3]), part_rows=4)
"""


def start(source, cache, workers):
    return subprocess.Popen([sys.executable, "-c", START, str(source), str(cache), str(workers)])


def wait_for(condition, process, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the run ended too soon"
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.005)


def children_of(pid):
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[1] == str(pid) and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def gone(pids, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        alive = [pid for pid in pids if is_alive(pid)]
        if not alive:
            return True
        time.sleep(0.05)
    return False


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


@pytest.fixture(scope="module")
def whole(detector, faces, tmp_path_factory):
    """The cache of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "cache"
    return extract(faces, folder, SETTINGS, workers=1, part_rows=4).cache


@needs_proc
def test_a_killed_run_loses_one_part_and_the_next_call_goes_on(faces, whole, tmp_path):
    folder = tmp_path / "cache"
    process = start(faces, folder, workers=2)
    wait_for((folder / "part-00001.parquet").exists, process)
    workers = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(workers) >= 2
    assert gone(workers), "workers outlive their killed parent"

    kept = LandmarkCache.open(folder)
    assert not kept.complete
    assert 8 <= len(kept) < 28
    before = {part.name: (part.stat().st_ino, part.stat().st_mtime_ns) for part in kept.parts}

    summary = extract(faces, folder, SETTINGS, workers=1)
    assert (summary.reused, summary.extracted) == (len(kept), 28 - len(kept))
    after = {part.name: (part.stat().st_ino, part.stat().st_mtime_ns) for part in summary.cache.parts}
    assert before.items() <= after.items(), "no part that was done is done again"
    assert summary.cache.complete
    np.testing.assert_array_equal(summary.cache.landmarks(), whole.landmarks())
    assert summary.cache.fingerprint == whole.fingerprint
    assert not list(folder.glob("*.tmp"))


def command(*arguments, **options):
    run = [sys.executable, "-m", "landmarkfer", "extract", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(run, capture_output=True, text=True, env=environment, **options)


@needs_proc
def test_an_interrupted_run_says_where_it_is_and_leaves_no_process(faces, detector, tmp_path):
    folder = tmp_path / "cache"
    options = ["--cache", str(folder), "--workers", "1", "--passes", "5"]
    process = subprocess.Popen(
        [sys.executable, "-m", "landmarkfer", "extract", str(faces), *options],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests that run in the background of a script inherit an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # The worker, and the process in which Python keeps track of what processes share.
    wait_for(lambda: len(children_of(process.pid)) >= 2, process)
    workers = children_of(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    _, message = process.communicate(timeout=120)
    assert process.returncode == 130
    cache = (
        LandmarkCache.open(folder) if folder.exists() else None
    )  # which is not there before the first part
    stored = 0 if cache is None else len(cache)
    assert re.search(rf"{folder} holds {stored} of \d+ rows; the same command does the rest\.", message)
    assert "Traceback" not in message
    assert gone(workers)
    assert cache is None or not cache.complete


def test_two_processes_exclude_each_other(faces, detector, tmp_path):
    folder = tmp_path / "cache"
    first = start(faces, folder, workers=1)
    try:
        wait_for((folder / "manifest.json").exists, first)
        second = command(faces, "--cache", folder, "--passes", "5")
        if first.poll() is None:
            assert second.returncode == 1
            assert f"Error: another process (process {first.pid} on " in second.stderr
            assert "wait until it ends or give another cache" in second.stderr
            assert "Traceback" not in second.stderr
        else:
            pytest.fail("the first run ended before the second began")
    finally:
        first.kill()
        first.wait()


@pytest.mark.slow
def test_a_full_disk_stops_with_one_sentence_and_a_cache_that_opens(faces, detector, tmp_path):
    resource = pytest.importorskip("resource")
    folder = tmp_path / "cache"

    def limit():
        # Files that may not grow beyond this are what a full disk looks like to a process.
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    result = command(faces, "--cache", folder, "--workers", "1", preexec_fn=limit)
    assert result.returncode == 1
    assert f"Error: cannot write {folder / 'part-00000.parquet'}" in result.stderr.replace("\n", "")
    assert "make room and run the same command to continue" in result.stderr
    assert "Traceback" not in result.stderr
    cache = LandmarkCache.open(folder)
    assert (len(cache), cache.complete) == (0, False)
    assert not list(folder.glob("*.tmp"))

    again = command(faces, "--cache", folder, "--workers", "1")
    assert again.returncode == 0
    assert LandmarkCache.open(folder).complete


def test_a_device_without_space_is_the_same_sentence(tmp_path):
    """Here writing does meet "no space left": the temporary file is a link to a device that is full."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    from landmarkfer.data.shards import replace_file
    from landmarkfer.errors import CacheError

    (tmp_path / "x").write_bytes(b"old")
    (tmp_path / "x.tmp").symlink_to("/dev/full")
    with pytest.raises(CacheError, match=r"No space left on device.*make room and run the same command"):
        replace_file(tmp_path / "x", lambda file: file.write(bytes(1_000_000)))
    assert (tmp_path / "x").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_complete_cache_touches_no_detector(faces, whole):
    """MediaPipe is not even imported, and no process is started."""
    code = (
        "import multiprocessing, sys\n"
        "multiprocessing.get_context = None\n"
        "from landmarkfer.extraction import ExtractSettings, extract\n"
        f"summary = extract({str(faces)!r}, {str(whole.path)!r}, ExtractSettings(passes=5))\n"
        "print(summary.extracted, summary.reused, 'mediapipe' in sys.modules, 'torch' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["0", "28", "False", "False"]
