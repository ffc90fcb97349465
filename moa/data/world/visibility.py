"""Which attributes of a partly covered figure can still be seen."""

import numpy as np
from jaxtyping import Bool

from moa.data.world.compose import mask_box
from moa.data.world.figures import Identity

MIN_SHARE = 0.6  # of the band of a figure that shows an attribute


def visible_labels(
    who: type[Identity], labels: dict[str, str], visible: Bool[np.ndarray, "h w"], figure: Bool[np.ndarray, "h w"]
) -> dict[str, str]:
    """The labels whose band of the figure, one of the class `who`, is mostly uncovered."""
    _, top, _, bottom = mask_box(figure)
    out = {}
    for key, word in labels.items():
        low, high = who.bands.get(key, (0.0, 1.0))
        rows = slice(round(top + low * (bottom - top)), round(top + high * (bottom - top)))
        if visible[rows].sum() >= MIN_SHARE * figure[rows].sum():
            out[key] = word
    return out
