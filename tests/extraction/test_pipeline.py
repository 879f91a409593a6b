import pytest

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.row import Row
from landmarkfer.data.shards import write_part
from landmarkfer.errors import CacheError
from landmarkfer.extraction import pipeline
from landmarkfer.extraction.pipeline import MAX_BATCH, extract
from landmarkfer.extraction.pool import DEPTH, WorkerPool
from landmarkfer.extraction.settings import ExtractSettings
from landmarkfer.extraction.worker import Job
from landmarkfer.progress import Progress

SETTINGS = ExtractSettings(detector="landmarker")


@pytest.fixture
def run(tmp_path, unused_model):
    """Extract a source of unreadable images into `tmp_path/cache`, with few rows in a part."""

    def run(source, **options):
        options = {"settings": SETTINGS, "workers": 2, "part_rows": 5, **options}
        return extract(source, tmp_path / "cache", landmarker=unused_model, **options)

    return run


def test_rows_are_in_order_however_long_each_takes(run, odd_source):
    keys = [f"wait:{0.3 if n in (0, 6) else 0.001 * n}" for n in range(22)]
    summary = run(odd_source(*keys))
    frame = summary.cache.frame()
    assert frame["id"].tolist() == [f"{n:03d}" for n in range(22)]
    assert frame["error"].tolist() == [f"read {key}" for key in keys]
    assert len(summary.cache.parts) == 5
    assert (summary.extracted, summary.reused) == (22, 0)
    assert summary.counts == {"ok": 0, "no_face": 0, "unreadable": 22}
    assert summary.by_class == {"happy": summary.counts}
    assert summary.cache.manifest.settings == {
        "passes": 1,
        "retries": 9,
        "threshold": 0.5,
        "max_faces": 1,
        "keep": "largest",
        "crop": None,
    }


def test_progress_is_told_after_every_row(run, odd_source, recorder):
    run(odd_source(*"abcdefgh"), progress=recorder)
    assert recorder.steps == [(n, 8) for n in range(9)]
    assert recorder.notes == [f"0 found, 0 no face, {n} unreadable" for n in range(9)]


def test_a_run_that_stops_goes_on_where_it_was(run, odd_source, tmp_path, recorder):
    source = odd_source(*[f"key{n}" for n in range(40)])
    recorder.stop = 23
    with pytest.raises(KeyboardInterrupt):
        run(source, progress=recorder)
    cache = LandmarkCache.open(tmp_path / "cache")
    assert not cache.complete
    kept = len(cache)
    # Rows arrive a little out of order, so up to what two workers hold may be missing from earlier parts.
    assert kept >= 23 - 5 - 2 * DEPTH * 5
    assert kept % 5 == 0
    made = {part.name: part.stat().st_mtime_ns for part in cache.parts}
    before = len(odd_source.read())

    summary = run(source)
    assert (summary.extracted, summary.reused) == (40 - kept, kept)
    assert len(odd_source.read()) - before == 40 - kept, "no finished part is read again"
    assert made.items() <= {p.name: p.stat().st_mtime_ns for p in summary.cache.parts}.items()
    assert summary.cache.frame()["error"].tolist() == [f"read key{n}" for n in range(40)]


def test_work_does_not_run_far_ahead_of_a_slow_image(run, odd_source):
    """Else a kill would lose more than a part, and rows would pile up in memory."""
    keys = ["wait:1.5", *[f"key{n}" for n in range(200)]]
    counts = []

    class Watch(Progress):
        def __call__(self, task, done, total, note=""):
            counts.append((done, len(odd_source.read())))

    run(odd_source(*keys), progress=Watch())
    # While the first image is waited for, the other worker gets what there is room for and no more.
    ahead = max(read - done for done, read in counts)
    assert ahead <= 2 * DEPTH * MAX_BATCH


def test_a_complete_cache_starts_nothing(run, odd_source, monkeypatch):
    source = odd_source(*"abc")
    first = run(source)

    def refuse(*_):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(pipeline, "WorkerPool", refuse)
    again = run(source)
    assert (again.extracted, again.reused) == (0, 3)
    assert again.cache.fingerprint == first.cache.fingerprint
    assert again.by_class == first.by_class


