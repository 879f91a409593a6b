"""The coordinates in which the shape of a face is explained: what the other points do not predict.

The points of a face move together, and networks that read whitened landmarks go by what is left of each once
the others are known. In plain displacements, such a network is a sum of contributions of hundreds of log-odds
that cancel: moving one point alone makes a face as there is none. So contributions are found, and points are
removed, after whitening. Networks that ship have their whitening folded into the first layer; beside them
lies its compact form, `FILE`.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from landmarkfer.errors import RunError
from landmarkfer.files import replacing

FILE = "decorrelation.safetensors"
COMPONENTS = 256
"""Directions that the compact form keeps: those in which faces differ most; the others are scaled alike."""


@dataclass(frozen=True, eq=False)
class Decorrelation:
    """A symmetric whitening of displacements, in SDs, by its directions.

    Attributes:
        vectors: `[1434, k]`, orthonormal.
        values: `[k]`, what each direction is multiplied by.
        rest: What all other directions are multiplied by.
    """

    vectors: Tensor
    values: Tensor
    rest: float = 1.0

    @classmethod
    def none(cls) -> "Decorrelation":
        """That which leaves displacements as they are."""
        return cls(torch.zeros(1434, 0, dtype=torch.float64), torch.zeros(0, dtype=torch.float64))

    @classmethod
    def of_matrix(cls, whitening: Tensor) -> "Decorrelation":
        """Of a symmetric matrix `[1434, 1434]`, see `data.statistics.whitening_matrix`."""
        values, vectors = torch.linalg.eigh(whitening.double().cpu())
        return cls(vectors, values)

    @classmethod
    def read(cls, path: Path) -> "Decorrelation":
        """What `write` has stored.

        Raises:
            RunError: The file is damaged.
        """
        try:
            stored = load_file(path)
            return cls(stored["vectors"].double(), stored["values"].double(), float(stored["rest"]))
        except (SafetensorError, OSError, KeyError) as error:
            raise RunError(f"{path} is damaged: {error}; install the package again.") from error

    def write(self, path: Path) -> None:
        """Store the vectors in half precision."""
        tensors = {"vectors": self.vectors.half().contiguous(), "values": self.values.float().contiguous()}
        with replacing(path) as partial:
            save_file(tensors | {"rest": torch.tensor(self.rest)}, partial)

    def compact(self, components: int = COMPONENTS) -> "Decorrelation":
        """The same with the directions of the smallest factors alone, the others scaled by their mean."""
        order = self.values.argsort()
        kept, others = order[:components], order[components:]
        rest = float(self.values[others].mean()) if len(others) else self.rest
        return Decorrelation(self.vectors[:, kept], self.values[kept], rest)

    def __call__(self, displacement: Tensor) -> Tensor:
        """Whitened displacements `[B, 478, 3]`, float64."""
        return self._scaled(displacement, self.values, self.rest)

    def inverse(self, whitened: Tensor) -> Tensor:
        """Displacements `[B, 478, 3]` from whitened ones, float64."""
        return self._scaled(whitened, 1 / self.values, 1 / self.rest)

    def _scaled(self, x: Tensor, values: Tensor, rest: float) -> Tensor:
        flat = x.flatten(1).double()
        vectors, values = self.vectors.to(x.device), values.to(x.device)
        along = flat @ vectors
        return (rest * flat + (along * (values - rest)) @ vectors.T).view(x.shape)
