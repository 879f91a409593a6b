"""What besides the face states the class of an image: how it is measured, tested and stored."""

from landmarkfer.data.confounds.measure import Measured, measure_confounds
from landmarkfer.data.confounds.pictures import PICTURES_FILE
from landmarkfer.data.confounds.report import FLOOR, MOST_SLICED, Confound, Confounds, Fact

__all__ = [
    "FLOOR",
    "MOST_SLICED",
    "PICTURES_FILE",
    "Confound",
    "Confounds",
    "Fact",
    "Measured",
    "measure_confounds",
]
