"""Synthetic faces: labelled images of expressions, warped out of one portrait, with landmarks that are known.

For trying the whole path, and for tests with a real detector, where no data set is available. One person,
moved by a table (`action_units.EXPRESSIONS`), is no evidence of how well anything recognises expressions of
people.

    for face in make_faces(14, seed=1):
        face.image, face.label, face.landmarks

The portrait is in the public domain; its landmarks are stored, so that making faces needs no detector.
"""

from landmarkfer.data.synthetic.dataset import write_dataset
from landmarkfer.data.synthetic.faces import CLASSES, SyntheticFace, make_face, make_faceless, make_faces
from landmarkfer.data.synthetic.parameters import FaceParameters
from landmarkfer.data.synthetic.sheet import write_expression_sheet

__all__ = [
    "CLASSES",
    "FaceParameters",
    "SyntheticFace",
    "make_face",
    "make_faceless",
    "make_faces",
    "write_dataset",
    "write_expression_sheet",
]
