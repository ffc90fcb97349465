"""Context drift, diversity, routing and sheets: numbers of plain arrays."""

import numpy as np
import pytest

from moa.evaluation.context import ROOM, background, drift, drifts
from moa.evaluation.diversity import spread, spreads
from moa.evaluation.routing import judge_map, own_share
from moa.evaluation.sheets import data_uri, overlay

from knowing import BOXES, reading, sighting


def figure(left=40, right=80):
    mask = np.zeros((128, 128), bool)
    mask[30:110, left:right] = True
    return mask


def test_drift_does_not_see_the_subjects_and_sees_everything_else():
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (128, 128, 3)).astype(np.uint8)
    first, second = scene.copy(), scene.copy()
    first[figure()], second[figure(60, 100)] = 0, 255
    masks = (figure(), figure(60, 100))
    assert drift(first, second, masks) == 0
    brighter = np.clip(scene.astype(int), 0, 250).astype(np.uint8)
    assert drift(brighter, brighter + np.uint8(5), masks) == pytest.approx(100 * 5 / 255)
    assert drift(first, 255 - first, masks) == drift(255 - first, first, masks) > 20


def test_drift_of_known_offsets_beside_wild_figures():
    """Up by 5, 10 and 15 in the three channels, down by 20 in every second row: what the figures do, and what is near them, has no part in it."""
    rng = np.random.default_rng(0)
    first = rng.integers(20, 236, (128, 128, 3)).astype(np.uint8)
    offset = np.broadcast_to([5, 10, 15], first.shape).copy()
    second, mixed = (
        first + offset.astype(np.uint8),
        np.where(np.arange(128)[:, None, None] % 2, first - np.uint8(20), first + offset.astype(np.uint8)),
    )
    masks = (figure(20, 50), figure(80, 110))
    near = ~background(masks)
    for picture in (second, mixed):
        picture[near] = rng.integers(0, 256, (near.sum(), 3))
    assert drift(first, second, masks) == pytest.approx(100 * 10 / 255)
    rows = (~near).sum(1)  # how many pixels outside each row has
    wanted = np.where(np.arange(128) % 2, 20, 10) @ rows / rows.sum()
    assert drift(first, mixed, masks) == pytest.approx(100 * wanted / 255)
    one_more = drift(first, second, masks[:1])  # a figure that is forgotten counts in full
    assert one_more > 2 * drift(first, second, masks)
    assert drifts([first, first], [second, second], [masks, [np.ones((128, 128), bool)]]) == pytest.approx(
        [100 * 10 / 255, np.nan], nan_ok=True
    )


def test_masks_are_widened_and_a_full_picture_has_no_outside():
    outside = background([figure()])
    assert not outside[30, 40 - ROOM // 2 : 80 + ROOM // 2].any() and outside[0, 0] and not (outside & figure()).any()
    # by no more than half of ROOM on each side
    assert outside[30, 40 - ROOM // 2 - 1] and outside[30 - ROOM // 2 - 1, 60]
    assert np.isnan(drift(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8), [np.ones((8, 8), bool)]))


def test_diversity_of_equal_and_of_opposite_pictures():
    black, white = np.zeros((2, 8, 8, 3), np.uint8), np.full((2, 8, 8, 3), 255, np.uint8)
    assert spread(black) == 0 and spread(np.concatenate([black[:1], white[:1]])) == 100
    assert spreads(np.concatenate([black, white]), 2).tolist() == [0, 0]


def test_routing_of_a_perfect_an_empty_and_a_flat_map():
    mask = figure()
    exact = judge_map(mask.astype(float), mask)
    assert (exact.inside, exact.outside, exact.overlap) == (1, 0, 1)
    coarse = judge_map(np.asarray(mask.reshape(16, 8, 16, 8).mean((1, 3))), mask)
    assert coarse.overlap == 1 and coarse.inside > 0.9 > 0.1 > coarse.outside
    flat = judge_map(np.full((16, 16), 0.6), mask)
    assert flat.inside == pytest.approx(0.6) == flat.outside and flat.overlap < 0.3
    assert judge_map(np.zeros((16, 16)), mask).overlap == 0


def test_share_of_a_map_on_its_own_person():
    left, right = figure(10, 50), figure(70, 110)
    assert own_share(left.astype(float), left, right) == 1 and own_share(right.astype(float), left, right) == 0
    assert own_share(np.ones((16, 16)), left, right) == pytest.approx(0.5)


def test_figures_of_two_people_do_not_overlap(doubles):
    people = [sighting(part, box) for part, box in zip(doubles[0].parts, [(4, 30, 70, 120), (56, 30, 124, 120)], strict=True)]
    seen = reading("snow", *people)
    first, second = (seen.figure(person) for person in people)
    assert not (first & second).any() and (first | second).sum() > 0.95 * seen.mask.sum()
    assert first[:, :40].any() and not first[:, 90:].any()


def test_overlays_keep_sizes():
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    shown = overlay(image, [np.eye(16), np.zeros((16, 16))])
    assert shown.shape == image.shape and shown.dtype == np.uint8
    pale = overlay(image, [np.zeros((16, 16))])
    assert np.ptp(pale.astype(int), axis=2).max() == 0
    assert data_uri(shown).startswith("data:image/webp;base64,")
    assert BOXES
