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
