"""The models that ship with the package: each is a run folder, one for each detector."""

from importlib.resources import files
from pathlib import Path

from landmarkfer.runs.folder import RunFolder

SHIPPED = {
    "fusion": "landmarks and pixels",
    "landmarks": "landmarks alone",
}
"""The models that ship, for each detector its own; the first that there is is the default."""


def folder_of_shipped(name: str, detector: str) -> Path:
    """The folder of a model that ships, with its export; it need not be there.

    Args:
        name: A key of `SHIPPED`.
        detector: Whose landmarks it was trained on.
    """
    return Path(str(files("landmarkfer") / "shipped" / f"{name}-{detector}"))


def shipped_run(name: str) -> RunFolder | None:
    """The run of a model that ships, by its name and detector (`fusion-facemesh`); None if there is none."""
    model, _, detector = name.partition("-")
    if model not in SHIPPED or not detector:
        return None
    run = RunFolder(folder_of_shipped(model, detector))
    return run if run.config_file.is_file() else None
