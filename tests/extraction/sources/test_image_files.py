import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.open import open_source


def test_a_pattern_of_ones_own(tree, facts):
    root = tree("happy/p7-a.jpg", "happy/p8-a.jpg", "sad/p7-b.jpg", "sad/x.jpg")
    source = open_source(root, group_pattern=r"/(p\d+)-")
    assert [group for _, _, _, group in facts(source)] == ["p7", "p8", "p7", None]
    assert source.group_rule == r"the pattern /(p\d+)-"
    named = open_source(root, group_pattern=r"(?P<group>[ab])\.jpg")
    assert [group for _, _, _, group in facts(named)] == ["a", "a", "b", None]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "is no regular expression"), ("zzz", "matches no image; the first is happy/a")],
)
def test_patterns_that_do_not_work(tree, pattern, message):
    with pytest.raises(SourceError, match=message):
        open_source(tree("happy/a.jpg"), group_pattern=pattern)


def test_labels_of_a_scheme_are_used_where_no_folder_is_a_class(tree, facts):
    root = tree("Actor_01/02-01-06-01-02-01-01.jpg", "Actor_02/02-01-03-01-02-01-02.jpg")
    assert [fact[1:] for fact in facts(open_source(root))] == [("fear", None, "01"), ("happy", None, "02")]
    other = tree("sad/KA.HA1.29.tiff", "happy/YM.SU2.190.tiff", root="other")
    assert [label for _, label, _, _ in facts(open_source(other))] == ["happy", "sad"]


def test_people_of_videos_go_before_the_videos(tmp_path):
    av = pytest.importorskip("av")
    for name in ("1001_DFA_ANG_XX", "1001_IEO_HAP_HI", "1002_DFA_SAD_XX"):
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=4)
            stream.width = stream.height = 16
            container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
            container.mux(stream.encode())
    source = open_source(tmp_path, fps=1)
    assert [(entry.label, entry.group) for entry in source.entries] == [
        ("angry", "1001"),
        ("happy", "1001"),
        ("sad", "1002"),
    ]


def test_a_few_other_names_do_not_hide_a_scheme(tree, facts):
    names = [f"{who}.HA1.{n}.tiff" for who in ("KA", "KL") for n in range(5)]
    source = open_source(tree(*names, "cover.jpg"))
    assert [label for _, label, _, _ in facts(source)] == ["happy"] * 10 + [None]
    assert any("1 image not named as those of JAFFE are (cover.jpg)" in remark for remark in source.remarks)
    half = open_source(tree(*names[4:6], "cover.jpg", root="half"))
    assert any("--group-pattern jaffe uses them" in remark for remark in half.remarks)
