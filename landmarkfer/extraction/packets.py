"""What goes into MediaPipe's graphs and comes out of them, read faster than its own Python does."""

from typing import Any

import numpy as np


def graph_outputs(graph: Any, image: np.ndarray) -> dict[str, Any]:
    """The packets that a solution's graph puts out for an image, by stream.

    As `SolutionBase.process`, which also defines a class and makes objects of all points for each image: that
    takes a tenth of the time of a detection.
    """
    graph._graph_outputs.clear()
    graph._simulated_timestamp += 33333  # microseconds, as `process` counts
    packet = graph._make_packet(graph._input_stream_type_info["image"], image)
    graph._graph.add_packet_to_input_stream(stream="image", packet=packet.at(graph._simulated_timestamp))
    graph._graph.wait_until_idle()
    return {name: output for name, output in graph._graph_outputs.items() if not output.is_empty()}


# A landmark in a serialised list: the tag and the length of its message, then x, y, z, each after its tag.
_PACKED_LANDMARK = np.dtype(
    [
        ("head", "<u2"),
        ("x_tag", "u1"),
        ("x", "<f4"),
        ("y_tag", "u1"),
        ("y", "<f4"),
        ("z_tag", "u1"),
        ("z", "<f4"),
    ]
)
_TAGS = {"head": 0x0F0A, "x_tag": 0x0D, "y_tag": 0x15, "z_tag": 0x1D}


def unpacked_landmarks(data: bytes) -> np.ndarray:
    """The landmarks `[478, 3]` of a serialised list."""
    if len(data) % _PACKED_LANDMARK.itemsize == 0:
        packed = np.frombuffer(data, _PACKED_LANDMARK)
        if all((packed[name] == tag).all() for name, tag in _TAGS.items()):
            return np.stack([packed[axis] for axis in "xyz"], axis=1).astype(np.float32)
    from mediapipe.framework.formats.landmark_pb2 import NormalizedLandmarkList

    return landmark_array(NormalizedLandmarkList.FromString(data).landmark)


def landmark_array(points: Any) -> np.ndarray:
    """The landmarks `[478, 3]` of MediaPipe's list of points."""
    return np.array([(point.x, point.y, point.z) for point in points], np.float32)
