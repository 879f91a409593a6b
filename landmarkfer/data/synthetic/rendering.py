"""From the parameters of a synthetic face to its picture: warped portrait, painted mouth, light and noise.

The portrait smiles. A face that does not is first made of it, with great care and once; all others are warps
of that one, which is faster and keeps the lips whole. Pixels: x to the right, y down, the first pixel
covering 0 to 1.
"""

from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from landmarkfer.data.synthetic.motion import move_face, resting_face
from landmarkfer.data.synthetic.mouth import closed_lips, paint_mouth
from landmarkfer.data.synthetic.parameters import FaceParameters
from landmarkfer.data.synthetic.portrait import Placement, Portrait, load_portrait
from landmarkfer.data.synthetic.portrait_warp import backward_map
from landmarkfer.data.synthetic.warp import sample
from landmarkfer.face.landmarks import INNER_LIPS_RING

Floats = NDArray[np.float64]

_CENTRE = np.array([0.0, 0.45])  # of the face, in its own coordinates
_NOSE_BASE = 2
# Sides below this are rendered larger and reduced, since the warp takes single points of the portrait.
_FINE_ENOUGH = 128
_RESTING = 0.15  # distance between the eyes in the resting portrait, as a fraction of its side
_RESTING_SIDE = 600


@cache
def resting_portrait(mirrored: bool = False) -> Portrait:
    """The middle of the portrait at twice its resolution, without the smile; read-only."""
    portrait, face = load_portrait(mirrored), resting_face(mirrored)
    placement = place_face(FaceParameters(unit=_RESTING), _RESTING_SIDE)
    backward = backward_map(portrait, face[:, :2], placement, _RESTING_SIDE, controls=474, grid=201)
    image = np.rint(sample(closed_lips(mirrored), backward)).astype(np.uint8)
    landmarks = np.column_stack([placement.to_pixels(face[:, :2]), face[:, 2] * placement.unit])
    for array in (image, landmarks):
        array.flags.writeable = False
    return Portrait(image, landmarks, placement, face)


def place_face(parameters: FaceParameters, size: int) -> Placement:
    """Where the face lies in an image of side `size`: its middle in the image's, but for roll and shift."""
    middle = (0.5 + np.array(parameters.shift)) * size
    about_zero = Placement((0.0, 0.0), float(np.deg2rad(parameters.roll)), parameters.unit * size)
    x, y = middle - about_zero.to_pixels(_CENTRE)
    return replace(about_zero, origin=(float(x), float(y)))


def render(parameters: FaceParameters, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The warped portrait in its own light, `[S, S, 3]` grey levels, and its landmarks, `[478, 2]` pixels."""
    factor = -(-_FINE_ENOUGH // size)
    image, landmarks = _render(parameters, size * factor)
    if factor > 1:
        # [S * f, S * f, 3] -> [S, f, S, f, 3] -> [S, S, 3]
        image = image.reshape(size, factor, size, factor, 3).mean(axis=(1, 3))
    return image, (landmarks / factor).astype(np.float32)


def _render(parameters: FaceParameters, size: int) -> tuple[NDArray[np.float32], Floats]:
    portrait = resting_portrait(parameters.mirrored)
    shape, yaw, pitch = parameters.shape, parameters.yaw, parameters.pitch
    target = move_face(portrait.face, parameters.action_units, shape, yaw, pitch)
    placement = place_face(parameters, size)
    image = sample(portrait.image, backward_map(portrait, target, placement, size, controls=260, grid=49))

    landmarks = placement.to_pixels(target)
    # The upper jaw goes where the base of the nose would be without any expression.
    still = move_face(portrait.face, {}, shape, yaw, pitch)
    jaw_shift = portrait.face[_NOSE_BASE, :2] - still[_NOSE_BASE]
    paint_mouth(image, landmarks[list(INNER_LIPS_RING)], placement, jaw_shift, parameters.mirrored)
    return image, landmarks


def expose(
    image: NDArray[np.float32], parameters: FaceParameters, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """What a camera makes of it: light, tint, blur and noise; `[S, S, 3]` grey levels to uint8."""
    size = len(image)
    blurred = gaussian_filter(image, (parameters.blur * size, parameters.blur * size, 0.0))
    across = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    light = 1.0 + parameters.gradient[0] * across[None, :] + parameters.gradient[1] * across[:, None]
    lit = np.clip(blurred / 255.0, 0.0, 1.0) ** parameters.gamma
    lit *= (parameters.gain * light)[..., None] * np.array(parameters.tint, dtype=np.float32)
    grain = rng.standard_normal(image.shape, dtype=np.float32) * parameters.noise
    return np.clip(np.rint(lit * 255.0 + grain), 0, 255).astype(np.uint8)
