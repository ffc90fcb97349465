"""Pictures beside their routing."""

import numpy as np
import pytest
from PIL import Image

from moa.pipelines.overlay import COLORS, contour, enlarge, overlay, spotlight

LEFT = np.repeat([[1.0] * 4 + [0.0] * 4], 8, axis=0).astype(np.float32)


@pytest.fixture
def red() -> Image.Image:
    return Image.new("RGB", (64, 64), (220, 40, 40))


def test_a_subject_is_lit_and_the_rest_is_grey(red):
    shown = np.asarray(spotlight(red, [LEFT]), int)
    inside, outside = shown[32, 8], shown[32, 56]
    assert outside.max() - outside.min() <= 2 and inside[0] - inside[2] > 100


def test_contours_run_between_subject_and_prior_in_the_subjects_colour(red):
    shown = np.asarray(spotlight(red, [LEFT, 1 - LEFT], line=2))
    border = contour(2 * enlarge(LEFT, (64, 64)) - 1, 2.0)  # a lone subject leads the prior by r - (1 - r)
    assert set(np.flatnonzero(border[32] > 0.5)) <= set(range(29, 35)) and border[32].max() > 0.9
    assert np.abs(shown[32, 31].astype(int) - COLORS[1]).max() < 40  # the later subject lies on top


def test_no_map_is_a_grey_picture_and_flat_maps_have_no_contour(red):
    assert np.ptp(np.asarray(spotlight(red, [])), axis=-1).max() <= 2
    assert contour(np.full((8, 8), 0.9), 2.0).max() == 0
    assert contour(np.random.default_rng(0).normal(0, 5e-4, (8, 8)), 2.0).max() < 0.2  # even odds, but for noise


def test_overlay_enlarges_small_pictures_and_names_everyone(red):
    one, two = overlay(red, {"alice": LEFT}), overlay(red, {"alice": LEFT, "bob": 1 - LEFT})
    assert one.size == two.size and one.width > 2 * 384
    assert np.asarray(two)[-20:].tobytes() != np.asarray(one)[-20:].tobytes()  # the legend
    assert overlay(Image.new("RGB", (600, 400)), {"alice": LEFT}).width == 2 * 600 + 36
