import numpy as np

from landmarkfer.metrics.few import FEW_IMAGES, averages_remark, is_few
from landmarkfer.metrics.intervals import proportion_intervals


def remark(images, **predicted):
    return averages_remark(images, {name: predicted.get(name, 1) for name in images})


def test_what_is_few():
    assert [is_few(n) for n in (0, 1, FEW_IMAGES - 1, FEW_IMAGES, 1000)] == [True, True, True, False, False]
    low, high = proportion_intervals(FEW_IMAGES / 2, FEW_IMAGES)
    assert 0.37 < high - low < 0.38, "as the constant's docstring says"


def test_nothing_is_said_of_classes_with_enough_images():
    assert remark({"happy": 30, "sad": 2000}) is None


def test_what_a_class_of_few_images_weighs():
    assert remark({"neutral": 670, "happy": 600, "fear": 3, "contempt": 1}) == (
        "Balanced accuracy and macro-F1 give fear (3 images) and contempt (1) the weight of neutral (670): "
        "2 of 4 classes rest on fewer than 30 images."
    )
    assert remark({"neutral": 1670, "fear": 1}) == (
        "Balanced accuracy and macro-F1 give fear (1 image) the weight of neutral (1,670): "
        "1 of 2 classes rests on fewer than 30 images."
    )


def test_where_every_class_has_few():
    assert remark({"neutral": 4, "fear": 1}) == (
        "Each of the 2 classes has fewer than 30 images (1 to 4): balanced accuracy and macro-F1 rest on few."
    )
    assert remark({"neutral": 4, "fear": 4}).startswith("Each of the 2 classes has fewer than 30 images (4):")
    assert remark({"neutral": 4, "fear": 0}, fear=0).startswith("The one class has fewer than 30 images (4):")


def test_a_class_that_is_predicted_without_an_image():
    absent = {"neutral": 40, "fear": 0, "sad": 0}
    assert remark(absent, fear=0, sad=0) is None
    assert remark(absent, fear=2, sad=0) == (
        "Without a test image, but predicted: fear (2 predictions); F1 is 0 and counts in macro-F1, and "
        "balanced accuracy leaves it out."
    )


def test_numbers_of_numpy_are_written_as_numbers():
    text = averages_remark({"neutral": 40, "fear": int(np.int64(2))}, {"neutral": 40, "fear": np.int64(2)})
    assert "fear (2 images)" in text
