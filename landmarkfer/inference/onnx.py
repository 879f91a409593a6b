"""An exported model on ONNX Runtime: the same predictions without torch.

The file holds all that turns landmarks into probabilities, normalisation, the mirrored view and the
calibration included; `export.py` writes it. What is known of the model is JSON in the file's metadata, under
`METADATA`.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from landmarkfer.errors import RunError
from landmarkfer.inference.frame import FaceArrays
from landmarkfer.inference.network import ModelInfo, Network, Outputs

METADATA = "landmarkfer"
SUFFIX = ".onnx"
_BATCH = 64
"""Faces at a time: as many as leave activations in a processor's cache."""


class OnnxNetwork(Network):
    """A model that `landmarkfer export` has written. Safe to use from several threads, and picklable.

    Args:
        path: The file.
        threads: Threads of one prediction; ONNX Runtime's choice if 0.

    Raises:
        RunError: The file is missing, damaged, or no export of this package.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 0) -> None:
        self.path = Path(path)
        self._threads = threads
        self._session = self._open()
        self._outputs = {output.name for output in self._session.get_outputs()}
        self.info = self._read_info()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path.resolve(), "threads": self._threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def outputs(self, arrays: FaceArrays, batch_size: int = 0) -> Outputs:
        """Probabilities `[N, C]`; see `Network`. Exports of version 0.1 give calibrated ones alone."""
        given = [name for name in Outputs._fields if name in self._outputs]
        found = [array.astype(np.float64) for array in self._run(given, arrays, batch_size)]
        return Outputs(found[0], found[-1])

    def embed(self, arrays: FaceArrays, batch_size: int = 0) -> NDArray[np.float32]:
        """Features `[N, D]`; see `Network`."""
        return self._run(["embedding"], arrays, batch_size)[0]

    def _run(self, outputs: list[str], arrays: FaceArrays, batch_size: int) -> list[NDArray[np.float32]]:
        if arrays.crop is not None and self.info.images is not None and self.info.images.keypoints:
            raise RunError(f"{self.path} looks landmarks up in whole images, and these are aligned crops.")
        given: dict[str, NDArray] = {"landmarks": arrays.landmarks, "size": arrays.sizes}
        if self.info.images is not None:
            assert arrays.image is not None
            given["image"] = arrays.image
        size = batch_size or _BATCH
        parts = [
            self._session.run(outputs, {name: array[start : start + size] for name, array in given.items()})
            for start in range(0, max(1, len(arrays.landmarks)), size)
        ]
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _open(self) -> Any:
        import onnxruntime

        if not self.path.is_file():
            raise RunError(f"there is no {self.path}; write one with `landmarkfer export RUN`.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(
                self.path.as_posix(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the reader of a damaged file may stumble over anything
            reason = str(error).partition("\n")[0][:200]
            raise RunError(
                f"{self.path} cannot be read as ONNX ({reason}); write it again with `landmarkfer export`."
            ) from error

    def _read_info(self) -> ModelInfo:
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA)
        if text is None:
            raise RunError(f"{self.path} is no export of landmarkfer: its metadata says nothing of classes.")
        try:
            return ModelInfo.model_validate_json(text)
        except ValidationError as error:
            raise RunError(
                f"{self.path} was written by another version ({error.errors()[0]['msg']}); export it again."
            ) from error
