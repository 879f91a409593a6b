"""The table of facial action units, and the expressions that consist of them.

An action unit (AU) of the Facial Action Coding System moves a few landmarks, its handles; `skin` makes the
points around them follow. Displacements are in units of the distance between the eye centres, outward and
upward, of a level face seen from the front, at full intensity. Irises do not move. Left and right are the
subject's; handles are written for the right half of the face, and the left half is their mirror image.

Sources: Ekman, Friesen and Hager, "Facial Action Coding System" (2002), for what each unit moves; the same
authors' "Investigator's Guide", table 10-1, and Friesen and Ekman, "EMFACS-7" (1983), for the prototypes of
the emotions. How far a point moves is chosen here, by eye, and measured on nobody.
"""

from dataclasses import dataclass

Handles = dict[tuple[int, ...], tuple[float, float]]


@dataclass(frozen=True)
class ActionUnit:
    """One facial movement.

    Attributes:
        name: what it is called in FACS.
        handles: points of the right half or the midline -> (outward, upward) displacement of each at full
            intensity, in distances between the eyes; (0, 0) holds points still.
        reach: how far the skin follows: SD of the Gaussian of the distance along the mesh.
    """

    name: str
    handles: Handles
    reach: float = 0.2


_UPPER_LID = (246, 161, 160, 159, 158, 157, 173)
_LOWER_LID = (7, 163, 144, 145, 153, 154, 155)

ACTION_UNITS: dict[int, ActionUnit] = {
    1: ActionUnit(
        "inner brow raiser",
        {
            (107, 55): (-0.014, 0.203),
            (66, 65): (0.0, 0.162),
            (105, 52): (0.0, 0.068),
            (9,): (0.0, 0.095),
            (63, 53, 70, 46): (0.0, 0.0),
            (*_UPPER_LID, 33, 133): (0.0, 0.0),
        },
    ),
    2: ActionUnit(
        "outer brow raiser",
        {
            (70, 46, 63, 53): (0.0, 0.182),
            (105, 52): (0.0, 0.154),
            (66, 65): (0.0, 0.056),
            (107, 55): (0.0, 0.0),
            (*_UPPER_LID, 33, 133): (0.0, 0.0),
        },
    ),
    4: ActionUnit(
        "brow lowerer",
        {
            (107, 55): (-0.085, -0.13),
            (66, 65): (-0.07, -0.09),
            (105, 52): (-0.04, -0.06),
            (63, 53): (-0.015, -0.035),
            (70, 46): (0.0, -0.015),
            (9, 8): (0.0, -0.08),
            (221, 222, 223): (-0.02, -0.03),
            (*_UPPER_LID, 33, 133): (0.0, 0.0),
        },
        reach=0.18,
    ),
    5: ActionUnit(
        "upper lid raiser",
        {
            (160, 159, 158): (0.0, 0.074),
            (161, 157): (0.0, 0.057),
            (246, 173): (0.0, 0.027),
            (33, 133, 55, 65, 52, 53, 46): (0.0, 0.0),
        },
        reach=0.07,
    ),
    6: ActionUnit(
        "cheek raiser",
        {
            (117, 118, 101, 50): (0.014, 0.098),
            (36, 205, 187, 123): (0.028, 0.07),
            (144, 145, 153): (0.0, 0.035),
            (163, 154): (0.0, 0.025),
            (160, 159, 158): (0.0, -0.017),
            (61, 33, 133): (0.0, 0.0),
        },
    ),
    7: ActionUnit(
        "lid tightener",
        {
            (144, 145, 153): (0.0, 0.045),
            (163, 154): (0.0, 0.036),
            (160, 159, 158): (0.0, -0.03),
            (161, 157): (0.0, -0.024),
            (33, 133): (0.0, 0.0),
        },
        reach=0.08,
    ),
    9: ActionUnit(
        "nose wrinkler",
        {
            (48, 64, 98, 129, 102, 49): (0.028, 0.098),
            (97, 2): (0.0, 0.042),
            (4, 1): (0.0, 0.042),
            (107, 55): (-0.056, -0.098),
            (9, 8): (0.0, -0.084),
            (37, 39): (0.014, 0.07),
            (0,): (0.0, 0.056),
            (36, 142): (0.0, 0.07),
            (78, 61, 33, 133, *_UPPER_LID): (0.0, 0.0),
        },
        reach=0.15,
    ),
    10: ActionUnit(
        "upper lip raiser",
        {
            (37, 39): (0.014, 0.108),
            (0,): (0.0, 0.081),
            (40,): (0.027, 0.081),
            (82, 81): (0.0, 0.095),
            (13,): (0.0, 0.081),
            (80,): (0.0, 0.068),
            (98, 64, 129): (0.027, 0.047),
            (206, 203): (0.014, 0.068),
            (61, 78, 4): (0.0, 0.0),
        },
        reach=0.15,
    ),
    12: ActionUnit(
        "lip corner puller",
        {
            (61, 78): (0.168, 0.126),
            (185, 191, 95, 146): (0.126, 0.091),
            (40, 80, 88, 91): (0.077, 0.042),
            (39, 81, 178, 181): (0.035, 0.014),
            (0, 13, 14, 17, 37, 82, 87, 84): (0.0, 0.0),
            (57, 186, 43, 106): (0.112, 0.084),
            (205, 36, 207): (0.07, 0.084),
            (4, 2): (0.0, 0.0),
        },
    ),
    15: ActionUnit(
        "lip corner depressor",
        {
            (61, 78): (0.01, -0.15),
            (185, 191, 95, 146): (0.01, -0.115),
            (40, 80, 88, 91): (0.0, -0.07),
            (39, 81, 178, 181): (0.0, -0.03),
            (57, 43, 186, 106): (0.01, -0.11),
            (0, 13, 14, 17, 37, 82, 87, 84): (0.0, 0.0),
            (4, 2, 205): (0.0, 0.0),
        },
        reach=0.15,
    ),
    16: ActionUnit(
        "lower lip depressor",
        {
            (17, 84, 181): (0.014, -0.098),
            (14, 87, 178): (0.0, -0.091),
            (91, 88): (0.014, -0.056),
            (61, 78, 152, 0, 13): (0.0, 0.0),
        },
        reach=0.13,
    ),
    17: ActionUnit(
        "chin raiser",
        {
            (199, 175, 200): (0.0, 0.09),
            (18, 83, 17, 84): (0.0, 0.08),
            (14, 87, 13, 82): (0.0, 0.05),
            (181, 178, 81): (0.0, 0.04),
            (91, 88, 80): (0.0, 0.02),
            (0, 37): (0.0, 0.04),
            (39, 40): (0.0, 0.03),
            (61, 78): (0.0, 0.0),
            (152,): (0.0, 0.04),
            (4, 2): (0.0, 0.0),
        },
        reach=0.15,
    ),
    20: ActionUnit(
        "lip stretcher",
        {
            (61, 78): (0.162, -0.02),
            (185, 191, 95, 146): (0.121, -0.014),
            (40, 80, 88, 91): (0.068, 0.0),
            (57, 43): (0.135, -0.014),
            (0, 13, 14, 17): (0.0, 0.0),
            (4, 2): (0.0, 0.0),
        },
        reach=0.15,
    ),
    23: ActionUnit(
        "lip tightener",
        {
            (0, 37): (0.0, -0.03),
            (39, 40): (-0.02, -0.03),
            (185,): (-0.04, -0.01),
            (17, 84, 181): (0.0, 0.05),
            (91,): (-0.03, 0.03),
            (61, 78): (-0.07, 0.0),
            (80, 88): (-0.03, 0.0),
            (13, 82, 81, 14, 87, 178): (0.0, 0.0),
            (2, 200): (0.0, 0.0),
        },
        reach=0.1,
    ),
    25: ActionUnit(
        "lips part",
        {
            (13, 82, 81, 0, 37): (0.0, 0.024),
            (14, 87, 178): (0.0, -0.06),
            (17, 84, 181): (0.0, -0.054),
            (80, 88): (0.0, 0.0),
            (61, 78, 2, 152): (0.0, 0.0),
        },
        reach=0.1,
    ),
    26: ActionUnit(
        "jaw drop",
        {
            (152, 148, 176, 199, 175, 200): (0.0, -0.363),
            (149, 150): (-0.011, -0.308),
            (136, 172): (-0.022, -0.176),
            (58, 132): (0.0, -0.033),
            (17, 84, 14, 87, 18, 83): (0.0, -0.341),
            (181, 178): (-0.011, -0.297),
            (91, 88): (-0.033, -0.231),
            (146, 95): (-0.066, -0.165),
            (61, 78): (-0.077, -0.099),
            (185, 191): (-0.066, -0.055),
            (40, 80): (-0.033, -0.017),
            (13, 0, 37, 82, 39, 81): (0.0, 0.011),
            (2, 4, 205, 50): (0.0, 0.0),
        },
    ),
}

