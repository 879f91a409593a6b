"""What is drawn at random for a synthetic face: action units, shape of the face, pose and light."""

from dataclasses import dataclass, field

import numpy as np

from landmarkfer.data.synthetic.action_units import ACTION_UNITS, EXPRESSIONS
from landmarkfer.data.synthetic.motion import N_SHAPES


@dataclass(frozen=True)
class FaceParameters:
    """How one face is made; the defaults are the resting face, seen from the front in the portrait's light.

    Attributes:
        action_units: number -> intensity in the right and in the left half of the face.
        shape: up to `N_SHAPES` coefficients of `motion.shape_fields`, in their own SD.
        roll: turn of the head in the image plane, degrees, clockwise as seen.
        yaw: turn of the head about the vertical axis, degrees, positive toward the image right.
        pitch: nod, degrees, positive down.
        unit: distance between the eyes, as a fraction of the image's side.
        shift: place of the face against the middle, to the right and down, fractions of the image's side.
        mirrored: whether the portrait is mirrored first.
        gain: factor of the brightness.
        gamma: exponent of the brightness.
        tint: factor of each of red, green and blue.
        gradient: relative change of the light from one border to the other, across and down.
        blur: SD of a Gaussian blur, fraction of the image's side.
        noise: SD of noise, grey levels.
    """

    action_units: dict[int, tuple[float, float]] = field(default_factory=dict)
    shape: tuple[float, ...] = ()
    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    unit: float = 0.26
    shift: tuple[float, float] = (0.0, 0.0)
    mirrored: bool = False
    gain: float = 1.0
    gamma: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gradient: tuple[float, float] = (0.0, 0.0)
    blur: float = 0.0
    noise: float = 0.0


def draw_parameters(label: str, rng: np.random.Generator) -> tuple[float, FaceParameters]:
    """A random face with one of the `EXPRESSIONS`: how strongly it shows, 0 to 1, and how to make it."""
    strength = float(rng.uniform(0.3, 1.0)) if label != "neutral" else 0.0
    variants = EXPRESSIONS[label]
    prototype = variants[int(rng.integers(len(variants)))]
    red, green, blue = np.exp(rng.normal(0.0, 0.04, size=3)).tolist()
    parameters = FaceParameters(
        action_units=_draw_action_units(prototype, strength, rng),
        shape=tuple(rng.normal(size=N_SHAPES).clip(-2.5, 2.5).tolist()),
        roll=float(rng.normal(0.0, 6.0)),
        # Turned further, the side of the face that hides would have to fold.
        yaw=float(np.clip(rng.normal(0.0, 4.5), -9.0, 9.0)),
        pitch=float(np.clip(rng.normal(0.0, 3.5), -8.0, 8.0)),
        unit=float(rng.uniform(0.22, 0.29)),
        shift=(float(rng.normal(0.0, 0.02)), float(rng.normal(0.0, 0.02))),
        mirrored=bool(rng.random() < 0.5),
        gain=float(rng.uniform(0.8, 1.15)),
        gamma=float(np.exp(rng.normal(0.0, 0.2))),
        tint=(red, green, blue),
        gradient=(float(rng.normal(0.0, 0.2)), float(rng.normal(0.0, 0.12))),
        blur=float(rng.uniform(0.0, 0.0045)),
        noise=float(rng.uniform(1.0, 7.0)),
    )
    return strength, parameters


def _draw_action_units(
    prototype: dict[int, float], strength: float, rng: np.random.Generator
) -> dict[int, tuple[float, float]]:
    units = {}
    for number in ACTION_UNITS:
        intensity = strength * prototype.get(number, 0.0) * np.exp(rng.normal(0.0, 0.25))
        # Faces do other things as well, and their two halves not the same.
        if rng.random() < 0.15:
            intensity += rng.uniform(0.0, 0.3)
        lopsided = rng.normal(0.0, 0.12)
        if intensity > 0.0:
            units[number] = (float(intensity * (1.0 - lopsided)), float(intensity * (1.0 + lopsided)))
    return units
