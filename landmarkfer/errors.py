"""The errors a user can cause and mend: one sentence that says what was given, expected, and to do."""


class LandmarkferError(Exception):
    """Base of every error whose message is meant for the user; the command line prints it and exits."""

    exit_code = 1


class SettingsError(LandmarkferError):
    """A setting is unknown, of the wrong type or out of range: a matter of usage."""

    exit_code = 2


class SourceError(LandmarkferError):
    """An image source cannot be read or has a layout that is not known."""


class CacheError(LandmarkferError):
    """A landmark cache is missing, damaged, in use, or was made with other settings."""


class DetectorError(LandmarkferError):
    """A face detector cannot be started (package, model file or hash)."""


class GraphError(LandmarkferError):
    """A facial graph is unknown, or its file does not describe a graph on the 478 landmarks."""


class RunError(LandmarkferError):
    """A run folder is missing, incomplete, or does not fit what it is used with."""


class DivergedError(RunError):
    """A training ended in numbers that are none."""


class WeightsError(LandmarkferError):
    """Pretrained weights cannot be fetched or read, or do not fit the model."""
