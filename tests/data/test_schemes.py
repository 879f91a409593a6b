import pytest

from landmarkfer.data.schemes import SCHEMES, group_pattern, groups_by, recognised


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
        ([*(f"S{p:03d}_004_00000017.png" for p in range(10)), "cover.png"], "CK+"),
        ([*(f"S{p:03d}_004_00000017.png" for p in range(5)), "cover.png"], None),
        (["S010_004_00000017.png", "S010_005_00000017.png"], None),
    ],
)
def test_schemes_are_recognised_where_every_name_follows_them(paths, title):
    found = recognised(paths)
    assert (found.title if found else None) == title