# Intensities (0 to 1) of each prototype at strength 1, and of the variants that are seen as well; one of an
# expression's variants is drawn for each face.
EXPRESSIONS: dict[str, tuple[dict[int, float], ...]] = {
    "angry": (
        {4: 1.0, 5: 0.4, 7: 0.6, 23: 1.0, 17: 0.4},
        {4: 1.0, 5: 0.2, 7: 0.9, 10: 0.5, 25: 0.9, 26: 0.2},
    ),
    "disgust": ({9: 1.0, 10: 0.7, 4: 0.3, 25: 0.4, 7: 0.4}, {9: 0.9, 15: 0.6, 16: 0.7, 7: 0.4}),
    "fear": (
        {1: 1.0, 2: 0.6, 4: 0.6, 5: 1.0, 20: 1.0, 25: 1.0},
        {1: 1.0, 2: 0.6, 4: 0.6, 5: 1.0, 20: 0.7, 25: 0.6, 26: 0.35},
    ),
    "happy": ({6: 0.8, 12: 1.0, 25: 0.9}, {6: 0.6, 12: 0.9}, {6: 1.0, 12: 1.0, 25: 1.0, 26: 0.25}),
    "sad": ({1: 1.0, 4: 0.5, 15: 1.0, 17: 0.4}, {1: 0.8, 4: 0.4, 15: 0.8, 7: 0.5}),
    "surprise": ({1: 0.9, 2: 1.0, 5: 0.8, 26: 0.9}, {1: 0.8, 2: 0.9, 5: 0.5, 26: 0.5, 25: 0.4}),
    "neutral": ({},),
}
