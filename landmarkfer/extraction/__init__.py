"""From images to a landmark cache: sources, decoding, detectors and the pipeline. Never imports torch.

`landmarkfer.extraction.extract` is the whole of it in one call; `detect_face` treats one image the same way.
"""

from typing import Any

_HOMES = {
    "extract": "pipeline",
    "ExtractionSummary": "pipeline",
    "ExtractSettings": "settings",
    "create_detector": "detectors",
    "detect_face": "detect",
}

__all__ = ["ExtractSettings", "ExtractionSummary", "create_detector", "detect_face", "extract"]


def __getattr__(name: str) -> Any:
    # Imported on first use: a worker process needs neither the pipeline nor what stores the cache.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
