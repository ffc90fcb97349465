"""Putting figures into a scene: places, occlusion, and exact masks of what stays visible."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from moa.data.world.figures import Identity
from moa.data.world.sprites import at_height, solid_box

HEIGHTS = {1: (84, 116), 2: (74, 96), 3: (62, 80)}  # pixels of 128, by the number of figures
MIN_VISIBLE = 0.5  # share of every figure that others may not cover


@dataclass(frozen=True, slots=True)
class Placed:
    """A resized sprite, where its upper left corner lies, and how far below that its feet are, in pixels."""

    picture: Image.Image
    left: int
    top: int
    feet: int = 0


def figure_mask(placed: Placed, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Where the figure is at least half opaque, whether or not others cover it."""
    mask = np.zeros((height, width), bool)
    alpha = np.asarray(placed.picture.getchannel("A"))
    top, left = max(0, placed.top), max(0, placed.left)
    region = mask[top : placed.top + alpha.shape[0], left : placed.left + alpha.shape[1]]
    region[:] = alpha[top - placed.top :, left - placed.left :][: region.shape[0], : region.shape[1]] >= 128
    return mask


def visible_masks(figures: Bool[np.ndarray, "s h w"]) -> Bool[np.ndarray, "s h w"]:
    """What is seen of each figure when they are painted in order: later ones cover earlier ones."""
    out = figures.copy()
    for i in range(len(figures) - 1):
        out[i] &= ~figures[i + 1 :].any(0)
    return out


def mask_box(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive, pixels) of a mask that is not empty."""
    return solid_box(mask.astype(np.uint8) * 255)


def _place(rng: np.random.Generator, sprites: list[Image.Image], classes: list[type[Identity]], size: int, shrink: float) -> list[Placed]:
    """Figures side by side with jitter, feet near the lower edge, as high as `HEIGHTS` and their class say."""
    count, unit = len(sprites), size / 128
    low, high = HEIGHTS[count]
    common = rng.uniform(low, high)
    slots = rng.permutation(count)
    spread = rng.uniform(0.86, 1.0)
    out = []
    for slot, picture, who in zip(slots, sprites, classes, strict=True):
        height = np.clip(common * rng.uniform(0.93, 1.07), low, high) * who.height * shrink * unit
        figure = at_height(picture, height)
        left, _, right, bottom = solid_box(np.asarray(figure.getchannel("A")))
        if right - left > 0.9 * size:
            figure = at_height(picture, height * 0.9 * size / (right - left))
            left, _, right, bottom = solid_box(np.asarray(figure.getchannel("A")))
        center = size / 2 + ((slot + 0.5) / count - 0.5) * size * spread + rng.uniform(-1, 1) * (0.16 if count == 1 else 0.05) * size
        half = (right - left) / 2
        center = np.clip(center, half + 1, size - half - 1)
        feet = size * (rng.uniform(0.89, 0.985) + who.sunk)
        out.append(Placed(figure, round(center - half - left), round(feet - bottom), bottom))
    return out


def arrange(
    rng: np.random.Generator, sprites: list[Image.Image], classes: list[type[Identity]], size: int
) -> tuple[list[Placed], list[int], Bool[np.ndarray, "s h w"]]:
    """Places for one to three figures of these classes; of each at least `MIN_VISIBLE` stays in sight.

    Returns places and visible masks in the order given, and the painting order (who stands lower is in front).
    """
    shrink = 1.0
    for attempt in range(24):
        places = _place(rng, sprites, classes, size, shrink)
        order = [int(i) for i in np.argsort([place.top + place.feet for place in places], kind="stable")]
        figures = np.stack([figure_mask(places[i], size, size) for i in order])
        masks = visible_masks(figures)
        if (masks.sum((1, 2)) >= MIN_VISIBLE * figures.sum((1, 2))).all():
            break
        shrink = 1.0 if attempt < 8 else 0.95 * shrink
    back = np.argsort(order)
    return places, order, masks[back]


def compose(background: UInt8[np.ndarray, "h w 3"], places: list[Placed], order: list[int]) -> UInt8[np.ndarray, "h w 3"]:
    """The background with all figures alpha-composited in order; what leaves the picture is cut."""
    image = Image.fromarray(background)
    for place in (places[i] for i in order):
        image.paste(place.picture, (place.left, place.top), place.picture)
    return np.array(image)
