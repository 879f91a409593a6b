"""`ExpressionClassifier` in scikit-learn's hands."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from landmarkfer.estimator import ExpressionClassifier
from landmarkfer.face.landmarks import CANONICAL

# Small networks without whitening, which would take the most of a fit this small.
QUICK = {"model.features": "displacement", "model.hidden": [16], "fit.device": "cpu"}


class AnyColumns(ExpressionClassifier):
    """The estimator on tables of any width, which scikit-learn's checks are about.

    The checks fit tables of 1 to 20 columns, and landmarks have 1,434. Here column j moves every (K + 1)-th
    point of the canonical face up or down, so that all of the estimator but the check of the width runs on
    them: validation of the input, labels, training, prediction, parameters, cloning and pickling.
    """

    def _landmarks(self, flat):
        columns = flat.shape[1]
        group = np.arange(478) % (columns + 1)
        moved = np.column_stack([np.arctan(flat), np.zeros(len(flat))])[:, group]  # [N, 478]
        faces = np.tile(CANONICAL.astype(float), (len(flat), 1, 1))
        faces[..., 1] += 0.5 * moved
        return faces


EXPECTED_FAILURES: dict[str, str] = {}


@pytest.mark.slow
@parametrize_with_checks(
    [AnyColumns("mlp", epochs=12, batch_size=16, lr=0.01, settings=QUICK, random_state=0)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
