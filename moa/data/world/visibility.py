"""Which attributes of a partly covered figure can still be seen."""

import numpy as np
from jaxtyping import Bool

from moa.data.world.compose import mask_box

MIN_SHARE = 0.6  # of the band of a figure that shows an attribute

# Top and bottom of the band, as shares of the figure's height; the whole figure for what is not listed.
HEAD, CLOTHES, LEGS = (0.0, 0.65), (0.62, 0.9), (0.85, 1.0)
BANDS = {
    "person": {
        **dict.fromkeys(("hair_style", "hair_color", "hat", "hat_color", "skin", "beard", "beard_color"), HEAD),
        **dict.fromkeys(("glasses", "cheeks", "expression", "eyes"), HEAD),
        **dict.fromkeys(("outfit", "outfit_color", "shirt_color", "jacket_color", "under_color"), CLOTHES),
        "trousers_color": LEGS,
    },
    "robot": {
        **dict.fromkeys(("top", "glow_color", "eyes", "expression"), HEAD),
        "chest": CLOTHES,
        "accent_color": LEGS,
    },
    "creature": {},
    "plant": {
        "plant": (0.0, 0.5),
        "bloom_color": (0.0, 0.5),
        **dict.fromkeys(("pot_color", "eyes", "expression"), (0.5, 1.0)),
    },
}


def visible_labels(
    noun: str, labels: dict[str, str], visible: Bool[np.ndarray, "h w"], figure: Bool[np.ndarray, "h w"]
) -> dict[str, str]:
    """The labels whose band of the figure is mostly uncovered."""
    _, top, _, bottom = mask_box(figure)
    out = {}
    for key, word in labels.items():
        low, high = BANDS[noun].get(key, (0.0, 1.0))
        rows = slice(round(top + low * (bottom - top)), round(top + high * (bottom - top)))
        if visible[rows].sum() >= MIN_SHARE * figure[rows].sum():
            out[key] = word
    return out
