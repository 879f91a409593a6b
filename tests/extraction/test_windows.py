import numpy as np
import pytest
from PIL import Image

from landmarkfer.extraction.windows import (
    CLOSE_UPS,
    FIRST_VIEW,
    MAX_CANVAS,
    MIN_CANVAS,
    MIN_TILE,
    PHOTOGRAPH,
    PHOTOGRAPH_FIRST_VIEW,
    PHOTOGRAPH_RETRIES,
    RETRIES,
    CloseUp,
    FrameView,
    TileView,
    Window,
    close_up,
    searches,
    windows,
)
from landmarkfer.face.landmarks import MIRROR


def gradient(width, height):
    """An image whose red tells the column and whose green tells the row, as shares of 200."""
    x = (np.arange(width) + 0.5) / width * 200
    y = (np.arange(height) + 0.5) / height * 200
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = np.round(x), np.round(y)[:, None]
    return image


def test_frame_is_a_square_around_the_image_with_its_border():
    assert windows(FrameView(0.25), 400, 300) == [Window(-100, -150, 600)]
    assert windows(FrameView(0.0, mirrored=True), 300, 400) == [Window(-50, 0, 400, mirrored=True)]


def test_windows_of_photographs_lie_on_whole_pixels():
    assert windows(FrameView(0.25), 351, 300) == [Window(-88, -113, 526)]
    # So large that blocks of 3 x 3 pixels become one of the canvas.
    assert windows(FrameView(0.0), 4001, 3000) == [Window(0, -501, 4002)]
    assert windows(FrameView(0.25), 351, PHOTOGRAPH - 1) == [Window(-87.75, -135.75, 526.5)]


def test_the_size_of_an_image_decides_in_which_order_the_same_views_are_tried():
    assert searches(48, 48) == searches(4000, PHOTOGRAPH - 1) == (FIRST_VIEW, RETRIES)
    large = (PHOTOGRAPH_FIRST_VIEW, PHOTOGRAPH_RETRIES)
    assert searches(350, 350) == searches(PHOTOGRAPH, 4000) == large
    assert len(PHOTOGRAPH_RETRIES) == len(RETRIES)
    assert {view.name for view in PHOTOGRAPH_RETRIES} == {view.name for view in RETRIES}


def test_tiles_cover_the_image_and_overlap_by_half():
    tiles = windows(TileView(2), 800, 600)
    assert {tile.side for tile in tiles} == {300}
    xs, ys = sorted({tile.x for tile in tiles}), sorted({tile.y for tile in tiles})
    assert ys == [0, 150, 300]
    # Four steps of at most half a tile from 0 to 800 - 300.
    assert xs == [0, 125, 250, 375, 500]
    assert len(tiles) == 15


def test_tiles_are_for_images_that_have_the_pixels_and_the_shape():
    assert windows(TileView(2), 2 * MIN_TILE - 1, 900) == []
    assert len(windows(TileView(1), 1000, 500)) == 3
    assert windows(TileView(1), 500, 500) == []


@pytest.mark.parametrize("size", [(48, 48), (400, 300), (3000, 4000)])
@pytest.mark.parametrize("view", [FIRST_VIEW, *RETRIES], ids=lambda view: view.name)
def test_places_on_a_canvas_are_places_on_the_image(size, view):
    """What a canvas shows at a place is what the image shows where `to_image` says that place is."""
    image = gradient(*size)
    for window in windows(view, *size):
        canvas = window.canvas(image)
        side = canvas.shape[0]
        assert canvas.shape == (side, side, 3)
        assert MIN_CANVAS <= side <= MAX_CANVAS
        at = np.array([(0.35, 0.3), (0.5, 0.5), (0.6, 0.7)])
        points = np.zeros((478, 3))
        # MIRROR makes a mirrored point another one, so every point gets the same place in turn.
        for x, y in at:
            points[:, :2] = x, y
            fx, fy, _ = window.to_image(points, *size)[0]
            if not (0.02 < fx < 0.98 and 0.02 < fy < 0.98):
                continue
            seen = canvas[int(y * side), int(x * side), :2]
            np.testing.assert_allclose(seen, [fx * 200, fy * 200], atol=3)


def test_beyond_the_image_its_edge_is_repeated():
    image = gradient(100, 100)
    canvas = Window(-50, -50, 200).canvas(image)
    assert canvas.shape == (256, 256, 3)
    assert np.ptp(canvas[:60, :60].reshape(-1, 3), axis=0).max() <= 1
    np.testing.assert_allclose(canvas[-1, -1, :2], [199, 199], atol=2)


