"""What is explained: the log-odds of a class, as a function of what a network is given of one face.

A prediction is averaged over a face and its mirror image, and so is its explanation: the log-odds are the
mean over both views. The shape of a face is explained in parts: the part of a point is what sets it and its
close neighbours apart from the mean training face, after whitening (`decorrelation`). Where no part is left,
the face is the mean face.
"""

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.landmarks import CANONICAL, MIRROR, N_LANDMARKS
from landmarkfer.inference.explain.decorrelation import Decorrelation
from landmarkfer.inference.tta import views
from landmarkfer.models.base import FaceModel
from landmarkfer.models.fusion import FusionModel
from landmarkfer.models.image import ImageModel
from landmarkfer.models.landmark import LandmarkModel

_AT_ONCE = 256
_NEAR = 0.04
"""SD of the Gaussian by which a point's part reaches into its neighbours, in heights of the face."""


class Target:
    """The log-odds of a class, as functions of the parts of a face, of its pixels, and of what is there.

    Args:
        model: In evaluation mode.
        face: One face, with what the model reads of it.
        label: Number of the class.
        settings: How the model is applied.
        decorrelation: Of the network on landmarks.

    Attributes:
        landmarks: The network on landmarks: the model, or the second branch of a fusion; None without one,
            and where no face was found.
        pixels: The network on pixels: the model, or the first branch of a fusion; None without one.
        views: The face, and its mirror image where predictions are averaged over both.
    """

    def __init__(
        self,
        model: FaceModel,
        face: FaceBatch,
        label: int,
        settings: PredictionSettings,
        decorrelation: Decorrelation,
    ) -> None:
        self.model = model
        self.label = label
        self.fusion = model if isinstance(model, FusionModel) else None
        second = model.encoder if self.fusion is not None else model
        first = model.image if self.fusion is not None else model
        found = bool(face.has_face.all())
        self.landmarks = second if isinstance(second, LandmarkModel) and found else None
        self.pixels = first if isinstance(first, ImageModel) else None
        self._given = (model, face, label, settings, decorrelation)
        self._decorrelation = decorrelation
        one = settings.model_copy(update={"crops": "one"})
        self.views = list(views(face.to(model.device), model, one))
        self._orders = [torch.arange(N_LANDMARKS), torch.from_numpy(MIRROR.copy())][: len(self.views)]
        with torch.no_grad():
            self._seen = [None if self.fusion is None else self.fusion.see(view) for view in self.views]
            if self.landmarks is not None:
                self._parts = [self._whitened(view.landmarks) for view in self.views]

    def moved(self, deviation: Tensor) -> "Target":
        """The same of the face with its normalised landmarks moved by `[1, 478, 3]`."""
        model, face, label, settings, decorrelation = self._given
        there = replace(face, landmarks=face.landmarks + deviation)
        return Target(model, there, label, settings, decorrelation)

    def _whitened(self, landmarks: Tensor) -> Tensor:
        assert self.landmarks is not None
        return self._decorrelation((landmarks - self.landmarks.mean) / self.landmarks.std)

    def of_parts(self, kept: Tensor) -> Tensor:
        """The log-odds `[n]` of the face with a share of each point's part left, `[n, 478]`."""
        shares = kept.double() @ reach().to(kept.device).T
        each = [self._of_shares(shares, view) for view in range(len(self.views))]
        return torch.stack(each).mean(dim=0)

    def _of_shares(self, shares: Tensor, view: int) -> Tensor:
        network, order = self.landmarks, self._orders[view].to(shares.device)
        assert network is not None
        displacement = self._decorrelation.inverse(self._parts[view] * shares[:, order, None])
        landmarks = (displacement * network.std + network.mean).to(self.views[view].landmarks.dtype)
        return torch.cat([self._of_landmarks(some, view) for some in landmarks.split(_AT_ONCE)])

    def _of_landmarks(self, landmarks: Tensor, view: int) -> Tensor:
        many = self.views[view].rows(torch.zeros(len(landmarks), dtype=torch.int64, device=landmarks.device))
        many = replace(many, landmarks=landmarks)
        seen = self._seen[view]
        if self.fusion is None or seen is None:
            return self._log_odds(self.model.embed(many))
        image, map_ = (None if one is None else one.expand(len(many), *one.shape[1:]) for one in seen)
        assert image is not None
        return self._log_odds(self.fusion.embed_beside(image, map_, many))

    def of_encoded(self, encoded: Tensor) -> Tensor:
        """The log-odds `[1]` of the first view, from what the network on landmarks makes of it, `[1, D]`.

        Raises:
            ValueError: The network reads the image as well (fusion `sampled`).
        """
        seen = self._seen[0]
        if self.fusion is None or seen is None:
            return self._log_odds(encoded)
        if self.fusion.sample is not None:
            raise ValueError("the network on landmarks reads the image as well")
        image, map_ = seen
        joint = self.fusion.joint(image, encoded, map_, self.views[0])
        return self._log_odds(torch.cat([image, joint], dim=1))

    def image(self, view: int) -> Tensor:
        """What the network on pixels sees of a view, float `[1, C, h, w]` in 0..1."""
        image = self.views[view].image
        assert self.pixels is not None and image is not None
        side = self.pixels.cropped_side(image.shape[-1])
        first = (image.shape[-1] - side) // 2
        return image[..., first : first + side, first : first + side].float() / 255

    def of_image(self, images: Tensor, view: int) -> Tensor:
        """The log-odds `[n]` of a view with other pixels, float `[n, C, h, w]`."""
        index = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        return self._log_odds(self.model.embed(replace(self.views[view].rows(index), image=images)))

    def of_branches(self, *, image: bool, landmarks: bool) -> float:
        """The log-odds of a fusion with or without content in its image, with or without a face."""
        assert self.fusion is not None
        total = 0.0
        with torch.no_grad():
            for number, view in enumerate(self.views):
                seen = self.image(number) if image else self._blank(number)
                there = view.has_face if landmarks else torch.zeros_like(view.has_face)
                total += float(self._log_odds(self.model.embed(replace(view, image=seen, has_face=there))))
        return total / len(self.views)

    def _blank(self, view: int) -> Tensor:
        """An image without content: the mean of the training images everywhere."""
        assert self.pixels is not None
        image, mean = self.image(view), self.pixels.image_mean
        each = mean if len(mean) == image.shape[1] else mean.mean(dim=0, keepdim=True)
        return each[:, None, None].expand_as(image)

    def whole(self) -> float:
        """The log-odds of the face as it is, averaged over its views."""
        with torch.no_grad():
            each = [self._log_odds(self.model.embed(view)) for view in self.views]
        return float(torch.stack(each).mean())

    def _log_odds(self, embedded: Tensor) -> Tensor:
        logits = self.model.classify(embedded)
        others = [number for number in range(logits.shape[1]) if number != self.label]
        return logits[:, self.label] - logits[:, others].logsumexp(dim=1)


@cache
def reach() -> Tensor:
    """How much of each point's displacement is in the part of each point, float64 `[478, 478]`.

    Row i holds the shares of point i's displacement, which add up to 1.
    """
    points = torch.from_numpy(CANONICAL.copy()).double()
    height = float(points[:, 1].max() - points[:, 1].min())
    near = torch.exp(-torch.cdist(points, points).square() / (2 * (_NEAR * height) ** 2))
    return near / near.sum(dim=1, keepdim=True)
