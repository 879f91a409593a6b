import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.open import open_source
from landmarkfer.extraction.sources.tree.schemes import SCHEMES, group_pattern, groups_by, recognised


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_fits_its_example(name):
    (group,) = groups_by(group_pattern(name.upper()), [SCHEMES[name].example])
    assert group in ("S005", "KA", "F01", "P001", "Aaron_Eckhart", "12", "1001")


@pytest.mark.parametrize(
    ("paths", "title"),
    [
        (["joy/S010_004_00000017.png", "joy/S011_004_00000017.png"], "CK+"),
        (["KA.HA1.29.tiff", "YM.SU2.190.tiff"], "JAFFE"),
        (["AF01/AF01SAS.JPG", "BM35/BM35AFHL.JPG"], "KDEF"),
        (["VL/Dark/P001/Anger/1.jpeg", "VL/Dark/P002/Anger/1.jpeg"], "Oulu-CASIA"),
        (["Aaron_Eckhart_0001.jpg", "Zoë_Ball_0002.jpg"], "LFW"),
        (["IMG_0001.jpg", "IMG_0002.jpg"], None),
        (["Training_0001.jpg", "PublicTest_0001.jpg"], None),
        (["S010_004_00000017.png", "cover.png"], None),
        (["S010_004_00000017.png", "S010_005_00000017.png"], None),
    ],
)
def test_schemes_are_recognised_where_every_name_follows_them(paths, title):
    found = recognised(paths)
    assert (found.title if found else None) == title


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
