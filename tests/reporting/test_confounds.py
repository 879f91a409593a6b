import numpy as np
import pytest
from PIL import Image

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.confounds import Confounds
from landmarkfer.data.confounds.measure import measure_confounds
from landmarkfer.data.row import Row
from landmarkfer.reporting import confounds as module
from landmarkfer.reporting.confounds import write_confounds


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Sizes that most sad images have, and many names, at random."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(400):
        label = ("happy", "sad", "fear")[number % 3]
        side = 96 if rng.random() < (0.9 if label == "sad" else 0.1) else 48
        word = "abcdefghij"[rng.integers(10)]
        rows.append(Row(id=f"{word}{number:03}.png", label=label, status="no_face", width=side, height=side))
    rows.sort(key=lambda row: row.id)
    return measure_confounds(write_cache(tmp_path_factory.mktemp("c") / "c", rows)).report


@pytest.fixture
def drawn(monkeypatch):
    """The panels of the pictures that are drawn."""
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: figures.append(self) or save(self, *a, **k))
    return figures


def test_a_bar_for_each_feature_and_one_for_each_class(found, drawn, tmp_path):
    write_confounds(found, tmp_path / "made/here.png", "faces")
    with Image.open(tmp_path / "made/here.png") as picture:
        assert picture.width > 800
    shares, values = drawn[0].axes
    assert [text.get_text() for text in shares.get_yticklabels()] == [one.feature for one in found.found]
    widths = [bar.get_width() for bar in shares.patches]
    assert widths == pytest.approx([max(0, 100 * one.share) for one in found.found])
    assert len({bar.get_facecolor() for bar in shares.patches}) == 2, "the strong one stands out"
    names = [text.get_text() for text in values.get_yticklabels()]
    assert names == ["sad (133)", "fear (133)", "happy (134)"], "the class of the fact first"
    assert values.get_title(loc="left") == f"Image size. {found.found[0].fact.text}"
    first = next(iter(found.found[0].counts.values()))
    assert values.patches[0].get_width() == pytest.approx(100 * first["sad"] / 133)
    assert sum(bar.get_width() for bar in values.patches) == pytest.approx(300)


def test_many_values_are_drawn_as_others(found, drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(Confounds, "strongest", property(lambda self: [self.found[-1]]))
    assert found.found[-1].feature == "name prefix"
    write_confounds(found, tmp_path / "a.png", "faces")
    legend = [text.get_text() for text in drawn[0].axes[1].get_legend().get_texts()]
    assert len(legend) == module._VALUES
    assert legend[-1] == "5 others"


def test_what_was_not_measured_is_drawn_as_a_sentence(drawn, tmp_path):
    reason = "Confounds were not looked for: no image has a label."
    nothing = Confounds(images=0, groups=None, found=[], constant=[], spelt=[], reason=reason)
    write_confounds(nothing, tmp_path / "a.png", "faces")
    (axes,) = drawn[0].axes
    assert [text.get_text() for text in axes.texts] == [reason]
