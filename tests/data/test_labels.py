import pytest

from landmarkfer.data.labels import canonical_label, is_known_label, sort_classes
from landmarkfer.face.blendshapes import BLENDSHAPE_MIRROR, BLENDSHAPES


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Anger", "angry"),
        (" HAPPINESS ", "happy"),
        ("Fearful", "fear"),
        ("disgusted", "disgust"),
        ("sadness", "sad"),
        ("Surprised", "surprise"),
        ("contempt", "contempt"),
        ("3_happy", "happy"),
        ("class001 Anger", "angry"),
        ("Bored", "bored"),
        ("2_bored", "2_bored"),
        ("7", "7"),
    ],
)
def test_names_become_canonical(given, expected):
    assert canonical_label(given) == expected


def test_only_expressions_are_known():
    assert is_known_label("Happiness")
    assert not is_known_label("holiday")


def test_classes_are_sorted_like_fer2013_then_contempt_then_others():
    assert sort_classes(["zeal", "neutral", "contempt", "angry", "bored", "sad", "angry"]) == [
        "angry",
        "sad",
        "neutral",
        "contempt",
        "bored",
        "zeal",
    ]


def test_blendshape_mirror_swaps_sides_by_name():
    assert len(BLENDSHAPES) == len(set(BLENDSHAPES)) == 52
    assert (BLENDSHAPE_MIRROR[BLENDSHAPE_MIRROR] == range(52)).all()
    assert BLENDSHAPES[BLENDSHAPE_MIRROR[BLENDSHAPES.index("eyeBlinkLeft")]] == "eyeBlinkRight"
    assert BLENDSHAPES[BLENDSHAPE_MIRROR[BLENDSHAPES.index("mouthRight")]] == "mouthLeft"
    assert BLENDSHAPES[BLENDSHAPE_MIRROR[BLENDSHAPES.index("jawOpen")]] == "jawOpen"
    # Twenty pairs; unpaired are _neutral, browInnerUp, cheekPuff, jawForward, jawOpen, mouthClose,
    # mouthFunnel, mouthPucker, mouthRollLower, mouthRollUpper, mouthShrugLower and mouthShrugUpper.
    assert (BLENDSHAPE_MIRROR == range(52)).sum() == 12
