"""A trained model applied to new images: what `landmarkfer.load` returns.

An image goes the way that the model's training images went: decoded by `extraction.decode`, searched for
faces, each brought into the model's frame (`inference.find`), normalised by `data.preprocess` or by what an
export holds of it. Where a run has no frame, the prediction of a file is that of its row in a cache. Images
are taken some at a time, so that the memory needed for pixels does not grow with their number; of each face,
only the landmarks (6 KB) stay.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landmarkfer.calibration.priors import Prior
from landmarkfer.data.row import Row
from landmarkfer.errors import extras_named
from landmarkfer.extraction.detect import Box
from landmarkfer.extraction.settings import ExtractSettings, make_settings
from landmarkfer.inference.face import Pictures
from landmarkfer.inference.faces import Faces
from landmarkfer.inference.find import FoundFace, Wanted
from landmarkfer.inference.frame import FaceArrays, frame_faces
from landmarkfer.inference.given import given_landmarks
from landmarkfer.inference.network import ModelInfo, Network
from landmarkfer.inference.options import Options, check_options
from landmarkfer.inference.search import FaceSearch, Opened
from landmarkfer.progress import Progress, shown

if TYPE_CHECKING:
    from landmarkfer.inference.explain.attribution import Method
    from landmarkfer.inference.explain.explainer import Explainer
    from landmarkfer.inference.explain.explanation import Explanation
    from landmarkfer.inference.video.session import Tracking
    from landmarkfer.inference.video.tracking import FrameSource, Search

_AT_ONCE = 16  # images whose pixels are held together
_TASK = "predicting"


class Predictor:
    """A trained model with all that it needs to predict images; made by `landmarkfer.load`.

    It may be used from several threads, each of which gets a detector of its own, and pickled.

    Attributes:
        network: The model.
        info: What is known of it.
        extraction: How the faces of its training images were found.
    """

    def __init__(self, network: Network, landmarker: Path | None = None) -> None:
        self.network = network
        self.info: ModelInfo = network.info
        self.extraction = _known_settings(network.info)
        self._landmarker = landmarker
        self._search = FaceSearch(network.info, self.extraction, landmarker)

    def __getstate__(self) -> dict[str, Any]:
        return {"network": self.network, "landmarker": self._landmarker}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"<Predictor {self.name}: {self.info.kind}{self.info.graph_text}; {', '.join(self.classes)}>"

    @property
    def name(self) -> str:
        """Name of the run, or of the model that ships."""
        return self.info.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.info.classes

    @property
    def card(self) -> str:
        """The model card, in Markdown; empty where the model has none."""
        return self.info.card

    def predict(self, images: Any, *, progress: Progress | bool = False, **options: Any) -> Faces:
        """Predict the expression of the faces in images.

        Args:
            images: A path, a folder, a glob pattern, a `.zip`, the bytes of an image file, a PIL image, an
                array uint8 `[H, W]`, `[H, W, 3]` or `[N, H, W, 3]`, a list of these, a Series or DataFrame of
                paths, or a `LandmarkCache`, whose landmarks are then taken.
            progress: True shows a bar; or where to report to.
            **options: See `stream`.

        Returns:
            One row per face in the order of the input, and one row for an image in which there is no face or
            that cannot be read.

        Raises:
            SourceError: There is nothing to read at a path, or the input is none of these.
            DetectorError: The model's detector cannot be started.
            SettingsError: An option does not fit.
        """
        parts = list(self.stream(images, progress=progress, **options))
        return Faces.joined(parts)

    def stream(
        self,
        images: Any,
        *,
        faces: Wanted = "all",
        boxes: Mapping[str, Sequence[Box]] | None = None,
        least_confidence: float | None = None,
        accuracy: float | None = None,
        coverage: float | None = None,
        prior: Prior | None = None,
        batch_size: int = 0,
        workers: int = 1,
        skip: int = 0,
        progress: Progress | bool = False,
    ) -> Iterator[Faces]:
        """Predict as `predict` does, some images at a time: memory does not grow with their number.

        Args:
            images: See `predict`.
            faces: `all` faces of an image, the largest first, or the `largest` alone.
            boxes: Boxes `x0, y0, x1, y1` of the faces of an image, in pixels, by its source; images are then
                not searched.
            least_confidence: Where the label is less probable than this, the model abstains: there is none.
            accuracy: The accuracy wanted where there is a label, as fitted to the validation images, in whole
                percent; it sets `least_confidence`.
            coverage: How often a prediction set shall hold the label, in whole percent; 0.9 if None.
            prior: Share of each class among the images, by name, or `uniform`; that of the training images if
                None.
            batch_size: Faces that the model predicts at a time; chosen by the model if 0.
            workers: Processes that find faces; 1 finds them in this one.
            skip: Images to leave out, from the first on.
            progress: True shows a bar; or where to report to.

        Yields:
            The rows of the next images, at least one part.
        """
        checked = check_options(
            self.info,
            least_confidence=least_confidence,
            accuracy=accuracy,
            coverage=coverage,
            prior=prior,
            batch_size=batch_size,
        )
        opened = self._search.open(images, faces, boxes, workers, skip)
        with shown(progress) as report:
            yield from self._parts(opened, skip, checked, report)

    def explain(
        self,
        images: Any,
        *,
        label: str | None = None,
        method: "Method" = "integrated-gradients",
        faces: Wanted = "all",
        check: bool = True,
        progress: Progress | bool = False,
    ) -> "Iterator[Explanation]":
        """Explain the prediction of each face in images, one after the other; other images are left out.

        Args:
            images: See `predict`.
            label: The class that is explained; that which was predicted of each face if None.
            method: How points are attributed: `integrated-gradients`, or `gradient` times input.
            faces: See `stream`.
            check: Whether each map is checked by deletion and insertion, and under the detector's noise.
            progress: True shows a bar; or where to report to.

        Raises:
            MissingExtra: Captum is not installed.
            RunError: The model is an export, or no network.
            SettingsError: There is no such class or method.
        """
        with extras_named():
            from landmarkfer.inference.explain.explainer import Explainer

        explainer = Explainer(self.network)
        if label is not None:
            explainer.number_of(label)
        wanted = {"label": label, "method": method, "check": check}
        opened = self._search.open(images, faces, None, 1, 0)
        with shown(progress) as report:
            report("explaining", 0, opened.total)
            for number, of_image in enumerate(opened.found):
                for found in of_image:
                    if found.row.status == "ok":
                        yield self._explained(found, number, opened, explainer, wanted)
                report("explaining", number + 1, opened.total)

    def _explained(
        self, found: FoundFace, number: int, opened: Opened, explainer: "Explainer", wanted: Mapping[str, Any]
    ) -> "Explanation":
        arrays = replace(frame_faces([found.given], self.info.images), crop=opened.crop)
        numbers = np.array([number], np.int64)
        (face,) = self._classify([found], arrays, numbers, opened.pictures, check_options(self.info))
        explanation = explainer.explain(face, arrays, found.given.deviation, **wanted)
        return replace(explanation, photo=opened.pictures.read(number))

    def track(
        self,
        video: "str | Path | FrameSource",
        *,
        fps: float | None = None,
        faces: Wanted = "all",
        search: "Search" = "video",
        smoothing_s: float = 0.5,
        out: str | Path | None = None,
        draw: bool = False,
        overwrite: bool = False,
        progress: Progress | bool = False,
        **options: Any,
    ) -> "Tracking":
        """Track the expressions of the faces of a video, frame by frame.

        Args:
            video: A video file, or anything that yields frames; see `video.tracking.FrameSource`.
            fps: The most frames a second that are taken; all if None.
            faces: `all` faces of a frame, or the `largest` alone.
            search: `video` looks for faces where they were on the frame before; `image` searches each frame
                as a photograph, which finds smaller faces and takes several times as long.
            smoothing_s: Time constant of the smoothing of probabilities, in seconds; 0 for none.
            out: Folder of `timeline.csv`, `timeline.json` and `timeline.png`, written as the video goes.
            draw: Whether the annotated video, with its sound, is written there too.
            overwrite: Whether a timeline that lies there is replaced.
            progress: True shows a bar; or where to report to.
            **options: `least_confidence`, `accuracy`, `coverage`, `prior`, `batch_size`; see `stream`.

        Returns:
            Iterate over it for the frames, or call its `run`.

        Raises:
            MissingExtra: PyAV is not installed.
            SourceError: There is no such video, or nothing of it can be read.
            SettingsError: An option does not fit.
        """
        from landmarkfer.inference.video.clip import open_clip
        from landmarkfer.inference.video.session import Tracking
        from landmarkfer.inference.video.tracking import TrackOptions

        return Tracking(
            self,
            open_clip(video) if isinstance(video, str | Path) else video,
            TrackOptions(fps, faces, search, smoothing_s),
            check_options(self.info, **options),
            out=None if out is None else Path(out),
            draw=draw,
            overwrite=overwrite,
            landmarker=self._landmarker,
            progress=progress,
        )

    def classify(self, faces: list[FoundFace], options: Options) -> Faces:
        """Predict faces that were found on one image.

        Args:
            faces: What was found, as the model is given it.
            options: Checked.
        """
        return self._framed(faces, [0] * len(faces), self.extraction.crop, None, options)

    def predict_landmarks(
        self, landmarks: ArrayLike, sizes: ArrayLike | None = None, **options: Any
    ) -> Faces:
        """Predict the expression of faces whose landmarks are known.

        Args:
            landmarks: `[N, 478, 3]`, MediaPipe's: x and y as fractions of the image's width and height, z on
                x's scale; NaN or zeros where there is no face. Without sizes, of square images, or in pixels.
                Points that form no face (`face.pose.misfit`) are none. Best are those detected in an image
                such as the training images: others differ from what `predict` reads.
            sizes: `[N, 2]` or `[2]`, width and height of the images in pixels.
            **options: `least_confidence`, `accuracy`, `coverage`, `prior`, `batch_size`; see `stream`.

        Returns:
            One row per face, in the order given.

        Raises:
            RunError: The model looks at pixels.
            SourceError: The shapes do not fit, or a size is not above 0.
            SettingsError: An option does not fit.
        """
        checked = check_options(self.info, **options)
        rows, arrays = self._given_landmarks(landmarks, sizes)
        faces = [FoundFace(row, row, 0 if row.status == "ok" else None) for row in rows]
        return self._classify(faces, arrays, np.arange(len(rows)), None, checked)

    def embed(self, landmarks: ArrayLike, sizes: ArrayLike | None = None) -> NDArray[np.float32]:
        """Features `[N, D]` of faces whose landmarks are known, from which the model classifies.

        Arguments and errors are those of `predict_landmarks`.
        """
        return self.network.embed(self._given_landmarks(landmarks, sizes)[1])

    def _given_landmarks(self, landmarks: ArrayLike, sizes: ArrayLike | None) -> tuple[list[Row], FaceArrays]:
        self.network.check_landmarks_suffice()
        return given_landmarks(landmarks, sizes)

    def _parts(self, opened: Opened, skip: int, options: Options, report: Progress) -> Iterator[Faces]:
        crop, total, pictures = opened.crop, opened.total, opened.pictures
        faces: list[FoundFace] = []
        numbers: list[int] = []
        any_yet = False
        report(_TASK, skip, total)
        for number, of_image in enumerate(opened.found, start=skip):
            faces += of_image
            numbers += [number] * len(of_image)
            if len(faces) >= self._at_once:
                yield self._framed(faces, numbers, crop, pictures, options)
                faces, numbers, any_yet = [], [], True
            report(_TASK, number + 1, total)
        if faces or not any_yet:
            yield self._framed(faces, numbers, crop, pictures, options)

    @property
    def _at_once(self) -> int:
        """Faces that are predicted together: batches as an evaluation makes them."""
        return 512 if self.info.images is None else 64

    def _framed(
        self,
        faces: list[FoundFace],
        numbers: list[int],
        crop: int | None,
        pictures: Pictures | None,
        options: Options,
    ) -> Faces:
        arrays = replace(frame_faces([face.given for face in faces], self.info.images), crop=crop)
        return self._classify(faces, arrays, np.array(numbers, np.int64), pictures, options)

    def _classify(
        self,
        faces: list[FoundFace],
        arrays: FaceArrays,
        numbers: NDArray[np.int64],
        pictures: Pictures | None,
        options: Options,
    ) -> Faces:
        rows = [face.row for face in faces]
        as_given = all(face.given is face.row for face in faces)
        seen = arrays if as_given else frame_faces(rows)
        found = np.array([row.status == "ok" for row in rows], dtype=bool)
        trained = self.network.outputs(arrays, options.batch_size)
        outputs = options.under_prior(trained)
        sets = self.network.sets(trained, options.coverage)
        if sets is not None:
            sets[np.arange(len(sets)), outputs.predicted] = True  # see `priors.predictions_under`
        return Faces(
            classes=self.classes,
            sources=tuple(row.id for row in rows),
            statuses=tuple(row.status for row in rows),
            errors=tuple(row.error for row in rows),
            landmarks=seen.landmarks,
            sizes=seen.sizes,
            scores=np.array([np.nan if row.confidence is None else row.confidence for row in rows], float),
            probabilities=np.where(found[:, None], outputs.probabilities, np.nan),
            predicted=np.where(found, outputs.predicted, -1),
            sets=sets,
            least_confidence=options.least_confidence,
            pictures=pictures,
            numbers=numbers,
            faces=np.array([-1 if face.number is None else face.number for face in faces], np.int64),
            blendshapes=seen.blendshapes,
            given_boxes=_given_boxes(faces),
        )


def _given_boxes(faces: Sequence[FoundFace]) -> NDArray[np.float64] | None:
    if all(face.box is None for face in faces):
        return None
    return np.array([face.box or (np.nan,) * 4 for face in faces], np.float64)


def _known_settings(info: ModelInfo) -> ExtractSettings:
    known = {key: value for key, value in info.extraction.items() if key in ExtractSettings.model_fields}
    return make_settings(known)
