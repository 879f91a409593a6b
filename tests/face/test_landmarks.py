"""The table of the 478 points, held against MediaPipe's own connection tables."""

import csv

import networkx as nx
import numpy as np
import pytest

from landmarkfer.errors import GraphError
from landmarkfer.face import landmarks as lm

SWAP = {"left": "right", "right": "left", "middle": "middle"}


def swap_name(region: str) -> str:
    side, _, rest = region.partition("_")
    return f"{SWAP[side]}_{rest}" if side in SWAP else region


def undirected(edges) -> set[tuple[int, int]]:
    return {tuple(sorted((int(a), int(b)))) for a, b in edges}


def mirrored(edges) -> set[tuple[int, int]]:
    return undirected((lm.MIRROR[a], lm.MIRROR[b]) for a, b in edges)


@pytest.fixture(scope="module")
def tables() -> dict[str, set[tuple[int, int]]]:
    """MediaPipe's tables by their lower-case names: from `mp.solutions` where it exists, else from Tasks."""
    try:
        from mediapipe.python.solutions import face_mesh_connections as module

        names = [name for name in dir(module) if name.startswith("FACEMESH_")]
        return {name.removeprefix("FACEMESH_").lower(): undirected(getattr(module, name)) for name in names}
    except ImportError:
        from mediapipe.tasks.python.vision import FaceLandmarksConnections as owner

        prefix = "FACE_LANDMARKS_"
        names = [name for name in dir(owner) if name.startswith(prefix)]
        return {
            name.removeprefix(prefix).lower(): undirected((c.start, c.end) for c in getattr(owner, name))
            for name in names
        }


def points(edges) -> set[int]:
    return {point for edge in edges for point in edge}


def members(*regions: str) -> set[int]:
    return {int(point) for region in regions for point in lm.region_points(region)}


