"""Reference pictures: one subject, large, in a scene or before a plain colour, with its mask."""

import colorsys

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from moa.data.world.compose import Placed, compose, figure_mask
from moa.data.world.draws import pick
from moa.data.world.scenes import draw_scene, scene_names
from moa.data.world.sprites import at_height, solid_box

CLOSE = 0.3  # share of close-ups of the head, of people and robots


def plain_background(rng: np.random.Generator, size: int) -> UInt8[np.ndarray, "h w 3"]:
    """A square of one light, soft colour."""
    color = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.35), rng.uniform(0.75, 1))
    return np.full((size, size, 3), np.round(255 * np.array(color)), np.uint8)


def _fit(rng: np.random.Generator, picture: Image.Image, size: int, close: bool, sunk: float) -> Placed:
    figure = at_height(picture, size * (rng.uniform(1.25, 1.45) if close else rng.uniform(0.8, 0.9)))
    left, top, right, bottom = solid_box(np.asarray(figure.getchannel("A")))
    if not close and right - left > 0.94 * size:
        figure = at_height(picture, (bottom - top) * 0.94 * size / (right - left))
        left, top, right, bottom = solid_box(np.asarray(figure.getchannel("A")))
    center = size / 2 + rng.uniform(-0.04, 0.04) * size
    corner = size * rng.uniform(0.04, 0.08) - top if close else size * (rng.uniform(0.94, 0.98) + sunk) - bottom
    return Placed(figure, round(center - (left + right) / 2), round(corner))


def render_reference(
    rng: np.random.Generator, picture: Image.Image, size: int = 128, *, close_ups: bool = True, sunk: float = 0.0
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """A square picture of one sprite, `size` pixels a side, and the mask of the figure.

    The figure fills 80-90 % of the height, or, in three of ten with `close_ups`, its upper two thirds fill the picture.
    `sunk`: how far below the usual place it ends, as a share of the picture.
    """
    close = close_ups and bool(rng.random() < CLOSE)
    place = _fit(rng, picture, size, close, sunk)
    scenic = rng.random() < 0.5
    background = draw_scene(rng, pick(rng, scene_names()), size) if scenic else plain_background(rng, size)
    return compose(background, [place], [0]), figure_mask(place, size, size)
