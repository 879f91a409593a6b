"""The settings of an extraction: what they are, what they may be, and what they are by default."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from landmarkfer.config.faults import reason
from landmarkfer.errors import SettingsError
from landmarkfer.extraction.windows import CLOSE_UPS, RETRIES

Keep = Literal["largest", "central"]
DetectorName = Literal["facemesh", "landmarker"]


class ExtractSettings(BaseModel):
    """How faces are found and what is stored of them; saved in the cache's manifest.

    Attributes:
        detector: `facemesh` or `landmarker`; None is the default of the installed MediaPipe.
        passes: Detections that are averaged: the one that found the face, and close-ups of it.
        retries: How many further views are tried while no face is found.
        threshold: The detector's score from which a face counts on the first view. Retries and close-ups
            accept `RETRY_LENIENCE` of it: 0.3 for 0.5.
        max_faces: The most faces that one view is searched for; with 1 it is the detector's best.
        keep: Which of several faces is selected: the largest, or the one nearest to the middle of the image.
        crop: Side in pixels of the aligned face that is stored; None stores the image as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: DetectorName | None = None
    passes: int = Field(default=1, ge=1, le=1 + len(CLOSE_UPS))
    retries: int = Field(default=len(RETRIES), ge=0, le=len(RETRIES))
    threshold: float = Field(default=0.5, gt=0, lt=1)
    max_faces: int = Field(default=1, ge=1, le=100)
    keep: Keep = "largest"
    crop: int | None = Field(default=None, ge=16, le=1024)


RETRY_LENIENCE = 0.6
"""What retries and close-ups accept, as a share of `threshold`."""


def make_settings(values: dict[str, Any]) -> ExtractSettings:
    """Check settings from outside.

    Args:
        values: Settings by name; what is missing has its default.

    Returns:
        The settings.

    Raises:
        SettingsError: A name is unknown or a value out of range; the message says which.
    """
    try:
        return ExtractSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            known = ", ".join(ExtractSettings.model_fields)
            raise SettingsError(f"there is no extraction setting {name!r}; there are {known}.") from error
        raise SettingsError(f"{name} is {first['input']!r}: {reason(first)}.") from error