def test_a_damaged_part_is_made_again_and_only_that(run, odd_source, caplog):
    source = odd_source(*[f"key{n}" for n in range(15)])
    first = run(source)
    part = first.cache.parts[1]
    part.write_bytes(part.read_bytes()[:-9])
    before = len(odd_source.read())
    again = run(source)
    assert sorted(odd_source.read()[before:]) == [f"key{n}" for n in range(5, 10)]
    assert again.cache.fingerprint == first.cache.fingerprint
    assert "part-00001.parquet is damaged and is made again" in caplog.text


def test_a_part_of_a_finished_cache_with_one_wrong_byte_is_made_again(run, odd_source):
    source = odd_source(*[f"key{n}" for n in range(15)])
    first = run(source)
    part = first.cache.parts[1]
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 1
    part.write_bytes(content)
    before = len(odd_source.read())
    again = run(source)
    assert sorted(odd_source.read()[before:]) == [f"key{n}" for n in range(5, 10)]
    assert again.cache.table().equals(first.cache.table())


def test_a_cache_of_other_settings_or_images_is_refused(run, odd_source):
    run(odd_source(*"abc"))
    with pytest.raises(CacheError, match="passes is 1 there and 3 now"):
        run(odd_source(*"abc"), settings=ExtractSettings(detector="landmarker", passes=3))
    with pytest.raises(CacheError, match="another list of images or labels"):
        run(odd_source(*"abcd"))


@pytest.mark.parametrize(
    ("side", "view", "same"),
    [(350, "frame+25%", False), (350, "frame+10%", True), (48, "frame+25%", True)],
)
def test_rows_of_another_order_of_views_are_not_mixed(run, odd_source, tmp_path, recorder, side, view, same):
    """A cache of photographs that another version began is refused; one of small images is continued."""
    source = odd_source(*[f"key{n}" for n in range(40)])
    recorder.stop = 23
    with pytest.raises(KeyboardInterrupt):
        run(source, progress=recorder, workers=1)
    part = LandmarkCache.open(tmp_path / "cache").parts[0]
    rows = [
        Row(id=f"{n:03d}", label="happy", status="no_face", width=side, height=side, attempts=f"{view}@0.5=0")
        for n in range(5)
    ]
    write_part(part, rows)
    if same:
        assert run(source).cache.frame()["status"].tolist().count("no_face") == 5
    else:
        with pytest.raises(
            CacheError, match=r"000 was searched in frame\+25% first, where .* in frame\+10% now"
        ):
            run(source)


def test_the_number_of_workers_does_not_show_in_the_cache(odd_source, unused_model, tmp_path):
    source = odd_source(*[f"key{n}" for n in range(30)])
    prints = {
        extract(
            source, tmp_path / str(workers), SETTINGS, workers=workers, landmarker=unused_model, part_rows=7
        ).cache.fingerprint
        for workers in (1, 3)
    }
    assert len(prints) == 1


def test_workers_that_run_already_serve_one_source_after_another(odd_source, unused_model, tmp_path):
    first, second = odd_source("a", "die:11"), odd_source("b", "once:11", "c")
    job = Job(first.reader, SETTINGS, "landmarker", unused_model)
    with WorkerPool(job, 1) as crew:
        ran = crew.pids
        plain = extract(odd_source("x"), tmp_path / "0", SETTINGS, landmarker=unused_model, pool=crew)
        assert crew.pids == ran, "no process is started"
        caches = [
            extract(source, tmp_path / str(n), SETTINGS, landmarker=unused_model, pool=crew).cache
            for n, source in enumerate((first, second), start=1)
        ]
    assert plain.cache.frame()["error"].tolist() == ["read x"]
    errors = [cache.frame()["error"].tolist() for cache in caches]
    assert "crashed on it twice" in errors[0][1]
    assert errors[1] == ["read b", "read once:11", "read c"]
