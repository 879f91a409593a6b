"""The warnings of an evaluation: what its figures alone hide, and what the training of the run warned of."""

from collections.abc import Sequence

from landmarkfer.evaluation.opened import Opened
from landmarkfer.metrics.collapse import Advice, collapse_warnings
from landmarkfer.metrics.report import Evaluation


def with_warnings(
    evaluation: Evaluation, opened: Opened, training: Sequence[str] = (), *, images: str | None = None
) -> Evaluation:
    """An evaluation with its warnings; of images without labels, those of the training alone.

    Args:
        evaluation: Of a run, or of an average.
        opened: The run, or the last of the average.
        training: Sentences that the training of the run stored.
        images: What an image is called; by default a test image, or on another cache an image.
    """
    advice: Advice = "classical" if opened.trained.model.fitted_at_once else "network"
    if opened.foreign is not None:
        advice = "other_data"
    images = images or ("test image" if opened.foreign is None else "image")
    test = evaluation.subsets.get("test")
    if evaluation.prior is not None:
        advice = "prior"
    found = [] if test is None else collapse_warnings(test.confusion, evaluation.classes, images, advice)
    sentences = [*(one.sentence for one in found), *(f"in training, {sentence}" for sentence in training)]
    return evaluation.model_copy(update={"warnings": sentences})