def test_table_has_one_row_per_point_in_order():
    with (lm.graphs_dir() / "landmarks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == list(range(478))
    assert list(rows[0]) == ["index", "region", "side", "mirror", "x", "y", "z"]


def test_arrays_have_their_types_and_are_read_only():
    assert (lm.REGION.dtype, lm.SIDE.dtype, lm.MIRROR.dtype) == (np.int64, np.int8, np.int64)
    assert lm.CANONICAL.dtype == np.float32 and lm.CANONICAL.shape == (478, 3)
    for array in (lm.REGION, lm.SIDE, lm.MIRROR, lm.CANONICAL):
        assert len(array) == lm.N_LANDMARKS
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_mirror_is_a_permutation_and_an_involution():
    assert sorted(lm.MIRROR) == list(range(478))
    assert np.array_equal(lm.MIRROR[lm.MIRROR], np.arange(478))


@pytest.mark.parametrize(
    ("right", "left"),
    [
        *[(33, 263), (133, 362), (159, 386), (145, 374), (61, 291), (78, 308), (70, 300), (107, 336)],
        *[(234, 454), (98, 327), (48, 278), (50, 280), (109, 338), (148, 377), (468, 473)],
        # Seen in the picture, the inner rim of one iris takes the place of the inner rim of the other.
        *[(469, 476), (470, 475), (471, 474), (472, 477)],
    ],
)
def test_mirror_by_name(right, left):
    assert lm.MIRROR[right] == left and lm.MIRROR[left] == right
    assert lm.SIDE[right] == -1 and lm.SIDE[left] == 1


def test_midline_points_are_their_own_mirror_image():
    middle = [0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    middle += [94, 151, 152, 164, 168, 175, 195, 197, 199, 200]
    assert np.flatnonzero(lm.MIRROR == np.arange(478)).tolist() == middle
    assert np.flatnonzero(lm.SIDE == 0).tolist() == middle
    assert np.array_equal(lm.SIDE[lm.MIRROR], -lm.SIDE)


def test_mirror_maps_right_tables_to_left_tables(tables):
    for name in ("eye", "eyebrow", "iris"):
        assert mirrored(tables[f"right_{name}"]) == tables[f"left_{name}"], name
    for name in ("lips", "face_oval"):
        assert mirrored(tables[name]) == tables[name], name


def test_mirror_keeps_the_tesselation_but_for_three_diagonals(tables):
    """MediaPipe draws the diagonal of three quads differently on the two sides; all else is symmetric."""
    edges = tables["tesselation"]
    assert edges - mirrored(edges) == {(260, 466), (161, 247), (250, 459), (79, 238), (289, 290), (75, 166)}
    # Each odd diagonal crosses the mirror image of the other one: the four points are one quad of the mesh.
    for left, right in [((260, 466), (161, 247)), ((250, 459), (79, 238)), ((289, 290), (75, 166))]:
        corners = set(left) | points(mirrored([right]))
        ring = [edge for edge in edges if set(edge) <= corners and edge != left]
        assert len(corners) == 4 and len(ring) == 4


def test_mirror_is_the_only_one_that_fits_the_mesh(tables):
    """Five known points, and what touches what, tell every point apart and leave it one partner.

    Each point is described by the descriptions of its neighbours, again and again; once with the five points
    named as they are, once with their sides swapped. Points with the same description are partners.
    """
    common = nx.Graph(tables["tesselation"] & mirrored(tables["tesselation"]))
    here = dict.fromkeys(range(lm.N_MESH), 0) | {33: 1, 263: 2, 61: 3, 291: 4, 10: 5}
    there = dict.fromkeys(range(lm.N_MESH), 0) | {263: 1, 33: 2, 291: 3, 61: 4, 10: 5}
    numbers: dict = {}
    for _ in range(lm.N_MESH):
        old, numbers = len(numbers), {}
        for colours in (here, there):
            described = {p: (colours[p], tuple(sorted(colours[q] for q in common[p]))) for p in common}
            colours |= {p: numbers.setdefault(text, len(numbers)) for p, text in described.items()}
        if len(numbers) == old:
            break
    assert len(set(here.values())) == lm.N_MESH
    partner = {colour: point for point, colour in there.items()}
    assert [partner[here[point]] for point in range(lm.N_MESH)] == lm.MIRROR[: lm.N_MESH].tolist()


def test_canonical_face_is_symmetric_centred_and_scaled():
    assert np.array_equal(lm.CANONICAL[lm.MIRROR], lm.CANONICAL * np.float32([-1, 1, 1]))
    assert np.all(lm.CANONICAL[lm.SIDE == 0, 0] == 0)
    assert np.abs(lm.CANONICAL.mean(axis=0)).max() < 1e-5
    radius = np.sqrt((lm.CANONICAL.astype(np.float64) ** 2).sum(axis=1).mean())
    assert radius == pytest.approx(1, abs=1e-5)


def test_canonical_face_has_the_axes_of_an_image():
    x, y, z = lm.CANONICAL.T
    assert np.all(x[lm.SIDE == 1] > 0) and np.all(x[lm.SIDE == -1] < 0)
    assert y[10] == y.min() and y[152] == y.max()
    assert z[[1, 4]].max() < z[[234, 454, 10, 152]].min(), "the tip of the nose is nearest to the camera"


def test_regions_cover_every_point_once():
    assert set(np.unique(lm.REGION)) == set(range(len(lm.REGIONS)))
    assert set(lm.REGION_COLOURS) == set(lm.REGIONS)
    assert len(set(lm.REGION_COLOURS.values())) == len(lm.REGIONS)
    assert sum(len(lm.region_points(region)) for region in lm.REGIONS) == lm.N_LANDMARKS


def test_mirror_maps_each_region_to_the_one_of_the_other_side():
    for region in lm.REGIONS:
        expected = sorted(lm.region_points(swap_name(region)))
        assert sorted(lm.MIRROR[lm.region_points(region)]) == expected, region


def test_sided_regions_lie_on_their_side():
    for region in lm.REGIONS:
        sides = set(lm.SIDE[lm.region_points(region)].tolist())
        if region.startswith(("left_", "right_")):
            assert sides == {1 if region.startswith("left_") else -1}, region
        else:
            assert {-1, 0, 1} >= sides >= {-1, 1}, region


def test_regions_agree_with_mediapipes_contours(tables):
    for side in ("left", "right"):
        assert members(f"{side}_eye") == points(tables[f"{side}_eye"])
        assert members(f"{side}_brow") == points(tables[f"{side}_eyebrow"])
    assert members("right_iris") == points(tables["right_iris"]) | {468}
    assert members("left_iris") == points(tables["left_iris"]) | {473}
    assert members("left_oval", "right_oval") | {10, 152} == points(tables["face_oval"])
    mouth = members("upper_lip", "lower_lip", "left_mouth_corner", "right_mouth_corner")
    assert mouth > points(tables["lips"]) and len(mouth) == 80
    if "nose" in tables:
        assert members("nose", "left_nose_wing", "right_nose_wing") > points(tables["nose"])


def test_each_region_is_one_piece_of_the_mesh(tables):
    mesh = nx.Graph(tables["tesselation"])
    mesh.add_edges_from(tables["left_iris"] | tables["right_iris"])
    mesh.add_edges_from((centre, centre + k) for centre in (468, 473) for k in range(1, 5))
    for region in lm.REGIONS:
        assert nx.is_connected(mesh.subgraph(members(region))), region


@pytest.mark.parametrize(
    ("ring", "table"),
    [
        (lm.RIGHT_EYE_RING, "right_eye"),
        (lm.LEFT_EYE_RING, "left_eye"),
        (lm.FACE_OVAL_RING, "face_oval"),
    ],
)
def test_rings_run_along_mediapipes_contours(tables, ring, table):
    assert undirected(zip(ring, ring[1:] + ring[:1], strict=True)) == tables[table]


def test_lip_rings_are_mediapipes_lips(tables):
    outer, inner = lm.OUTER_LIPS_RING, lm.INNER_LIPS_RING
    edges = undirected(zip(outer, outer[1:] + outer[:1], strict=True))
    edges |= undirected(zip(inner, inner[1:] + inner[:1], strict=True))
    assert edges == tables["lips"]


def test_rings_begin_and_run_as_documented():
    assert [int(lm.MIRROR[point]) for point in lm.RIGHT_EYE_RING] == list(lm.LEFT_EYE_RING)
    assert (lm.RIGHT_EYE_RING[0], lm.RIGHT_EYE_RING[8]) == lm.RIGHT_EYE_CORNERS
    assert (lm.LEFT_EYE_RING[8], lm.LEFT_EYE_RING[0]) == lm.LEFT_EYE_CORNERS
    y = lm.CANONICAL[:, 1]
    for ring in (lm.RIGHT_EYE_RING, lm.LEFT_EYE_RING):
        assert y[list(ring[1:8])].mean() > y[list(ring[9:])].mean()
    for ring in (lm.OUTER_LIPS_RING, lm.INNER_LIPS_RING):
        assert y[list(ring[1:10])].min() > y[list(ring[11:])].max()
    assert np.all(lm.SIDE[list(lm.FACE_OVAL_RING[1:18])] == 1)


@pytest.mark.parametrize("iris", [lm.RIGHT_IRIS, lm.LEFT_IRIS])
def test_iris_points_are_in_the_documented_order(iris):
    centre, image_right, top, image_left, bottom = lm.CANONICAL[list(iris)]
    assert image_left[0] < centre[0] < image_right[0]
    assert top[1] < centre[1] < bottom[1]


def test_unknown_region_is_named_with_the_choices():
    with pytest.raises(GraphError, match=r"no facial region 'ear'.*forehead"):
        lm.region_points("ear")


@pytest.fixture(scope="module")
def seen_both_ways(detector):
    """A real face, and the same image mirrored, as the detector sees them: two `[478, 3]` in pixels."""
    from skimage.data import astronaut

    portrait = astronaut()[0:320, 60:380]
    size = len(portrait)
    found = [
        detector.detect(np.ascontiguousarray(image))[0].landmarks * size
        for image in (portrait, portrait[:, ::-1])
    ]
    return found[0], found[1] * (-1, 1, 1) + (size, 0, 0)


def test_mirroring_an_image_and_its_landmarks_agree_within_detector_noise(seen_both_ways):
    straight, mirrored = (points[:, :2] for points in seen_both_ways)
    eyes = np.linalg.norm(straight[33] - straight[263])
    noise = np.linalg.norm(mirrored[lm.MIRROR] - straight, axis=1) / eyes
    assert np.median(noise) < 0.02 and noise.max() < 0.08
    # Points that the mirror leaves in place agree without it, all others do not.
    unswapped = np.linalg.norm(mirrored - straight, axis=1) / eyes
    assert np.median(unswapped[lm.SIDE != 0]) > 0.3


def test_no_other_partner_is_much_nearer(seen_both_ways):
    """Were two partners exchanged, their points would lie on each other's place."""
    straight, mirrored = seen_both_ways
    eyes = np.linalg.norm((straight[33] - straight[263])[:2])
    distance = np.linalg.norm(mirrored[:, None] - straight[None], axis=-1)  # [seen mirrored, seen straight]
    chosen = distance[lm.MIRROR, np.arange(478)]
    assert np.all(chosen - distance.min(axis=0) < 0.08 * eyes)
    assert np.mean(distance.argmin(axis=0) == lm.MIRROR) > 0.7
