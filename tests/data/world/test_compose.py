"""Masks, places and visibility."""

import numpy as np
import pytest
from PIL import Image

from moa.data.world.busts import Bust
from moa.data.world.compose import MIN_VISIBLE, Placed, arrange, compose, figure_mask, mask_box, visible_masks
from moa.data.world.people import Person
from moa.data.world.sprites import at_height, solid_box
from moa.data.world.visibility import visible_labels


def block(color, width=30, height=60):
    return Image.new("RGBA", (width, height), (*color, 255))


def test_later_figures_cover_earlier_ones_exactly():
    background = np.full((128, 128, 3), 200, np.uint8)
    places = [
        Placed(block((255, 0, 0)), 30, 40),
        Placed(block((0, 255, 0)), 45, 50),
        Placed(block((0, 0, 255)), 120, 90),
    ]
    image = compose(background, places, [0, 1, 2])
    masks = visible_masks(np.stack([figure_mask(place, 128, 128) for place in places]))
    for mask, color in zip(masks, ((255, 0, 0), (0, 255, 0), (0, 0, 255)), strict=True):
        assert np.array_equal(mask, (image == color).all(-1))
    assert np.array_equal((image == 200).all(-1), ~masks.any(0))
    assert (background == 200).all()


def test_half_transparent_pixels_are_blended_and_not_in_the_mask():
    shadow = Placed(Image.new("RGBA", (4, 4), (255, 255, 255, 51)), -2, 6)
    image = compose(np.zeros((8, 8, 3), np.uint8), [shadow], [0])
    assert (image[6:, :2] == 51).all() and image.sum() == 4 * 3 * 51
    assert not figure_mask(shadow, 8, 8).any()


def test_boxes_and_heights():
    picture = Image.new("RGBA", (40, 80))
    picture.paste(block((9, 9, 9), 20, 50), (10, 20))
    assert solid_box(np.asarray(picture.getchannel("A"))) == (10, 20, 30, 70)
    _, top, _, bottom = solid_box(np.asarray(at_height(picture, 100.0).getchannel("A")))
    assert abs(bottom - top - 100) <= 1
    mask = np.zeros((9, 9), bool)
    mask[2:4, 5:8] = True
    assert mask_box(mask) == (5, 2, 8, 4)


@pytest.mark.parametrize("count", (1, 2, 3))
def test_figures_stay_in_the_picture_and_in_sight(count):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        places, order, masks = arrange(rng, [block((1, 2, 3), 80, 100)] * count, [Person] * count, 128)
        figures = np.stack([figure_mask(place, 128, 128) for place in places])
        assert sorted(order) == list(range(count))
        for place, mask, figure in zip(places, masks, figures, strict=True):
            assert place.left >= 0 and place.left + place.picture.width <= 128
            assert mask.sum() >= MIN_VISIBLE * figure.sum() and not (mask & ~figure).any()
            assert mask_box(figure)[3] > 110


def test_the_lower_edge_cuts_busts_and_people_stand_above_it():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        (person, bust), _, _ = arrange(rng, [block((1, 2, 3), 80, 100)] * 2, [Person, Bust], 128)
        assert person.top + person.picture.height < 128 <= bust.top + bust.picture.height
        assert bust.picture.height > 50 and figure_mask(bust, 128, 128)[-1].any()


def test_labels_of_covered_parts_are_dropped():
    figure = np.zeros((128, 128), bool)
    figure[20:120, 40:80] = True
    said = {"hair_style": "short", "outfit": "coat", "trousers_color": "blue"}
    assert visible_labels(Person, said, figure, figure) == said
    head_only = figure.copy()
    head_only[85:] = False
    assert visible_labels(Person, said, head_only, figure) == {"hair_style": "short"}
