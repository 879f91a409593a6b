"""How much more a training weighed each class than the images of it weigh: what calibration has to undo.

Weights in the loss, images drawn more often, and offsets of the logits in the loss all make a network learn
probabilities that are wrong by a known factor of each class; see `calibration.fitted`.
"""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from landmarkfer.config.train import ResolvedSettings
from landmarkfer.models.classifier import Classifier
from landmarkfer.training.losses import class_weights, log_prior

Floats = NDArray[np.float64]


def log_class_weights(
    model: Classifier, settings: ResolvedSettings, counts: ArrayLike, shares: ArrayLike
) -> Floats:
    """What the training made the logits of each class higher by, `[C]`, up to a constant.

    Of `sampling.name = 'adaptive'`, whose focus changes with each epoch, that is not known and counts as 0;
    the bias of the scaling corrects it, as far as the validation images tell.

    Args:
        model: That was trained.
        settings: Of the run.
        counts: `[C]`, training images of each class.
        shares: `[C]`, how frequent each class is in the data; see `initialise.class_shares`.
    """
    n = np.asarray(counts, float)
    known = n > 0
    shift = np.zeros(len(n))
    drawn_evenly = settings.sampling.name in ("oversample", "balanced")
    if drawn_evenly or model.balances_classes:
        shift[known] -= np.log(n[known])
    if not model.fitted_at_once:
        loss = settings.loss
        tensor = torch.from_numpy(n)
        weights = class_weights(tensor, loss.class_weights or "none", loss.beta)
        if weights is not None:
            shift[known] += np.log(weights.double().numpy()[known])
        shift -= loss.logit_adjustment * log_prior(tensor).double().numpy()
    if settings.data.per_class:
        # The training images were drawn evenly from images that are not even.
        shift[known] += np.log(n[known] / n.sum()) - np.log(np.asarray(shares, float)[known])
    return shift - shift[known].mean() * known
