"""What besides the face is associated with the class of an image: how it is measured, tested and stored.

`measure` is imported by who measures, since it loads SciPy's statistics; what was found is a plain `report`.
"""

from landmarkfer.data.confounds.report import FLOOR, MOST_SLICED, Confound, Confounds, Fact

__all__ = ["FLOOR", "MOST_SLICED", "Confound", "Confounds", "Fact"]
