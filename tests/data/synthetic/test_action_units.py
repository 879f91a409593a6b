from landmarkfer.data.labels import FER2013_CLASSES
from landmarkfer.data.synthetic.action_units import ACTION_UNITS, EXPRESSIONS


def test_expressions_are_the_seven_and_use_known_units():
    assert tuple(EXPRESSIONS) == FER2013_CLASSES
    for variants in EXPRESSIONS.values():
        for variant in variants:
            assert set(variant) <= set(ACTION_UNITS)
            assert all(0 < intensity <= 1 for intensity in variant.values())
    assert EXPRESSIONS["neutral"] == ({},)
