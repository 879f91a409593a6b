import numpy as np

from landmarkfer.metrics.holm import holm


def test_holm_multiplies_by_what_is_left_and_never_falls():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    assert holm([]).shape == (0,)