def rendered(window, image):
    """A canvas by Pillow's filter on all channels and NumPy's padding."""
    height, width = image.shape[:2]
    size = min(max(round(window.side), MIN_CANVAS), MAX_CANVAS)
    scale = size / window.side
    x, y = max(0.0, window.x), max(0.0, window.y)
    right, bottom = min(width, window.x + window.side), min(height, window.y + window.side)
    left, top = round((x - window.x) * scale), round((y - window.y) * scale)
    shape = round((right - x) * scale), round((bottom - y) * scale)
    inner = Image.fromarray(image).resize(shape, Image.Resampling.BICUBIC, (x, y, right, bottom), 3.0)
    around = ((top, size - top - shape[1]), (left, size - left - shape[0]), (0, 0))
    canvas = np.pad(np.asarray(inner), around, mode="edge")
    return canvas[:, ::-1] if window.mirrored else canvas


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(
    "window",
    [Window(-24, -24, 128), Window(-24, -24, 128, mirrored=True), Window(-75, -100, 300), Window(10, 20, 32)],
    ids=str,
)
def test_short_cuts_give_the_very_pixels(window, grey):
    image = np.random.default_rng(0).integers(0, 256, (80, 64, 3), np.uint8)
    if grey:
        image[:] = image[..., :1]
    np.testing.assert_array_equal(window.canvas(image), rendered(window, image))


def test_an_image_that_is_its_own_canvas_is_not_copied():
    image = gradient(300, 300)
    (window,) = windows(FrameView(0.0), 300, 300)
    assert window.canvas(image) is image


@pytest.mark.parametrize("size", [(1601, 1200), (4001, 3000), (2500, 5000)])
def test_a_large_photograph_is_reduced_by_the_mean_of_blocks(size):
    image = gradient(*size)
    (window,) = windows(PHOTOGRAPH_FIRST_VIEW, *size)
    canvas = window.canvas(image)
    step = round(window.side / canvas.shape[0])
    assert step == -(-round(1.2 * max(size)) // MAX_CANVAS)
    x, y = size[0] // 2 // step * step, size[1] // 3 // step * step
    block = image[y : y + step, x : x + step].reshape(-1, 3).mean(axis=0)
    at = canvas[(y - window.y) // step, (x - window.x) // step]
    np.testing.assert_allclose(at, block, atol=0.51)


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (2, 3)])
def test_any_shape_of_image_gives_canvases(size):
    image = gradient(*size)
    for view in (FIRST_VIEW, *RETRIES):
        for window in windows(view, *size):
            assert window.canvas(image).min() >= 0


def test_mirrored_window_mirrors_pixels_and_undoes_it_on_points():
    image = gradient(100, 100)
    plain, mirrored = Window(10, 10, 80), Window(10, 10, 80, mirrored=True)
    np.testing.assert_array_equal(mirrored.canvas(image), plain.canvas(image)[:, ::-1])

    rng = np.random.default_rng(0)
    face = rng.random((478, 3)).astype(np.float32)
    # A face seen in the mirror: every point at 1 - x, and named after its partner.
    reflected = face[MIRROR] * [-1, 1, 1] + [1, 0, 0]
    np.testing.assert_allclose(
        mirrored.to_image(reflected, 100, 100), plain.to_image(face, 100, 100), atol=1e-6
    )


def test_depth_is_on_the_scale_of_x():
    points = np.zeros((478, 3))
    points[:, 2] = 0.5
    # Half a window of 80 pixels is 40 pixels, a fifth of an image 200 pixels wide.
    assert Window(0, 0, 80).to_image(points, 200, 50)[0, 2] == pytest.approx(0.2)


def test_close_up_surrounds_the_box():
    face = np.full((478, 3), 0.5)
    face[0, :2], face[1, :2] = (0.4, 0.3), (0.6, 0.5)
    # On 100 x 200 pixels the box is 20 x 40, centred on (50, 80).
    assert close_up(CloseUp(2.0, mirrored=True), face, 100, 200) == Window(10, 40, 80, True)


def test_the_views_have_names_of_their_own():
    names = [view.name for view in (*RETRIES, *CLOSE_UPS)]
    assert len(set(names)) == len(names)
    assert all(" " not in name and "=" not in name and "@" not in name for name in names)
