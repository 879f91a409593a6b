import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from landmarkfer.errors import DetectorError
from landmarkfer.extraction.detectors import (
    DETECTORS,
    FaceMeshDetector,
    create_detector,
    default_detector,
    detector_identity,
)
from landmarkfer.extraction.packets import unpacked_landmarks

FACEMESH = FaceMeshDetector.available()


@pytest.fixture(scope="module")
def portrait():
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut()[:256, 100:356])


@pytest.fixture(params=list(DETECTORS))
def named(request):
    """Each detector that can run here: its name and its model file."""
    if request.param != "facemesh":
        return request.param, request.getfixturevalue("landmarker_path")
    if not FACEMESH:
        pytest.skip("this MediaPipe has no Face Mesh solution")
    return request.param, None


@pytest.fixture
def any_detector(named):
    """Each detector that can run here."""
    detector = create_detector(*named)
    yield detector
    detector.close()


def test_a_face_is_found_where_it_is(any_detector, portrait):
    (face,) = any_detector.detect(portrait)
    assert face.landmarks.shape == (478, 3)
    assert face.landmarks.dtype == np.float32
    # The eyes' outer corners and the nose's tip, read off the photograph, in fractions of it.
    for point, place in ((33, (0.37, 0.40)), (263, (0.61, 0.41)), (1, (0.48, 0.51)), (152, (0.48, 0.69))):
        np.testing.assert_allclose(face.landmarks[point, :2], place, atol=0.03)
    assert face.landmarks[1, 2] < face.landmarks[234, 2], "the nose is nearer to the camera than the ear"


def test_what_each_backend_tells_besides(any_detector, portrait):
    (face,) = any_detector.detect(portrait)
    if any_detector.name == "facemesh":
        assert face.blendshapes is None
        assert 0.5 < face.confidence <= 1
    else:
        assert face.blendshapes.shape == (52,)
        assert face.confidence is None
        # The astronaut smiles: mouthSmileLeft and mouthSmileRight.
        assert face.blendshapes[44] > 0.5
        assert face.blendshapes[45] > 0.5


@pytest.mark.skipif(not FACEMESH, reason="this MediaPipe has no Face Mesh solution")
def test_face_mesh_gives_what_the_solution_itself_gives(portrait):
    from mediapipe.python.solutions.face_mesh import FaceMesh

    with FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
        (face,) = mesh.process(portrait).multi_face_landmarks
    (own,) = create_detector("facemesh").detect(portrait)
    np.testing.assert_array_equal(own.landmarks, np.float32([(p.x, p.y, p.z) for p in face.landmark]))


@pytest.mark.skipif(not FACEMESH, reason="this MediaPipe has no Face Mesh solution")
@pytest.mark.parametrize("more", [{}, {"visibility": 0.5}, {"visibility": 0.5, "presence": 1.0}])
def test_serialised_landmarks_are_read_with_and_without_other_fields(more):
    from mediapipe.framework.formats.landmark_pb2 import NormalizedLandmarkList

    points = np.random.default_rng(0).normal(size=(478, 3)).astype(np.float32)
    points[0] = 0
    packed = NormalizedLandmarkList()
    for x, y, z in points.tolist():
        packed.landmark.add(x=x, y=y, z=z, **more)
    read = unpacked_landmarks(packed.SerializeToString())
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, points)


def test_as_many_faces_as_asked_for(any_detector, portrait):
    pair = np.concatenate([portrait, portrait[:, ::-1]], axis=1)
    pair = np.pad(pair, ((128, 128), (0, 0), (0, 0)), mode="edge")
    assert len(any_detector.detect(pair, max_faces=3)) == 2
    assert len(any_detector.detect(pair, max_faces=1)) == 1


def test_the_face_of_a_video_is_followed(named, portrait):
    video = create_detector(*named, video=True)
    moved = [np.roll(portrait, 4 * step, axis=1) for step in range(4)]
    places = [video.detect(image, max_faces=2)[0].landmarks[1, 0] for image in moved]
    np.testing.assert_allclose(np.diff(places), 4 / 256, atol=0.01)
    assert video.detect(np.full_like(portrait, 90), max_faces=2) == []
    video.close()


