"""The same photo given in several ways: how far the answers of the models that ship differ.

The tolerances are measured ones, rounded up; docs/predicting.md states them.
"""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

import landmarkfer as lf
from landmarkfer.data.synthetic import make_face
from landmarkfer.extraction.detectors import FaceMeshDetector, default_detector
from landmarkfer.inference.load import SHIPPED

# The largest difference of a probability: of a large, clear photograph, and of synthetic faces.
CLEAR = {"fusion": 0.01, "landmarks": 0.02}
SIZES = {"fusion": 0.1, "landmarks": 0.2}
MIRRORED = {"fusion": 0.2, "landmarks": 0.2}
FILES = {"fusion": 0.05, "landmarks": 0.1}
# How a file of each EXIF orientation stores an upright picture.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

pytestmark = pytest.mark.skipif(
    default_detector() != FaceMeshDetector.name, reason="the tolerances are measured with facemesh"
)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def resized(image, side):
    return image.resize((side, side), Image.Resampling.BICUBIC)


def turned(image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = image.transpose(STORED[orientation]) if orientation in STORED else image
    return encoded(stored, exif=exif)


def as_files(image):
    """The picture in files of other kinds, by name; all but the first four lose what the models look at."""
    grey = np.asarray(image.convert("L"))
    return {
        "RGBA": encoded(image.convert("RGBA")),
        "WebP, lossless": encoded(image, "WEBP", lossless=True),
        "grey": encoded(image.convert("L")),
        "16-bit": encoded(Image.fromarray(grey.astype(np.uint16) * 257)),
        "WebP": encoded(image, "WEBP", quality=80),
        "palette": encoded(image.convert("P", palette=Image.Palette.ADAPTIVE)),
        "JPEG 50": encoded(image, "JPEG", quality=50),
        "CMYK": encoded(image.convert("CMYK"), "JPEG", quality=95),
    }


@pytest.fixture(scope="module")
def portrait():
    """Eileen Collins, NASA, public domain: the portrait that scikit-image ships, 512 pixels."""
    from skimage.data import astronaut

    return Image.fromarray(astronaut())


@pytest.fixture(scope="module", params=SHIPPED)
def model(request):
    return lf.load(request.param)


def differences(model, first, others):
    """The largest difference of a probability of each picture from the first; all labels, the first's too."""
    found = model.predict([first, *others], faces="largest")
    assert found.statuses == ("ok",) * (1 + len(others))
    return np.abs(found.probabilities[1:] - found.probabilities[0]).max(axis=1), found.labels


@pytest.mark.slow
def test_a_clear_photo_in_every_way(model, portrait):
    others = [encoded(resized(portrait, side)) for side in (128, 256, 1024)]
    others += [encoded(ImageOps.mirror(portrait)), *as_files(portrait).values()]
    found, labels = differences(model, encoded(portrait), others)
    assert set(labels) == {"happy"}
    assert (found[4:8] == 0).all(), "no pixel differs in grey"
    assert found.max() < CLEAR[model.name], found


def test_exif_orientations_change_nothing(model, portrait):
    found, labels = differences(model, encoded(portrait), [turned(portrait, n) for n in range(1, 9)])
    assert set(labels) == {"happy"} and (found == 0).all()


def test_transparency_is_laid_over_white(model, portrait):
    y, x = np.mgrid[-1:1:512j, -1:1:512j]
    opaque = Image.fromarray(np.where(np.hypot(x, y) < 0.9, 255, 0).astype(np.uint8))
    see_through = portrait.convert("RGBA")
    see_through.putalpha(opaque)
    white = Image.composite(portrait, Image.new("RGB", portrait.size, "white"), opaque)
    found, _ = differences(model, encoded(white), [encoded(see_through)])
    assert (found == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("label", ["happy", "surprise", "disgust"])
def test_synthetic_faces(model, label):
    face = Image.fromarray(make_face(label, 1, 512).image)
    files = as_files(face)
    sizes = [encoded(resized(face, side)) for side in (128, 256, 1024)]
    others = [*sizes, encoded(ImageOps.mirror(face)), *files.values()]
    found, labels = differences(model, encoded(face), others)
    probability = model.predict(encoded(face))[0].confidence
    assert (found[4:8] == 0).all(), "no pixel differs in grey"
    assert found[:3].max() < SIZES[model.name] and found[3] < MIRRORED[model.name]
    assert found[4:].max() < FILES[model.name]
    if probability > 0.5:
        assert set(labels[5:]) == {labels[0]}, "files of other kinds"
