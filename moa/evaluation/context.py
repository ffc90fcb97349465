"""Context drift: what changes in a picture where its subjects are not."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageFilter

ROOM = 13  # pixels (odd) that masks are widened by in all, for soft shadows and the latents' reach


def background(masks: Sequence[Bool[np.ndarray, "h w"]]) -> Bool[np.ndarray, "h w"]:
    """Where no picture shows a subject, with some room around them."""
    covered = Image.fromarray(np.any(masks, axis=0).astype(np.uint8) * 255)
    return np.asarray(covered.filter(ImageFilter.MaxFilter(ROOM))) == 0


def drift(first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"], masks: Sequence[Bool[np.ndarray, "h w"]]) -> float:
    """Mean absolute difference of two pictures outside the subjects of both, in per cent of the full range; NaN if nothing is outside."""
    outside = background(masks)
    if not outside.any():
        return float("nan")
    return float(100 * np.abs(first[outside].astype(float) - second[outside].astype(float)).mean() / 255)


def drifts(first: Sequence[np.ndarray], second: Sequence[np.ndarray], masks: Sequence[Sequence[np.ndarray]]) -> Float[np.ndarray, " n"]:
    """`drift` of each pair of pictures, NaN where it is not defined."""
    return np.array([drift(a, b, m) for a, b, m in zip(first, second, masks, strict=True)], float)