def test_no_face_is_an_empty_list(any_detector):
    assert any_detector.detect(np.full((256, 256, 3), 128, np.uint8)) == []


def test_a_closed_detector_starts_again(any_detector, portrait):
    first = any_detector.detect(portrait)[0].landmarks
    any_detector.close()
    np.testing.assert_array_equal(any_detector.detect(portrait)[0].landmarks, first)


@pytest.mark.skipif(not FACEMESH, reason="this MediaPipe has no Face Mesh solution")
def test_scores_belong_to_their_faces(portrait):
    detector = create_detector("facemesh")
    small = Image.fromarray(portrait).resize((24, 24), Image.Resampling.BILINEAR)
    coarse = np.asarray(small.resize((256, 256), Image.Resampling.BILINEAR))
    both = np.pad(np.concatenate([coarse, portrait], axis=1), ((128, 128), (0, 0), (0, 0)), mode="edge")
    faces = detector.detect(both, threshold=0.2, max_faces=2)
    assert len(faces) == 2
    left, right = sorted(faces, key=lambda face: face.landmarks[1, 0])
    alone = np.pad(portrait, ((128, 128), (128, 128), (0, 0)), mode="edge")
    assert left.confidence < right.confidence - 0.05, "the face of 24 pixels is the less certain one"
    assert right.confidence == pytest.approx(detector.detect(alone)[0].confidence, abs=0.1)
    detector.close()


def test_native_messages_stay_off_the_terminal(detector):
    code = (
        "import numpy as np; from skimage.data import astronaut; "
        "from landmarkfer.extraction.detectors import create_detector; "
        "d = create_detector(); print(len(d.detect(np.ascontiguousarray(astronaut()[:256, 100:356]))))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "1"
    assert result.stderr == ""


def test_putting_back_signal_handlers_kills_no_process(landmarker_path):
    # As Lightning does after a training. MediaPipe 1.x keeps sending SIGPROF to the process it runs in.
    code = f"""
import signal, time
from pathlib import Path
import numpy as np
from skimage.data import astronaut
from landmarkfer.extraction.detectors import create_detector
detector = create_detector("landmarker", Path({str(landmarker_path)!r}))
image = np.ascontiguousarray(astronaut()[:256, 100:356])
detector.detect(image)
for number in signal.valid_signals() - {{signal.SIGKILL, signal.SIGSTOP}}:
    if signal.getsignal(number) is not None:
        signal.signal(number, signal.getsignal(number))
end = time.process_time() + 3
while time.process_time() < end:
    detector.detect(image)
print("alive")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "alive\n")


def test_the_default_is_facemesh_where_there_is_one():
    assert default_detector() == ("facemesh" if FACEMESH else "landmarker")


def test_identity_is_told_without_importing_mediapipe(landmarker_path):
    code = (
        "import sys; from pathlib import Path; "
        "from landmarkfer.extraction.detectors import detector_identity; "
        f"identity = detector_identity('landmarker', Path({str(landmarker_path)!r})); "
        "print(identity.version, 'mediapipe' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("mediapipe ")
    assert result.stdout.strip().endswith("False")


def test_identity_has_the_hash_of_the_model(tmp_path):
    model = tmp_path / "face_landmarker.task"
    model.write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert detector_identity("landmarker", model).model_sha256 == empty


def test_a_file_that_is_no_model_is_one_sentence(tmp_path, portrait):
    model = tmp_path / "face_landmarker.task"
    model.write_bytes(b"no model")
    detector = create_detector("landmarker", model)
    with pytest.raises(DetectorError, match=r"model .*face_landmarker.task cannot be started with mediapipe"):
        detector.detect(portrait)


def test_what_cannot_be_had_is_one_sentence(tmp_path):
    with pytest.raises(DetectorError, match="no detector 'dlib'; there are facemesh, landmarker"):
        create_detector("dlib")
    with pytest.raises(DetectorError, match="not a file"):
        create_detector("landmarker", tmp_path / "gone.task")


@pytest.mark.skipif(FACEMESH, reason="this MediaPipe has the Face Mesh solution")
def test_newer_mediapipe_says_that_it_lacks_face_mesh():
    with pytest.raises(DetectorError, match=r"before 0.10.30, and mediapipe .* use --detector landmarker"):
        create_detector("facemesh")
