"""A batch of faces with named fields, which every model takes."""

from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class FaceBatch:
    """What every model takes; a field that a model does not need may be None.

    Attributes:
        landmarks: float32 `[B, 478, 3]`, normalised; zeros where no face was found.
        has_face: bool `[B]`, whether a face was found.
        image: uint8 `[B, C, S, S]` as stored, or float `[B, C, H, W]` in 0..1 once it was augmented; zeros
            where there is none.
        has_image: bool `[B]`, whether there is an image.
        keypoints: float32 `[B, 478, 2]`, where the landmarks lie in `image`, as fractions of its side.
        blendshapes: float32 `[B, 52]`, 0 to 1, if the detector gives any; zeros where no face was found.
        labels: int64 `[B]`, -1 where unknown.
        targets: float32 `[B, C]`, what is to be learnt in place of the labels; rows sum to 1.
        caches: int64 `[B]`, the number of the cache that each face is of, where there are several.
        deviation: float32 `[B, 478, 3]`, what the first of several detections of the face adds to
            `landmarks`; zeros where there is one detection or none.
    """

    landmarks: Tensor
    has_face: Tensor
    image: Tensor | None = None
    has_image: Tensor | None = None
    keypoints: Tensor | None = None
    blendshapes: Tensor | None = None
    labels: Tensor | None = None
    targets: Tensor | None = None
    caches: Tensor | None = None
    deviation: Tensor | None = None

    def __len__(self) -> int:
        """The number of faces."""
        return len(self.has_face)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on a device."""
        return replace(self, **{name: tensor.to(device) for name, tensor in self._tensors()})

    def joined(self, other: "FaceBatch") -> Self:
        """The faces of both batches, with what this one holds of faces.

        Raises:
            ValueError: The other lacks it.
        """
        whole = {}
        for name, own in self._tensors():
            further = getattr(other, name)
            if further is None:
                raise ValueError(f"there are no {name}")
            whole[name] = torch.cat([own, further])
        return replace(self, **whole)

    def rows(self, index: Tensor) -> Self:
        """The batch of some of the faces, `index` int64 `[b]`."""
        return replace(self, **{name: tensor.index_select(0, index) for name, tensor in self._tensors()})

    def _tensors(self) -> list[tuple[str, Tensor]]:
        pairs = [(field.name, getattr(self, field.name)) for field in fields(self)]
        return [(name, value) for name, value in pairs if value is not None]
