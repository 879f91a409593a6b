"""The models by name: one table that `build_model`, the command line and error messages read.

The table holds import paths, so that reading the names loads neither torch nor pydantic.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from landmarkfer.errors import SettingsError

if TYPE_CHECKING:
    from landmarkfer.models.classifier import Classifier

MODELS: dict[str, str] = {
    "mlp": "landmarkfer.models.mlp:MLP",
    "gnn": "landmarkfer.models.gnn:GNN",
    "transformer": "landmarkfer.models.transformer:LandmarkTransformer",
    "image": "landmarkfer.models.image:ImageModel",
    "fusion": "landmarkfer.models.fusion:FusionModel",
    "hog-svm": "landmarkfer.models.classical.svm:HogSvm",
    "landmark-svm": "landmarkfer.models.classical.svm:LandmarkSvm",
    "landmark-forest": "landmarkfer.models.classical.trees:LandmarkForest",
    "landmark-boosting": "landmarkfer.models.classical.trees:LandmarkBoosting",
}


def model_class(name: str) -> type["Classifier"]:
    """The class of a model.

    Raises:
        SettingsError: There is no model of that name.
    """
    if name not in MODELS:
        raise SettingsError(f"there is no model '{name}'; the models are {', '.join(MODELS)}.")
    module, _, attribute = MODELS[name].partition(":")
    return getattr(import_module(module), attribute)


def model_keywords(name: str) -> dict[str, Any]:
    """The keywords a model takes, with their defaults, as its constructor states them."""
    parameters = inspect.signature(model_class(name)).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def check_keywords(name: str, keywords: Mapping[str, Any]) -> None:
    """Check keywords against what the constructor of a model says of them.

    Raises:
        SettingsError: One is unknown or does not fit; the message names it.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    from landmarkfer.config.faults import reason

    known = model_keywords(name)
    hints = get_type_hints(model_class(name).__init__, include_extras=True)
    config = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
    for keyword, value in keywords.items():
        if keyword not in known:
            raise SettingsError(f"'{keyword}' is no setting of model '{name}'; it has {', '.join(known)}.")
        try:
            TypeAdapter(hints[keyword], config=config).validate_python(value)
        except ValidationError as error:
            raise SettingsError(
                f"'{keyword}' = {value!r} does not fit model '{name}': {reason(error.errors()[0])}."
            ) from None


def build_model(name: str, num_classes: int, **keywords: Any) -> "Classifier":
    """Build a model with fresh weights.

    Args:
        name: One of `MODELS`.
        num_classes: C, the width of the logits.
        **keywords: Of the model's constructor.

    Returns:
        The model. Called with a batch, a network gives logits `[B, C]`, and its `embed` features `[B, D]`.

    Raises:
        SettingsError: The name or a keyword is unknown, or a keyword's value does not fit.
    """
    with _checked(name, keywords) as kind:
        return kind(num_classes, **keywords)


def load_model(
    name: str,
    num_classes: int,
    path: Path,
    keywords: Mapping[str, Any],
    *,
    graph_name: str = "graph",
    edge_kinds: Sequence[str] = (),
) -> "Classifier":
    """Load a trained model from the file that its `save` has written.

    Args:
        name: One of `MODELS`.
        num_classes: C, the width of the logits.
        path: The file.
        keywords: Of the model's constructor. The graph of a graph model is the one in the file.
        graph_name: Name of that graph.
        edge_kinds: Names of the kinds of its edges; numbered if empty.

    Returns:
        The model, in evaluation mode, on the CPU.

    Raises:
        SettingsError: As in `build_model`.
        RunError: The file is missing, damaged, hostile or of another model.
    """
    with _checked(name, keywords) as kind:
        return kind.from_file(path, num_classes, keywords, graph_name=graph_name, edge_kinds=edge_kinds)


@contextmanager
def _checked(name: str, keywords: Mapping[str, Any]) -> Iterator[type["Classifier"]]:
    check_keywords(name, keywords)
    try:
        yield model_class(name)
    except ValueError as error:
        raise SettingsError(f"model '{name}' cannot be built so: {error}.") from error
