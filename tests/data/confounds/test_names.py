import pytest

from landmarkfer.data.confounds.names import NO_WORD, TOP, file_formats, name_prefixes, source_folders

CLASSES = ["happy", "sad", "confused"]


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("img_0012.jpg", "img"),
        ("a/b/IMG0012.JPG", "img"),
        ("0012.png", NO_WORD),
        ("Training_3908.jpg", NO_WORD),
        ("PublicTest_10131363.jpg", NO_WORD),
        ("train_happy_still_7.png", "still"),
        ("TrainHappy-film.12.png", "film"),
        ("HappyFilm_1.png", "happyfilm"),
        ("freude_01_studio.png", "studio"),
        ("confused7.png", NO_WORD),
        ("Aaron_Peirsol_0001.jpg", "aaron"),
        ("row-000012", "row"),
        (".hidden", "hidden"),
        ("été_1.png", "été"),
    ],
)
def test_first_word_that_names_neither_class_nor_split(name, prefix):
    assert name_prefixes([name], CLASSES) == [prefix]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("1.png", TOP),
        ("train/happy/1.png", TOP),
        ("Train_Images/3_happy/1.png", TOP),
        ("film/sad/1.png", "film"),
        ("test/film/Confused/actor/1.png", "film/actor"),
        ("train_test_split/1.png", TOP),
    ],
)
def test_folders_that_name_neither_class_nor_split(name, folder):
    assert source_folders([name], CLASSES) == [folder]


def test_formats_are_those_of_the_suffix():
    names = ["a.jpg", "b.JPEG", "c.png", "d.tif", "row-1", "v1.2", "x/y.z/e", "f.webp"]
    assert file_formats(names) == ["JPEG", "JPEG", "PNG", "TIFF", None, None, None, "WEBP"]
